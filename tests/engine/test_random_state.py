"""The random state is as it was found, and other threads' draws go on."""

import contextlib
import threading

import pytest
import torch
from torch import nn

from mmcam import attribute
from mmcam.engine.as_found import as_found
from mmcam.evaluation.sanity import randomised

PASSES = 25


def quiet():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Dropout(0.5), nn.AvgPool2d(8), nn.Flatten())


class Drawing(nn.Module):
    """Draws in its forward, training or not."""

    def __init__(self):
        super().__init__()
        self.body = quiet()

    def forward(self, x):
        return self.body(x * nn.functional.dropout(torch.ones_like(x), 0.1, training=True))


class WithItsOwn(nn.Module):
    """Draws from a generator of its own."""

    def __init__(self):
        super().__init__()
        self.body, self.generator = quiet(), torch.Generator().manual_seed(0)

    def forward(self, x):
        return self.body(x + torch.rand(x.shape, generator=self.generator))


class Recurrent(nn.Module):
    """Its operation may draw by its name, and does not."""

    def __init__(self):
        super().__init__()
        self.body, self.rnn = quiet(), nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        return self.rnn(self.body(x)[:, None])[0][:, 0]


LAYERS = {quiet: "0", Drawing: "body.0", WithItsOwn: "body.0", Recurrent: "body.0"}


@contextlib.contextmanager
def another_thread_draws():
    """A thread that draws numbers from the default generator; the list of what it drew."""
    drawn, stop, begun = [], threading.Event(), threading.Event()

    def draw():
        while not stop.is_set():
            drawn.append(torch.rand(2, dtype=torch.float64)[0].item())
            begun.set()

    thread = threading.Thread(target=draw)
    thread.start()
    begun.wait()
    try:
        yield drawn
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("method", ["gradcam", "smoothgrad", "rise"])
@pytest.mark.parametrize("kind", [quiet, WithItsOwn, Recurrent])
def test_another_threads_numbers_do_not_come_again(kind, method):
    model, x = kind(), torch.rand(1, 3, 16, 16)
    options = {"gradcam": {}, "smoothgrad": {"n": 2}, "rise": {"n": 4}}[method]
    with another_thread_draws() as drawn:
        for _ in range(PASSES):
            attribute(model, x, [0], layer=LAYERS[kind], method=method, **options)
    assert len(drawn) > PASSES
    assert len(set(drawn)) == len(drawn)


def test_nor_while_weights_are_drawn_anew():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(200, 200), nn.TransformerEncoderLayer(4, 2))

    def weights():
        with randomised(model) as steps:
            for _ in steps:
                pass
            return [tensor.clone() for tensor in model.parameters()]

    expected = weights()
    before = torch.get_rng_state()
    with another_thread_draws() as drawn:
        found = [weights() for _ in range(PASSES)]
    assert not torch.equal(torch.get_rng_state(), before)
    assert len(set(drawn)) == len(drawn)
    for each in found:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(each, expected, strict=True))


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("kind", [quiet, Drawing, WithItsOwn, Recurrent])
def test_the_state_is_as_it_was_found(kind, threads):
    """With an idle thread beside it, too, when only what this thread draws may be taken back."""
    model, x, done = kind(), torch.rand(1, 3, 16, 16), threading.Event()
    idle = [threading.Thread(target=done.wait) for _ in range(threads)]
    for thread in idle:
        thread.start()
    try:
        before = torch.get_rng_state()
        first = attribute(model, x, [0], layer=LAYERS[kind])
        assert torch.equal(torch.get_rng_state(), before)
        if kind is Drawing:
            assert torch.equal(first, attribute(model, x, [0], layer=LAYERS[kind])), "the same state, the same map"
        with contextlib.suppress(RuntimeError), as_found(model):
            torch.rand(1)
            raise RuntimeError
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        done.set()
        for thread in idle:
            thread.join()
