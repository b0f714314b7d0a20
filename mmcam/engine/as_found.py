"""Run a model and leave it as it was found."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils.checkpoint
from torch import nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.random_state import random_state_kept

_ONE_AT_A_TIME = threading.RLock()
"""Flags, random state and hooks belong to the model and the process, not to a thread."""

if hasattr(os, "register_at_fork"):
    # A child process has only the thread that forked: a pass of another one would hold the lock there for ever.
    os.register_at_fork(
        before=_ONE_AT_A_TIME.acquire,
        after_in_parent=_ONE_AT_A_TIME.release,
        after_in_child=_ONE_AT_A_TIME.release,
    )


@contextlib.contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Evaluate a model without leaving a trace: eval mode, no graph, then flags and random state as they were.

    Of several threads one runs at a time. `torch.compile`d models run eagerly meanwhile, because a compiled graph never
    calls new hooks.
    """
    with _ONE_AT_A_TIME, _as_found(model):
        yield


@contextlib.contextmanager
def _as_found(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    with contextlib.ExitStack() as stack:
        stack.enter_context(random_state_kept(model))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # importing it takes seconds, and without it nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_rnns_run_natively(model))
        stack.enter_context(_checkpoints_run_plainly())
        try:
            for module in training:
                module.training = False
            yield
        finally:
            for module in training:
                module.training = True


@contextlib.contextmanager
def _rnns_run_natively(model: nn.Module) -> Iterator[None]:
    """RNNs that are recorded run by PyTorch's own kernels meanwhile, and by those alone: the convolutions keep theirs.

    cuDNN refuses an RNN's backward in eval mode (pytorch#15788). oneDNN's backward of an LSTM always computes the
    gradients of its weights, too, which nobody asked for: a few words take four times as long.
    """
    found = torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled
    handles: list[RemovableHandle] = []

    def off(module: nn.Module, inputs: Any) -> None:
        if any(p.is_cuda for p in module.parameters()):
            torch.backends.cudnn.enabled = False
        elif torch.is_grad_enabled():
            torch.backends.mkldnn.enabled = False  # type: ignore[assignment]

    def back(module: nn.Module, inputs: Any, output: Any) -> None:
        torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled = found

    try:
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                handles += [module.register_forward_pre_hook(off), module.register_forward_hook(back)]
        yield
    finally:
        for handle in handles:
            handle.remove()
        torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled = found


@contextlib.contextmanager
def _checkpoints_run_plainly() -> Iterator[None]:
    """Re-entrant checkpoints record no graph of what they run and refuse `torch.autograd.grad`, so they stand aside.

    Their segments run as if they were not there, which gives the same numbers. The other kind of checkpoints works.
    """
    function = torch.utils.checkpoint.CheckpointFunction
    if "apply" in vars(function):  # an outer call has seen to it
        yield
        return
    function.apply = staticmethod(lambda run, preserve_rng_state, *inputs: run(*inputs))
    try:
        yield
    finally:
        del function.apply
