"""Thresholds from a stream against all values sorted."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.neurons.quantile import TopQuantile

quick = settings(max_examples=60, deadline=None)  # a busy machine is not a failure
shares = st.one_of(st.sampled_from([0.005, 0.01, 0.04, 0.1, 0.25, 0.5, 0.9]), st.floats(0.001, 0.999))


def literal(values, share):
    """Of (K,V): the smallest of the m + 1 greatest, m = ⌊share·V⌋."""
    order = np.sort(values, axis=1)[:, ::-1]
    return order[:, math.floor(share * values.shape[1])]


def split(values, cuts, shape):
    """(K,V) as batches (n,K,h,w), cut after so many pictures."""
    h, w = shape
    maps = values.reshape(len(values), -1, h, w).swapaxes(0, 1)
    return [torch.from_numpy(part.copy()) for part in np.split(maps, cuts) if len(part)]


def thresholds(batches, share, places=None, memory=2**30):
    units = batches[0].shape[1]
    found = TopQuantile(share, units, places or sum(batch[:, 0].numel() for batch in batches), memory)
    for batch in batches:
        found.add(batch)
    return found.thresholds()


def distinct(units, places, seed):
    """Values of which no two of a unit are equal."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(places) - places // 2 for _ in range(units)]).astype(np.float32) / 8


