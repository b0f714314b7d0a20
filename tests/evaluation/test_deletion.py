"""Insertion, deletion and ROAD: a linear model in closed form, literal loops, and pytorch-grad-cam's imputation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam.metrics.perturbation_confidence import RemoveMostRelevantFirst
from pytorch_grad_cam.metrics.road import NoisyLinearImputer
from scipy.ndimage import gaussian_filter
from scipy.sparse import diags, eye, kron
from scipy.sparse.linalg import spsolve

from mmcam.evaluation.deletion import Curve, blurred, deletion, insertion, ranked, road
from mmcam.evaluation.imputation import impute

SEEDS = st.integers(0, 10_000)


def linear(weights):
    """Σ w·x over pixels and channels."""
    return lambda x: (x * weights).sum((1, 2, 3))


# --- deletion and insertion -------------------------------------------------------------------------------------------


def test_of_a_linear_model_the_curves_are_known():
    """Four pixels that count 4, 3, 2, 1: deleted in that order 10, 6, 3, 1, 0 are left, inserted 0, 4, 7, 9, 10."""
    heatmap = torch.tensor([[1.0, 3.0], [4.0, 2.0]])
    score, picture = linear(heatmap), torch.ones(1, 2, 2)
    gone = deletion(score, picture, heatmap, steps=4)
    assert gone == Curve((0, 0.25, 0.5, 0.75, 1), (10, 6, 3, 1, 0))
    assert gone.area == pytest.approx((10 / 2 + 6 + 3 + 1) / 4)
    come = insertion(score, picture, heatmap, steps=4, baseline=0.0)
    assert come.scores == (0, 4, 7, 9, 10)
    assert come.area == pytest.approx((4 + 7 + 9 + 10 / 2) / 4)
    assert come.mean == pytest.approx(30 / 4)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 30), st.integers(1, 7))
def test_in_closed_form_whatever_the_steps(seed, steps, rows):
    """Contributions c = w·(x − b): deletion leaves Σ w·x less those gone, insertion adds them to Σ w·b."""
    torch.manual_seed(seed)
    weights, picture, baseline = torch.randn(3, 3, 5, 4, dtype=torch.float64)
    heatmap = torch.randn(5, 4)
    given = (weights * (picture - baseline)).sum(0).flatten()[heatmap.flatten().argsort(descending=True)]
    counts = [round(i * 20 / steps) for i in range(steps + 1)]
    gone = deletion(linear(weights), picture, heatmap, steps=steps, baseline=baseline, rows=rows)
    come = insertion(linear(weights), picture, heatmap, steps=steps, baseline=baseline, rows=rows)
    assert gone.shares == come.shares == tuple(count / 20 for count in counts)
    whole, none = float((weights * picture).sum()), float((weights * baseline).sum())
    assert gone.scores == pytest.approx([whole - float(given[:count].sum()) for count in counts])
    assert come.scores == pytest.approx([none + float(given[:count].sum()) for count in counts])


def test_no_map_of_a_linear_model_is_better_than_its_contributions():
    torch.manual_seed(0)
    weights, picture = torch.randn(1, 6, 6), torch.rand(1, 6, 6)
    best = (weights * picture)[0]
    score = linear(weights)
    for other in (torch.rand(6, 6), weights[0], -best):
        assert deletion(score, picture, best, steps=36).area <= deletion(score, picture, other, steps=36).area
        assert (
            insertion(score, picture, best, steps=36, baseline=0.0).area
            >= insertion(score, picture, other, steps=36, baseline=0.0).area
        )


def test_a_literal_loop():
    torch.manual_seed(1)
    picture, heatmap = torch.rand(3, 6, 5), torch.rand(6, 5)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 1))

    def score(x):
        return net(x)[:, 0]

    places = sorted(((float(heatmap[y, x]), y, x) for y in range(6) for x in range(5)), reverse=True)
    left, expected = picture.clone(), [score(picture[None]).item()]
    for i, (_, y, x) in enumerate(places, start=1):
        left[:, y, x] = 0.5
        if i % 3 == 0:
            expected.append(score(left[None]).item())
    curve = deletion(score, picture, heatmap.numpy(), steps=10, baseline=0.5)
    assert curve.scores == pytest.approx(expected, abs=1e-6)


def test_insertion_starts_from_the_blurred_picture():
    picture, heatmap = torch.rand(3, 20, 14), torch.rand(20, 14)
    seen = []

    def score(x):
        seen.append(x)
        return x.mean((1, 2, 3))

    insertion(score, picture, heatmap, steps=4, rows=2)
    assert [len(x) for x in seen] == [2, 2, 1], "no more at a time than rows"
    torch.testing.assert_close(seen[0][0], blurred(picture))
    assert torch.equal(seen[-1][-1], picture)


def test_the_models_are_asked_without_a_graph():
    weights = torch.ones(1, 2, 2, requires_grad=True)
    assert deletion(linear(weights), torch.ones(1, 2, 2), torch.rand(2, 2), steps=2).scores == (4, 2, 0)


def test_the_blur_is_scipys():
    picture = torch.rand(3, 17, 23, dtype=torch.float64)
    # Truncated at 5 pixels of sigma 5; scipy's mirror is torch's reflect.
    expected = np.stack([gaussian_filter(c, 5, truncate=1, mode="mirror") for c in picture.numpy()])
    np.testing.assert_allclose(blurred(picture), expected, atol=1e-7)
    even = torch.full((2, 12, 12), 3.0)
    torch.testing.assert_close(blurred(even), even)


# --- the order --------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_every_pixel_once_and_the_highest_first(seed):
    heatmap = np.random.default_rng(seed).integers(0, 4, (5, 7)).astype(np.float32)
    order = ranked(heatmap, seed)
    assert sorted(order.tolist()) == list(range(35))
    assert (np.diff(heatmap.ravel()[order]) <= 0).all()
    assert torch.equal(order, ranked(torch.from_numpy(heatmap), seed))


def test_arrays_however_they_lie_in_memory():
    heatmap = np.random.default_rng(0).random((5, 7))
    expected = ranked(torch.from_numpy(heatmap))
    assert torch.equal(ranked(heatmap[:, ::-1][:, ::-1]), expected)
    assert torch.equal(ranked(heatmap.astype(">f8")), expected)


def test_equal_pixels_come_in_no_direction():
    empty = np.zeros((20, 20))
    rows = ranked(empty)[:200].float().div(20, rounding_mode="floor")
    assert 8 < rows.mean() < 11, "half of an empty map is not its upper half"
    assert not torch.equal(ranked(empty, 1), ranked(empty, 2))


# --- ROAD -------------------------------------------------------------------------------------------------------------


def test_one_missing_pixel_is_the_weighted_mean_of_its_neighbours():
    picture = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 99.0, 6.0], [7.0, 8.0, 10.0]]])
    missing = torch.zeros(3, 3, dtype=torch.bool)
    missing[1, 1] = True
    made = impute(picture, missing, noise=0)
    assert float(made[0, 1, 1]) == pytest.approx((2 + 4 + 6 + 8) / 6 + (1 + 3 + 7 + 10) / 12)
    made[0, 1, 1] = 99
    assert torch.equal(made, picture), "the others stay"


def test_a_missing_corner_shares_the_weight_among_three():
    picture = torch.tensor([[[99.0, 6.0], [12.0, 3.0]]])
    missing = torch.tensor([[True, False], [False, False]])
    assert float(impute(picture, missing, noise=0)[0, 0, 0]) == pytest.approx((6 / 6 + 12 / 6 + 3 / 12) / (5 / 12))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(0.05, 0.9))
def test_pytorch_grad_cam_imputes_the_same(seed, share):
    rng = np.random.default_rng(seed)
    picture = torch.from_numpy(rng.random((3, 9, 7))).float()
    missing = torch.from_numpy(rng.random((9, 7)) < share)
    missing[rng.integers(9), rng.integers(7)] = True
    missing[0, 0] = False
    theirs = NoisyLinearImputer(noise=0)(picture, (~missing).float())
    torch.testing.assert_close(impute(picture, missing, noise=0), theirs, atol=1e-5, rtol=1e-5)


def test_pytorch_grad_cam_removes_the_same_pixels():
    """An 11×11 map at its 70th percentile: the 36 pixels above and, as it says "not lower", the one that is it."""
    torch.manual_seed(0)
    picture, heatmap = torch.rand(3, 11, 11), torch.rand(11, 11)
    theirs = RemoveMostRelevantFirst(70, NoisyLinearImputer(noise=0))(picture, heatmap)
    seen = []

    def score(x):
        seen.extend(x)
        return x.mean((1, 2, 3))

    curve = road(score, picture, heatmap, shares=[37 / 121], noise=0)
    assert curve.shares == (0, 37 / 121)
    torch.testing.assert_close(seen[1], theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(seen[0], picture)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_harmonic_fill_stays_between_its_neighbours(seed):
    rng = np.random.default_rng(seed)
    picture, missing = torch.from_numpy(rng.random((2, 8, 8))), torch.from_numpy(rng.random((8, 8)) < 0.6)
    missing[3, 3] = False
    made = impute(picture, missing, noise=0)
    for channel, filled in zip(picture, made, strict=True):
        known = channel[~missing]
        assert known.min() - 1e-9 <= filled.min()
        assert filled.max() <= known.max() + 1e-9


@pytest.mark.parametrize("how", ["scattered", "in one piece", "speckled", "all but one"])
def test_large_holes_are_filled_as_a_plain_sparse_solver_fills_them(how):
    """The weighted means written down as equations of all pixels, known ones too, for scipy's `spsolve`."""
    rng = np.random.default_rng(0)
    height, width = 90, 71
    noise = rng.random((height, width))
    rough = {"scattered": noise, "in one piece": gaussian_filter(noise, 12), "speckled": gaussian_filter(noise, 1.5)}
    relevance = rough.get(how, noise)
    hole = relevance > (np.quantile(relevance, 0.1) if how != "all but one" else relevance.min())
    picture = torch.from_numpy(rng.normal(size=(3, height, width)))

    def grid(side):
        return eye(side), diags([1.0, 1.0], [-1, 1], shape=(side, side))

    (stay_y, step_y), (stay_x, step_x) = grid(height), grid(width)
    weights = (kron(step_y, stay_x) + kron(stay_y, step_x)) / 6 + kron(step_y, step_x) / 12
    means = diags(1 / np.asarray(weights.sum(1)).ravel()) @ weights
    asked = diags(hole.ravel().astype(float))
    known = np.where(hole, 0.0, picture.numpy()).reshape(3, -1)
    expected = spsolve((eye(height * width) - asked @ means).tocsc(), known.T).T.reshape(3, height, width)
    made = impute(picture, torch.from_numpy(hole), noise=0)
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-4 * float(picture.abs().max()))


