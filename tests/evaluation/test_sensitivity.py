"""Max-sensitivity: maps whose movement is known, a literal loop, and captum's."""

import math

import pytest
import torch
from captum.metrics import sensitivity_max
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcam
from mmcam.evaluation.sensitivity import max_sensitivity


def noise(picture, radius, samples, seed):
    drawn = torch.rand(samples, *picture.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (radius * (drawn * 2 - 1)).to(picture.dtype)


def test_a_map_that_does_not_look_never_moves():
    picture = torch.rand(3, 4, 4)
    assert max_sensitivity(lambda x: torch.ones(len(x), 4, 4), picture) == 0
    assert math.isnan(max_sensitivity(lambda x: torch.zeros(len(x), 4, 4), picture)), "an empty map has no size"
    assert max_sensitivity(lambda x: torch.zeros(len(x), 4, 4), picture, relative=False) == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 1), st.integers(1, 9), st.integers(1, 4))
def test_of_a_map_that_is_the_picture_it_is_the_longest_noise(seed, radius, samples, rows):
    torch.manual_seed(seed)
    picture = torch.rand(2, 3, 4, dtype=torch.float64)
    moved = noise(picture, radius, samples, seed)
    assert moved.abs().max() <= radius
    longest = float(moved.flatten(1).norm(dim=1).max())
    found = max_sensitivity(lambda x: x, picture, radius=radius, samples=samples, relative=False, rows=rows, seed=seed)
    assert found == pytest.approx(longest)
    scaled = max_sensitivity(lambda x: 7 * x, picture, radius=radius, samples=samples, rows=rows, seed=seed)
    assert scaled == pytest.approx(longest / float(picture.norm())), "scale does not matter"


def test_it_rises_with_the_samples():
    picture = torch.rand(3, 5, 5)
    figures = [max_sensitivity(lambda x: x.square().sum(1), picture, samples=n, seed=1) for n in (1, 4, 16)]
    assert figures == sorted(figures)
    assert figures[0] < figures[-1]


def test_captum_agrees_on_gradcam():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()
    picture = torch.rand(3, 8, 8)

    def explain(x):
        return mmcam.attribute(net, x, [1], layer="1")[0]

    moved = noise(picture, 0.1, 6, seed=5)
    theirs = sensitivity_max(
        lambda inputs: (explain(inputs[0]),),
        (picture[None],),
        perturb_func=lambda inputs, radius: (inputs[0] + moved,),
        n_perturb_samples=6,
    )
    assert max_sensitivity(explain, picture, radius=0.1, samples=6, seed=5) == pytest.approx(float(theirs), rel=1e-4)


def test_the_random_state_stays_and_the_seed_decides():
    picture, state = torch.rand(3, 4, 4), torch.get_rng_state()
    first = max_sensitivity(lambda x: x, picture, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert first == max_sensitivity(lambda x: x, picture, seed=1) != max_sensitivity(lambda x: x, picture, seed=2)


def test_mistakes_are_said_in_a_sentence():
    picture = torch.rand(3, 4, 4)
    for wrong in ({"samples": 0}, {"radius": 0.0}, {"rows": 0}):
        with pytest.raises(ValueError, match="draw no noise"):
            max_sensitivity(lambda x: x, picture, **wrong)
    with pytest.raises(ValueError, match=r"pass one, \(C,H,W\)"):
        max_sensitivity(lambda x: x, picture[None])
    with pytest.raises(ValueError, match="10 pictures got 1 maps"):
        max_sensitivity(lambda x: x[:1], picture)
