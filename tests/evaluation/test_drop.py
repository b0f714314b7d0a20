"""Average drop, increase and win: by hand, as literal loops, and beside pytorch-grad-cam."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.metrics.cam_mult_image import multiply_tensor_with_cam as pgc_product
from torch import nn

from mmcam.evaluation.drop import average_drop, drops, increase, seen_through, win

PROBABILITIES = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8)


def test_by_hand():
    whole, seen = torch.tensor([0.8, 0.5, 0.5, 0.2]), torch.tensor([0.2, 0.5, 0.6, 0.1])
    assert drops(whole, seen).tolist() == pytest.approx([0.75, 0, 0, 0.5])
    assert average_drop(whole, seen) == pytest.approx(100 * 1.25 / 4)
    assert increase(whole, seen) == 25, "as high is not higher"
    assert win(seen, torch.tensor([0.1, 0.5, 0.7, 0.3])) == pytest.approx(100 * (1 + 0.5) / 4)


@settings(max_examples=50, deadline=None)
@given(PROBABILITIES)
def test_as_loops_over_the_papers_formulas(figures):
    whole, seen, other = (torch.tensor(column, dtype=torch.float64) for column in zip(*figures, strict=True))
    n = len(figures)
    assert average_drop(whole, seen) == pytest.approx(sum(max(0, y - o) / y for y, o, _ in figures) * 100 / n)
    assert increase(whole, seen) == pytest.approx(sum(y < o for y, o, _ in figures) * 100 / n)
    assert win(seen, other) + win(other, seen) == pytest.approx(100)
    assert 0 <= average_drop(whole, seen) <= 100


def test_a_picture_is_seen_through_its_map():
    picture = torch.tensor([[[2.0, 4.0], [6.0, 8.0]], [[1.0, 1.0], [1.0, 1.0]]])[None]
    heatmap = torch.tensor([[[5.0, 10.0], [-3.0, 0.0]]])
    assert seen_through(picture, heatmap)[0].tolist() == [[[1, 4], [0, 0]], [[0.5, 1], [0, 0]]]
    assert seen_through(picture, heatmap, blank=2.0)[0, 0].tolist() == [[2, 4], [2, 2]]


def test_a_constant_map_shows_everything_and_an_empty_one_nothing():
    pictures = torch.rand(3, 3, 4, 5)
    assert torch.equal(seen_through(pictures, torch.full((4, 5), 0.25)), pictures)
    assert not seen_through(pictures, torch.zeros(3, 4, 5)).any()
    assert not seen_through(pictures, -torch.ones(3, 4, 5)).any()


def test_each_map_has_a_scale_of_its_own():
    pictures, maps = torch.rand(3, 3, 4, 5), torch.rand(3, 4, 5)
    scaled = maps * torch.tensor([1.0, 1e-6, 1e6])[:, None, None]
    torch.testing.assert_close(seen_through(pictures, scaled), seen_through(pictures, maps))
    alone = torch.cat([seen_through(pictures[n : n + 1], maps[n : n + 1]) for n in range(3)])
    assert torch.equal(seen_through(pictures, maps), alone)
    assert seen_through(pictures.half(), maps).dtype == torch.float16


def test_pytorch_grad_cam_agrees():
    """Of maps whose maximum is 1: it takes them as they are, and gives its drop in absolute terms."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 4), nn.Softmax(1)).eval()
    pictures, maps = torch.rand(6, 3, 4, 5), torch.rand(6, 4, 5)
    maps /= maps.amax((1, 2), keepdim=True)
    with torch.no_grad():
        whole, seen = model(pictures)[:, 2], model(seen_through(pictures, maps))[:, 2]
    theirs = (pictures, maps.numpy(), [lambda scores: scores[2]] * 6, model)
    torch.testing.assert_close(seen_through(pictures, maps)[0], pgc_product(pictures[0], maps[0]))
    np.testing.assert_allclose(drops(whole, seen) * whole, DropInConfidence()(*theirs), atol=1e-6)
    assert increase(whole, seen) == pytest.approx(100 * IncreaseInConfidence()(*theirs).mean())


def test_what_is_no_share_is_said():
    with pytest.raises(ValueError, match="pass probabilities"):
        average_drop(torch.tensor([0.5, 0.0]), torch.tensor([0.1, 0.1]))
    with pytest.raises(ValueError, match="pass probabilities"):
        increase(torch.tensor([-1.0]), torch.tensor([0.1]))
    with pytest.raises(ValueError, match="2 whole pictures and 1 seen"):
        drops(torch.ones(2), torch.ones(1))
    with pytest.raises(ValueError, match="2 scores and 3"):
        win(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match=r"maps \(1, 2, 2\)"):
        seen_through(torch.ones(1, 3, 4, 4), torch.ones(1, 2, 2))
    with pytest.raises(ValueError, match="infinite or undefined"):
        seen_through(torch.ones(1, 3, 2, 2), torch.full((1, 2, 2), float("nan")))
