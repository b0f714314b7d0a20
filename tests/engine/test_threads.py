"""Several threads on one model: right maps, and the model as it was."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from state import State
from torch import nn

from mmcam import attribute
from mmcam.engine.as_found import as_found

METHODS = ("gradcam", "guided_backprop", "smoothgrad", "c_mwp")


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)),
        *(
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        ),
    ).train()


@pytest.mark.parametrize("method", METHODS)
def test_eight_threads_on_one_model_in_training(method):
    model, x = network(), torch.rand(40, 3, 32, 32)
    options = {"n": 2} if method == "smoothgrad" else {}
    expected = [attribute(model, x[n : n + 1], [n % 5], method=method, **options) for n in range(40)]
    before = State(model)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: attribute(model, x[n : n + 1], [n % 5], method=method, **options), range(40)))
    before.check()
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


def test_eight_threads_with_four_methods_at_once():
    """Forty calls each, every thread in its own order of methods: some read the flags that others switch."""
    model, x = network(), torch.rand(8, 3, 16, 16)

    def ask(n, method):
        return attribute(model, x[n : n + 1], [n % 5], method=method, **({"n": 2} if method == "smoothgrad" else {}))

    expected = {(n, method): ask(n, method) for n in range(8) for method in METHODS}
    before, barrier = State(model), threading.Barrier(8)

    def work(n):
        barrier.wait()
        calls = [METHODS[(n + call) % len(METHODS)] for call in range(40)]
        return [torch.equal(ask(n, method), expected[n, method]) for method in calls]

    with ThreadPoolExecutor(8) as pool:
        right = [each for done in pool.map(work, range(8)) for each in done]
    before.check()
    assert right == [True] * 320


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_during_another_threads_pass_does_not_wait_for_it():
    model, x, inside, on = network(), torch.rand(1, 3, 32, 32), threading.Event(), threading.Event()

    def pausing():
        with as_found(model):
            inside.set()
            on.wait(0.5)

    thread = threading.Thread(target=pausing)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        with as_found(model):
            os._exit(0)
    on.set()
    thread.join()
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child waits for ever")
    assert os.waitstatus_to_exitcode(status) == 0
    assert attribute(model, x, [0]).shape[1] == 1
