"""Context subtraction and the rank-Gaussian filter against loops in double precision and a library's search."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_filter import filtered
from scipy.optimize import minimize_scalar

from mmcam.methods.token_maps import less_context, rank_gaussian


@pytest.mark.parametrize("shape", [(7, 9), (2, 2), (14, 3)])
def test_the_filter_is_its_loop(shape):
    image = np.random.default_rng(0).random(shape).clip(0.4, 1) - 0.4
    np.testing.assert_allclose(rank_gaussian(torch.tensor(image)[None])[0].numpy(), filtered(image), atol=1e-12)


def test_the_filter_keeps_what_is_even_and_takes_single_cells_down():
    even = torch.full((2, 3, 5, 5), 0.3)
    torch.testing.assert_close(rank_gaussian(even), even)
    spike = torch.zeros(6, 6)
    spike[2, 3] = 1.0
    assert float(rank_gaussian(spike).max()) < 0.2
    assert not rank_gaussian(torch.zeros(6, 6)).any()
    torch.testing.assert_close(rank_gaussian(torch.tensor([[2.0]])), torch.tensor([[2.0]]))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_the_filter_has_no_unit(seed, unit):
    image = torch.rand(5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(rank_gaussian(unit * image), unit * rank_gaussian(image))


@pytest.mark.parametrize("seed", range(5))
def test_the_share_is_the_one_that_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    own, earlier, r = rng.random((4, 5)), rng.random((3, 4, 5)), rng.random(3)
    shared = (r / r.sum()) @ earlier.reshape(3, -1)
    share = minimize_scalar(lambda s: ((own.ravel() - s * shared) ** 2).sum()).x
    expected = np.clip(own.ravel() - share * shared, 0, None).reshape(4, 5)
    made = less_context(torch.tensor(own), torch.tensor(earlier), torch.tensor(r))
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-6)
    assert made.any()


def test_what_is_wholly_shared_is_gone_and_what_nothing_shares_stays():
    own = torch.rand(3, 4)
    assert float(less_context(own, 2 * own[None], torch.ones(1)).max()) < 1e-6
    for earlier, r in ((torch.rand(2, 3, 4), torch.zeros(2)), (torch.zeros(0, 3, 4), torch.zeros(0)),
                       (torch.zeros(1, 3, 4), torch.ones(1))):  # fmt: skip
        torch.testing.assert_close(less_context(own, earlier, r), own)
