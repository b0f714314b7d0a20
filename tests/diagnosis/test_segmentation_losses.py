"""SEC's losses and the field, against closed forms, loops, and another's lattice."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.diagnosis.segmentation.crf import LONG, Field, dense, mean_field, pairs
from mmcam.diagnosis.segmentation.losses import (
    ABSENT,
    CELLS,
    FLOOR,
    PRESENT,
    SURROUNDINGS,
    boundary,
    expansion,
    probabilities,
    rank_pooled,
    seeding,
)


def random_p(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(1)


def test_no_probability_is_below_the_floor():
    p = probabilities(torch.tensor([[[[1000.0]], [[0.0]], [[-1000.0]]]]))
    assert p.sum(1).item() == pytest.approx(1)
    assert p[0, 1, 0, 0].item() == pytest.approx(FLOOR / (1 + 3 * FLOOR), rel=1e-4)


def test_seeding_by_hand():
    p = random_p(2, 3, 2, 2)
    seeds = torch.tensor([[[0, -1], [2, 2]], [[-1, -1], [-1, -1]]])
    expected = -(p[0, 0, 0, 0].log() + p[0, 2, 1, 0].log() + p[0, 2, 1, 1].log()) / 3 / 2  # the second has none
    assert seeding(p, seeds).item() == pytest.approx(expected.item())


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_rank_pooling_lies_between_mean_and_maximum(seed):
    p = random_p(1, 2, 3, 4, seed=seed)
    mean, most = p.mean((2, 3)), p.amax((2, 3))
    assert torch.allclose(rank_pooled(p, 1.0), mean)
    assert torch.allclose(rank_pooled(p, 0.0), most)
    pooled = rank_pooled(p, PRESENT)
    assert (pooled >= mean - 1e-12).all()
    assert (pooled <= most + 1e-12).all()


def test_rank_pooling_on_the_published_grid_is_the_published_sum():
    p = random_p(1, 2, 41, 41)
    ranked = sorted(p[0, 1].flatten().tolist(), reverse=True)
    expected = math.fsum(v * 0.996**j for j, v in enumerate(ranked)) / math.fsum(0.996**j for j in range(CELLS))
    assert rank_pooled(p, 0.996)[0, 1].item() == pytest.approx(expected)


def test_the_same_share_of_a_picture_counts_on_a_coarser_grid():
    """A map whose cells are each 3×3 cells of a finer one is pooled alike."""
    coarse = random_p(1, 2, 27, 27)
    fine = coarse.repeat_interleave(3, 2).repeat_interleave(3, 3)
    for decay in (PRESENT, SURROUNDINGS):
        assert torch.allclose(rank_pooled(coarse, decay), rank_pooled(fine, decay), rtol=5e-3)


def test_expansion_by_hand():
    p = random_p(1, 4, 5, 5)
    present = torch.tensor([[True, False, True, False]])
    g = {decay: rank_pooled(p, decay)[0].tolist() for decay in (PRESENT, ABSENT, SURROUNDINGS)}
    expected = (
        -math.log(g[PRESENT][2])
        - (math.log(1 - g[ABSENT][1]) + math.log(1 - g[ABSENT][3])) / 2
        - math.log(g[SURROUNDINGS][0])
    )
    assert expansion(p, present).item() == pytest.approx(expected)


def test_expansion_of_a_picture_that_shows_everything_or_nothing_is_finite():
    p = probabilities(torch.randn(2, 3, 4, 4) * 50)
    for here in (True, False):
        assert torch.isfinite(expansion(p, torch.tensor([[True, here, here]] * 2)))


def test_boundary_is_the_divergence():
    p, q = random_p(1, 3, 2, 2), random_p(1, 3, 2, 2, seed=1)
    cells = [sum(b * math.log(b / a) for a, b in zip(p[0, :, y, x].tolist(), q[0, :, y, x].tolist(), strict=True))
             for y, x in itertools.product(range(2), range(2))]  # fmt: skip
    assert boundary(p, q).item() == pytest.approx(sum(cells) / 4)
    assert boundary(p, p).item() == pytest.approx(0, abs=1e-12)


def brute_force(p, pixels, field):
    """Mean field by loops over pairs of cells; p (C, h, w), pixels (3, h, w)."""
    classes, h, w = p.shape
    cells = list(itertools.product(range(h), range(w)))
    unit = LONG / max(h, w)

    def kernel(width, rgb):
        k = np.zeros((len(cells), len(cells)))
        for i, a in enumerate(cells):
            for j, b in enumerate(cells):
                far = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) * unit**2 / width**2
                unlike = 0 if rgb is None else sum((pixels[c][a] - pixels[c][b]) ** 2 for c in range(3)) / rgb**2
                k[i, j] = math.exp(-(far + unlike) / 2)
        norm = [1 / math.sqrt(row.sum()) for row in k]
        return [[k[i, j] * norm[i] * norm[j] for j in range(len(cells))] for i in range(len(cells))]

    near, alike = kernel(field.near, None), kernel(field.xy, field.rgb)
    q = [[p[c][a] for c in range(classes)] for a in cells]
    for _ in range(field.iterations):
        new = []
        for i, a in enumerate(cells):
            said = []
            for c in range(classes):
                drawn = sum(
                    (field.gaussian * near[i][j] + field.bilateral * alike[i][j]) * q[j][c] for j in range(len(cells))
                )
                said.append(p[c][a] * math.exp(drawn))
            new.append([value / sum(said) for value in said])
        q = new
    return np.array(q).T.reshape(p.shape)


@pytest.mark.parametrize("shape", [(3, 4), (5, 2), (1, 6)])
def test_mean_field_is_what_loops_give(shape):
    p = random_p(2, 3, *shape)
    pixels = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 60
    field = Field(bilateral=3, xy=200, rgb=20, gaussian=1.5, near=150, iterations=4)
    found = mean_field(p.log(), pairs(pixels, field), field.iterations)
    for n in range(2):
        assert np.allclose(found[n], brute_force(p[n].numpy(), pixels[n].numpy(), field), atol=1e-9)


def test_mean_field_has_gradients():
    p = random_p(1, 2, 3, 3).log().requires_grad_()
    between = pairs(torch.rand(1, 3, 3, 3, dtype=torch.float64) * 40)
    assert torch.autograd.gradcheck(lambda log_p: mean_field(log_p, between, 3), (p,))


def planted_edge(side=40):
    """A picture of two colours, and a noisy guess of which is where: (pixels (3, h, w), p (2, h, w), truth (h, w))."""
    rng = np.random.default_rng(0)
    truth = np.zeros((side, side), int)
    truth[:, side // 2 + 3 :] = 1
    pixels = np.where(truth[None], 200, 60) + rng.normal(0, 3, (3, side, side))
    one = (0.3 + 0.4 * truth + rng.normal(0, 0.15, truth.shape)).clip(0.05, 0.95)
    return pixels.clip(0, 255), np.stack([1 - one, one]), truth


def test_a_field_finds_the_edge_that_a_noisy_guess_has_not():
    pixels, p, truth = planted_edge(24)
    found = mean_field(torch.tensor(p)[None].log(), pairs(torch.tensor(pixels)[None]))[0].argmax(0).numpy()
    assert (p.argmax(0) != truth).mean() > 0.03
    assert (found == truth).all()


def test_the_lattice_gives_what_the_exact_sums_give():
    pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed (it builds on Python 3.11, 3.12)")
    pixels, p, _ = planted_edge(40)
    # Weak pairs, so that the two are compared where neither has settled at 0 or 1.
    field = Field(bilateral=0.8, xy=120, rgb=30, gaussian=0.5, near=30, iterations=5)
    bytes_ = pixels.round().astype(np.uint8)
    exact = mean_field(
        torch.tensor(p)[None].log(), pairs(torch.tensor(bytes_).double()[None], field), field.iterations
    )[0].numpy()
    lattice = dense(p, np.ascontiguousarray(bytes_.transpose(1, 2, 0)), field)
    assert np.abs(exact - p).mean() > 0.05, "the field changes something"
    assert np.abs(exact - lattice).mean() < 0.02
    assert np.corrcoef(exact[1].ravel(), lattice[1].ravel())[0, 1] > 0.99


def test_without_pydensecrf_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydensecrf", None)
    with pytest.raises(Exception, match=r"mmcam\[segmentation\].*--field grid"):
        dense(np.full((2, 3, 3), 0.5), np.zeros((3, 3, 3), np.uint8))