@quick
@given(
    st.integers(1, 4), st.integers(1, 12), st.tuples(st.integers(1, 5), st.integers(1, 5)), shares,
    st.lists(st.integers(0, 12), max_size=5), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_thresholds_are_those_of_a_sort(units, pictures, shape, share, cuts, ties, seed):
    rng = np.random.default_rng(seed)
    places = pictures * shape[0] * shape[1]
    values = rng.integers(-3, 3, (units, places)) if ties else rng.standard_normal((units, places))
    values = values.astype(np.float32)
    found = thresholds(split(values, sorted(cuts), shape), share)
    assert found.tolist() == literal(values, share).tolist()


@quick
@given(st.integers(1, 3), st.integers(1, 400), shares, st.integers(0, 2**31))
def test_just_the_share_exceeds_where_no_values_are_equal(units, places, share, seed):
    values = distinct(units, places, seed)
    found = thresholds(split(values, [places // 3, places // 2], (1, 1)), share).numpy()
    above = (values > found[:, None]).sum(1)
    assert (above == math.floor(share * places)).all()
    assert ((values >= found[:, None]).sum(1) == above + 1).all()


def test_thresholds_are_numpys_quantile_of_the_same_rank():
    values = distinct(3, 1001, 0)
    found = thresholds(split(values, [100, 700], (1, 1)), 0.2495)
    expected = np.quantile(values, 1 - 0.249, axis=1, method="inverted_cdf")  # 249 of 1001 places are above
    assert found.tolist() == expected.tolist()


def test_a_unit_that_is_mostly_silent_has_the_threshold_zero():
    values = np.zeros((1, 1000), np.float32)
    values[0, :4] = 1, 2, 3, 4
    assert thresholds(split(values, [3], (1, 1)), 0.005).tolist() == [0]
    assert thresholds(split(values, [3], (1, 1)), 0.003).tolist() == [1]


def test_a_share_of_less_than_one_place_gives_the_maximum():
    values = distinct(2, 90, 3)
    assert thresholds(split(values, [5], (3, 3)), 0.005).tolist() == values.max(1).tolist()


@quick
@given(st.permutations(range(9)), st.integers(0, 2**31))
def test_the_order_of_batches_does_not_matter(order, seed):
    values = np.random.default_rng(seed).standard_normal((3, 90)).astype(np.float32)
    batches = split(values, range(1, 9), (2, 5))
    assert torch.equal(thresholds([batches[i] for i in order], 0.07), thresholds(batches, 0.07))


def test_half_precision_is_compared_as_it_is():
    values = torch.randn(6, 2, 5, 5, dtype=torch.float16)
    found = thresholds([values], 0.1)
    assert found.dtype == torch.float32
    assert torch.equal(found, thresholds([values.float()], 0.1))


def test_fewer_values_than_announced_are_a_share_of_those_that_came():
    values = distinct(2, 299, 5)
    batches = split(values, range(10, 290, 10), (1, 1))
    assert thresholds(batches, 0.1, places=1000).tolist() == literal(values, 0.1).tolist()


def test_thresholds_can_be_asked_for_in_between():
    values = torch.randn(4, 3, 8, 8)
    found = TopQuantile(0.1, 3, 256)
    found.add(values[:2])
    assert torch.equal(found.thresholds(), thresholds([values[:2]], 0.1))
    assert torch.equal(found.thresholds(), thresholds([values[:2]], 0.1))
    found.add(values[2:])
    assert torch.equal(found.thresholds(), thresholds([values], 0.1))


def test_a_graph_is_not_kept():
    values = torch.randn(2, 3, 4, 4, requires_grad=True)
    assert not thresholds([values * 2], 0.1).requires_grad


def test_no_value_at_all_is_an_error():
    with pytest.raises(ValueError, match="no value yet"):
        TopQuantile(0.005, 3, 100).thresholds()


# --- bounded memory ---------------------------------------------------------------------------------------------------

PLACES, BATCH, SHARE, MEMORY = 60_000, 1_000, 0.05, 16_000  # 500 of the 3001 values of each unit that decide


def sampled(values, memory=MEMORY, share=SHARE, seen=None):
    """Thresholds of (K,V) from a stream in little memory, the fraction read and the most values kept of a unit."""
    found = TopQuantile(share, len(values), values.shape[1], memory)
    most = 0
    for start in range(0, values.shape[1], BATCH):
        found.add(values[:, start : start + BATCH].T[:, :, None, None])
        most = max(most, found.kept.shape[1])
        if seen is not None:
            seen.append(found.kept.nbytes)
    return found.thresholds(), found.fraction, most


def test_all_places_are_read_where_they_fit():
    values = torch.from_numpy(distinct(2, 3000, 1))
    found, fraction, most = sampled(values, memory=2**20)
    assert fraction == 1
    assert most == 151
    assert found.tolist() == literal(values.numpy(), SHARE).tolist()


def test_kept_values_stay_within_the_memory():
    values = torch.from_numpy(distinct(2, PLACES, 1))
    kept = []
    _, fraction, _ = sampled(values, seen=kept)
    assert fraction == pytest.approx(MEMORY / 32 / (SHARE * PLACES + 1))
    # A quarter of the memory, for they are merged with as many new ones; a little more, for chance decides how many.
    assert 0.9 * MEMORY / 4 < max(kept) < 1.1 * MEMORY / 4


def test_a_sample_is_as_near_as_its_standard_error_says():
    values = torch.from_numpy(distinct(12, PLACES, 2))
    found, fraction, _ = sampled(values, memory=6 * MEMORY)
    assert fraction < 0.2
    above = (values > found[:, None]).double().mean(1)
    error = math.sqrt(SHARE / (fraction * PLACES))
    assert (above - SHARE).abs().max() < 4 * error
    assert 0.3 * error < (above - SHARE).std() < 2 * error
    # Unbiased: the mean of twelve units, all of whose errors are independent.
    assert abs(above.mean() - SHARE) < 3 * error / math.sqrt(12)


def test_enough_is_kept_when_chance_reads_more_than_expected():
    more = 0
    for places in range(2000, 4000, 100):
        found = TopQuantile(0.5, 1, places, memory=16 * 300)
        found.add(torch.randn(places, 1, 1, 1))
        assert found.fraction < 0.31
        read = int(found.state()["read"])
        more += read > found.fraction * places
        assert found.kept.shape[1] > read / 2
    assert more > 3


def test_a_sample_is_the_same_each_time_and_leaves_random_numbers_alone():
    values = torch.from_numpy(distinct(2, PLACES, 3))
    state = torch.get_rng_state()
    first = sampled(values)[0]
    torch.rand(5)
    torch.manual_seed(7)
    assert torch.equal(sampled(values)[0], first)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_sample_is_drawn_from_the_whole_stream():
    """Each tenth of the stream is read as much: values that grow along it are not taken for their beginning or end."""
    values = torch.arange(PLACES, dtype=torch.float32)[None]
    found, fraction, _ = sampled(values, memory=MEMORY // 2)
    error = math.sqrt(SHARE / (fraction * PLACES))
    assert float((values > found).double().mean()) == pytest.approx(SHARE, abs=4 * error)


# --- state and restore ------------------------------------------------------------------------------------------------


@quick
@given(st.integers(0, 9), st.sampled_from([2**30, 900, 100]), st.integers(0, 2**31))
def test_thresholds_are_the_same_after_a_rest(at, memory, seed):
    values = np.random.default_rng(seed).standard_normal((3, 360)).astype(np.float32)
    batches = split(values, range(1, 10), (6, 6))
    whole = TopQuantile(0.1, 3, 360, memory)
    first, second = TopQuantile(0.1, 3, 360, memory), TopQuantile(0.1, 3, 360, memory)
    for batch in batches:
        whole.add(batch)
    for batch in batches[:at]:
        first.add(batch)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for batch in batches[at:]:
        second.add(batch)
        first.add(batch)
    assert torch.equal(second.thresholds(), whole.thresholds())
    assert torch.equal(first.thresholds(), whole.thresholds()), "the one whose state was asked for goes on as well"
