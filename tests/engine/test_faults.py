"""Faults at every stage of an explanation: the model is as found after each, and the next explanation is the first one.

A machine of hypothesis draws what is asked, where it breaks and how: the n-th time through a place of the network, on
the way forward or back, in the preparation, or in the target itself; an error, or Ctrl-C.
"""

import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from state import State
from torch import nn

import mmcam


class Fault(nn.Module):
    """The identity, until it is armed: the n-th pass from then on raises, forward or back."""

    def __init__(self):
        super().__init__()
        self.state = {"armed": None}  # a dict, as an attribute that changed would itself be a change of the model

    def forward(self, x):
        self.strike("forward")
        return Back.apply(x, self) if self.state["armed"] and torch.is_grad_enabled() else x

    def strike(self, way):
        armed = self.state["armed"]
        if armed is None or armed[0] != way:
            return
        self.state["armed"] = (way, armed[1] - 1, armed[2]) if armed[1] else None
        if not armed[1]:
            raise armed[2]


class Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, fault):
        ctx.fault = fault
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        ctx.fault.strike("backward")
        return gradient, None


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), Fault()),
        *(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), Fault(), nn.Dropout(0.5)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Fault(), nn.Linear(8, 10)),
    ).eval()


METHODS = {
    **dict.fromkeys(("gradcam", "gradcam++", "layercam", "scorecam", "ablationcam", "gradient", "guided_backprop")),
    **dict.fromkeys(("guided_gradcam", "xgradcam", "eigencam", "excitation")),
    "rise": {"n": 6},
    "smoothgrad": {"n": 3},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"patch": 16, "stride": 16},
}
METHODS = {name: options or {} for name, options in METHODS.items() if name in mmcam.METHODS}
ERRORS = (RuntimeError, ValueError, KeyError, TypeError, AssertionError, MemoryError, KeyboardInterrupt, SystemExit)
PICTURE = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def resources() -> tuple[object, ...]:
    """Of the process, besides torch's: what an explanation may neither use up nor turn."""
    numpy_state = np.random.get_state()
    return (
        random.getstate(),
        numpy_state[1].tobytes(),
        numpy_state[2],
        threading.active_count(),
        len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0,
        len(nn.modules.module._global_forward_hooks),
        torch.get_num_threads(),
    )


class Faults(RuleBasedStateMachine):
    @initialize(frozen=st.booleans(), training=st.booleans())
    def model(self, frozen, training):
        self.net = network()
        self.net[1].train(training)  # a batch norm alone in training mode keeps its mode and its statistics
        self.net.requires_grad_(not frozen)
        self.faults = [module for module in self.net if isinstance(module, Fault)]
        self.first = {}
        self.before = State(self.net), resources()

    def explain(self, method, target=3, preprocess=None):
        return mmcam.explain_class(
            self.net, PICTURE, target, layer="5", method=method, preprocess=preprocess, **METHODS[method]
        )

    def expect(self, call):
        """Whatever comes out, nothing is armed after it."""
        try:
            call()
        except (*ERRORS, mmcam.ExplainError, mmcam.PictureError):
            pass
        finally:
            for fault in self.faults:
                fault.state["armed"] = None

    @rule(method=st.sampled_from(sorted(METHODS)))
    def works(self, method):
        values = self.explain(method).values
        first = self.first.setdefault(method, values)
        assert torch.equal(values, first), method

    @rule(
        method=st.sampled_from(sorted(METHODS)),
        place=st.integers(0, 2),
        way=st.sampled_from(("forward", "backward")),
        times=st.integers(0, 3),
        error=st.sampled_from(ERRORS),
    )
    def breaks_in_the_network(self, method, place, way, times, error):
        self.faults[place].state["armed"] = (way, times, error("planted"))
        self.expect(lambda: self.explain(method))
        self.works(method)

    @rule(method=st.sampled_from(sorted(METHODS)), error=st.sampled_from(ERRORS))
    def breaks_in_the_target(self, method, error):
        def target(_):
            raise error("planted")

        self.expect(lambda: self.explain(method, target))

    @rule(method=st.sampled_from(sorted(METHODS)), error=st.sampled_from(ERRORS))
    def breaks_in_the_preparation(self, method, error):
        class Broken(mmcam.Preprocess):
            def __call__(self, *_, **__):
                raise error("planted")

        self.expect(lambda: self.explain(method, preprocess=Broken(size=(32, 32), mode="squash")))

    @rule(method=st.sampled_from(sorted(METHODS)), asked=st.sampled_from((99, "no such class", None, 1.5)))
    def is_asked_wrongly(self, method, asked):
        self.expect(lambda: self.explain(method, asked))

    @invariant()
    def as_found(self):
        state, before = self.before
        state.check()
        assert resources() == before


class TestFaults(Faults.TestCase):
    settings = settings(max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.long
class TestManyFaults(Faults.TestCase):
    settings = settings(
        max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )


def test_a_planted_fault_is_reached():
    """What the machine rests on: an armed place raises what it was armed with, forward and back."""
    net = network()
    for way in ("forward", "backward"):
        net[6].state["armed"] = (way, 0, KeyboardInterrupt("planted"))
        with pytest.raises(KeyboardInterrupt, match="planted"):
            mmcam.explain_class(net, PICTURE, 3, layer="2")
        assert net[6].state["armed"] is None
