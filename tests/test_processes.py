"""The same picture gets the same map in other processes, with other numbers of threads, and beside other pictures.

In float32: bit for bit in a process that was started anew with as many threads; within 1e-4 of the map's largest value
where the order of sums may differ, as with more threads or larger batches.
"""

import multiprocessing

import numpy as np
import pytest
import torch
from torch import nn

import mmcam

CLOSE = 1e-4
METHODS = ("gradcam", "layercam", "guided_backprop", "rise")


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval()


def pictures(number: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((number, 3, 64, 64), dtype=np.float32))


def maps(method: str, number: int = 1, threads: int = 1) -> np.ndarray:
    """(number, C, h, w) of the first pictures, each explained for the same class."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        options = {"n": 8} if method == "rise" else {}
        every = mmcam.explain_class(network(), list(pictures(number)), 3, method=method, **options)
        return np.stack([one.values.numpy() for one in every])
    finally:
        torch.set_num_threads(before)


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.abs(one - other).max() <= CLOSE * np.abs(one).max())


@pytest.mark.long
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_process_that_is_started_anew(start):
    with multiprocessing.get_context(start).Pool(2) as pool:
        there = pool.map(maps, METHODS)
    for method, found in zip(METHODS, there, strict=True):
        here = maps(method)
        assert np.abs(here).max() > 0
        assert np.array_equal(found, here), method


@pytest.mark.parametrize("method", METHODS)
def test_more_threads(method):
    assert close(maps(method), maps(method, threads=2))


@pytest.mark.parametrize("method", METHODS)
def test_more_pictures(method):
    alone = maps(method)
    for number in (2, 7):
        assert close(alone, maps(method, number)[:1])


def test_the_measure_tells_maps_apart():
    one = maps("gradcam")
    assert close(one, one)
    assert not close(one, one * (1 + 2 * CLOSE))