def test_noise_is_on_the_missing_pixels_only_and_seeded():
    picture, missing = torch.rand(3, 40, 40), torch.rand(40, 40) < 0.5
    smooth, noisy = impute(picture, missing, noise=0), impute(picture, missing, noise=0.1, seed=3)
    assert torch.equal(noisy, impute(picture, missing, noise=0.1, seed=3))
    assert not torch.equal(noisy, impute(picture, missing, noise=0.1, seed=4))
    assert torch.equal(noisy[:, ~missing], picture[:, ~missing])
    assert float((noisy - smooth)[:, missing].std()) == pytest.approx(0.1, rel=0.1)
    state = torch.get_rng_state()
    impute(picture, missing)
    assert torch.equal(state, torch.get_rng_state()), "the global random state stays"


def test_what_is_missing_is_not_looked_at():
    picture, missing = torch.rand(3, 6, 6), torch.rand(6, 6) < 0.5
    hidden = torch.where(missing, torch.nan, picture)
    assert torch.equal(impute(hidden, missing), impute(picture, missing))
    assert torch.equal(impute(picture, torch.zeros(6, 6, dtype=torch.bool)), picture)


def test_road_prefers_the_map_that_shows_the_spot():
    """A bright square on grey is imputed away by the map that shows it, and stays under the negative."""
    picture = torch.full((1, 20, 20), 0.2)
    picture[0, 5:10, 5:10] = 1.0
    heatmap = torch.zeros(20, 20)
    heatmap[4:11, 4:11] = 1.0

    def score(x):
        return x[:, 0, 5:10, 5:10].mean((1, 2))

    found, missed = (road(score, picture, values, shares=[0.2, 0.4], noise=0) for values in (heatmap, -heatmap))
    assert found.scores == pytest.approx((1, 0.2, 0.2), abs=1e-6)
    assert missed.scores == pytest.approx((1, 1, 1))
    assert found.mean == pytest.approx(0.2)


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_said_in_a_sentence():
    picture, heatmap = torch.rand(3, 4, 4), torch.rand(4, 4)
    score = linear(torch.ones(3, 4, 4))
    with pytest.raises(ValueError, match=r"picture has shape \(3, 4, 4\) and the map \(2, 2\)"):
        deletion(score, picture, torch.rand(2, 2))
    with pytest.raises(ValueError, match=r"not \(3, 4, 4\); of a pixel map, take Explanation.cam"):
        ranked(picture)
    with pytest.raises(ValueError, match="undefined values"):
        insertion(score, picture, heatmap * torch.nan, baseline=0.0)
    with pytest.raises(ValueError, match="steps=0 is none"):
        deletion(score, picture, heatmap, steps=0)
    with pytest.raises(ValueError, match="rows=0 pictures"):
        deletion(score, picture, heatmap, rows=0)
    with pytest.raises(ValueError, match=r"baseline \(3, 2, 2\)"):
        deletion(score, picture, heatmap, baseline=torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="No blur of 11 pixels"):
        insertion(score, picture, heatmap)
    with pytest.raises(ValueError, match=r"scores of shape \(\)"):
        deletion(lambda x: x.sum(), picture, heatmap)
    with pytest.raises(ValueError, match="do not rise between 0 and 1"):
        road(score, picture, heatmap, shares=[0.5, 0.5])
    with pytest.raises(ValueError, match="do not rise between 0 and 1"):
        road(score, picture, heatmap, shares=[0.5, 1.0])
    with pytest.raises(ValueError, match="All pixels are missing"):
        impute(picture, torch.ones(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"mask \(2, 2\)"):
        impute(picture, torch.ones(2, 2, dtype=torch.bool))
