"""Rows of a batch are believed independent only when that was seen: what couples them must not reach a map."""

import pytest
import torch
from tiny import pictures, seeded
from torch import nn

import mmcam
from mmcam.engine import independence


class Coupled(nn.Module):
    """Two convolutions, and what the batch has in common subtracted before or behind the layer between them."""

    def __init__(self, where, kind):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU())
        self.norm = nn.BatchNorm1d(8, track_running_stats=False) if kind == "batch norm" else None
        self.head = nn.Linear(8, 4)
        self.where, self.kind = where, kind

    def _couple(self, a):
        if self.kind == "mean":
            return a - 0.5 * a.mean(0, keepdim=True)
        if self.kind == "roll":  # every row reads its neighbour
            return a + 0.3 * a.roll(1, 0)
        return a + 0.2 * a.softmax(0)

    def forward(self, x):
        a = self.stem(x)
        a = self._couple(a) if self.where == "before" else a
        a = self.last(a)
        a = self._couple(a) if self.where == "behind" else a
        return self.head((a * a).mean((2, 3)))


METHODS = {
    "gradcam": {}, "layercam": {}, "gradient": {}, "guided_gradcam": {}, "scorecam": {}, "ablationcam": {},
    "occlusion": {"patch": 8, "stride": 8}, "smoothgrad": {"n": 2, "sigma": 0.1}, "integrated_gradients": {"steps": 2},
}  # fmt: skip


LAYERED = ("gradcam", "layercam", "guided_gradcam", "scorecam", "ablationcam")


@pytest.mark.parametrize("kind", ["mean", "roll", "softmax"])
@pytest.mark.parametrize("where", ["before", "behind"])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_single_pictures_and_single_targets_give(method, where, kind):
    x = pictures(3, 16)
    model, other = seeded(Coupled, where, kind), seeded(Coupled, where, kind)
    options = METHODS[method] | ({"layer": "last"} if method in LAYERED else {})
    targets = [0, 2, lambda out: out[:, 1] - out[:, 3]]
    if method in LAYERED and where == "before" and kind != "softmax":
        # Where its cells lie is measured on a batch of pictures, which this model does not keep apart.
        with pytest.raises(mmcam.ExplainError, match="'last' gives"):
            mmcam.attribute(model, x, targets, method=method, **options)
        return
    got = mmcam.attribute(model, x, targets, method=method, **options)
    for n in range(len(x)):
        for t, target in enumerate(targets):
            one = mmcam.attribute(other, x[n : n + 1], [target], method=method, **options)[0, 0]
            torch.testing.assert_close(got[t, n], one, rtol=1e-4, atol=1e-5 * float(one.abs().max()))


def test_equal_rows_hide_a_mean_but_not_its_gradient():
    """Copies of one picture: all scores are what the picture's is, and still a row reads the others."""
    model = seeded(Coupled, "behind", "mean")
    leaf = torch.rand(1, 6, 8, 8).repeat(3, 1, 1, 1).requires_grad_()
    a = model._couple(leaf)
    assert independence.as_alone([a[:1], a[:1]], model._couple(leaf.detach()), 3)
    assert not independence.has_own_gradient(a, 3, leaf)
    assert independence.has_own_gradient(leaf * 2, 3, leaf)


@pytest.mark.parametrize("training", [True, False])
def test_an_ordinary_network_is_looked_at_once(training):
    model, x = seeded(Coupled, "nowhere", "mean").train(training), pictures(2, 16)
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    mmcam.attribute(model, x, [0, 1], layer="last")
    first = len(passes)
    mmcam.attribute(model, x, [0, 1, 2], layer="last")
    assert len(passes) == first + 1, "remembered"
    assert independence.known(model, ("last", None)) is True


def test_one_picture_and_one_target_need_no_look():
    model = seeded(Coupled, "behind", "mean")
    mmcam.attribute(model, pictures(1, 16), [0], layer="last")
    assert independence.known(model, ("last", None)) is None


@pytest.mark.parametrize("kind", ["dict", "tuple", "namedtuple"])
def test_outputs_of_single_rows_are_joined_as_they_are(kind):
    from collections import namedtuple

    Pair = namedtuple("Pair", "a b")
    wrap = {"dict": lambda a, b: {"a": a, "b": b}, "tuple": lambda a, b: (a, b), "namedtuple": Pair}[kind]
    outputs = [wrap(torch.full((1, 2), float(i)), [torch.full((1, 3, 2), float(-i))]) for i in range(3)]
    whole = independence.joined(outputs)
    first, second = whole.values() if kind == "dict" else whole
    assert first.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert second[0][:, 0, 0].tolist() == [0, -1, -2]
    with pytest.raises(mmcam.ExplainError, match="influence each other"):
        independence.joined([torch.zeros(1, 2), torch.zeros(1, 3)])
