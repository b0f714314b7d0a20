"""gScoreCAM: Score-CAM of each target's own channels of greatest gradient."""

import pytest
import torch
from tiny import Deep, Gap, pictures, seeded, upsampled

from mmcam import ExplainError, attribute, explain_class


def literal(net, x, target, share):
    """One picture (1,3,16,16), one channel at a time."""
    a = net.features(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net.head(a.flatten(1))[0, target], a)
    order = gradient.mean((2, 3))[0].argsort(descending=True)[: max(1, round(share * a.shape[1]))].tolist()
    scores = []
    for k in order:
        up = upsampled(a[0, k].detach(), x.shape[-2:])
        with torch.no_grad():
            scores.append(net(x * (up - up.min()) / (up.max() - up.min()))[0, target])
    weights = torch.stack(scores).softmax(0)
    return sum(w * a[0, k].detach() for w, k in zip(weights, order, strict=True)).relu(), order


@pytest.mark.parametrize("share", [0.01, 0.5, 0.84])
def test_as_a_literal_loop(share):
    net, x = seeded(Deep), pictures(2)
    maps = attribute(net, x, [0, 4], layer="features", method="gscorecam", share=share, rows=3)
    chosen = set()
    for t, target in enumerate((0, 4)):
        for n in range(2):
            expected, order = literal(net, x[n : n + 1], target, share)
            chosen.add(tuple(order))
            torch.testing.assert_close(maps[t, n], expected, rtol=1e-4, atol=1e-6)
    assert len(chosen) > 1, "every target and picture has channels of its own"


def test_all_channels_are_score_cam():
    net, x = seeded(Gap), pictures(2)
    every = attribute(net, x, [1, 2], method="gscorecam", share=1.0)
    torch.testing.assert_close(every, attribute(net, x, [1, 2], method="scorecam"))
    some = attribute(net, x, [1, 2], method="gscorecam", share=1.0, units=[1, 4])
    torch.testing.assert_close(some, attribute(net, x, [1, 2], method="scorecam", units=[1, 4]))


def test_its_weights_are_those_of_the_channels_that_were_tried():
    exp = explain_class(seeded(Gap), pictures(1), [1], method="gscorecam", share=0.25)[0]
    assert int((exp.weights > 0).sum()) == 2
    assert float(exp.weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none(share):
    with pytest.raises(ExplainError, match=r"share=.* is none; pass 0 < share ≤ 1"):
        attribute(seeded(Gap), pictures(1), [1], method="gscorecam", share=share)
