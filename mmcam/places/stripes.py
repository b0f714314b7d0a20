"""Probe pictures, one band of rows or columns changed in each, and how strongly each place of an output answers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

_SEED = 20_161_007
_SAMPLE = 128
"""Places the median over all of them is taken from."""


def edges(length: int, bands: int) -> list[int]:
    """Where the bands of a side begin and end, in pixels."""
    return [round(length * band / bands) for band in range(bands + 1)]


def _noise(x: Tensor) -> Tensor:
    """(1,C,H,W): one picture of noise that keeps to the range of some pictures."""
    generator = torch.Generator().manual_seed(_SEED)
    drawn = torch.rand(x.shape[1:], generator=generator)[None].to(x.device)
    low, high = x.amin((0, 2, 3), keepdim=True).float(), x.amax((0, 2, 3), keepdim=True).float()
    flat = high <= low
    return torch.where(flat, low + 2 * drawn - 1, low + (high - low) * drawn).to(x.dtype)


def level(x: Tensor) -> Tensor:
    """(1,C,H,W): a picture of nothing but the mean of each channel.

    A constant one because the order of places belongs to the model: with all patches alike, attention hands every
    place almost the same mixture, which the median takes away again.
    """
    return x.float().mean((0, 2, 3), keepdim=True).to(x.dtype).expand(1, *x.shape[1:]).clone()


def striped(x: Tensor, base: Tensor, bands: int) -> list[Tensor]:
    """2·bands pictures (1,C,H,W): the base with noise in one band of rows each, then in one band of columns each."""
    noise, pictures = _noise(x), []
    for axis in (2, 3):
        for start, end in pairwise(edges(x.shape[axis], bands)):
            picture = base.clone()
            picture.narrow(axis, start, end - start).copy_(noise.narrow(axis, start, end - start))
            pictures.append(picture)
    return pictures


def energies(flat: Tensor) -> tuple[Tensor, Tensor]:
    """How strongly each place answers to the change of each picture against the first.

    Args:
        flat: (1 + probes, P, K), a layer's output for the base picture and its probes.

    Returns:
        (E (probes, P), in float32 on the CPU: the squared change of a place, less what most places changed alike (the
        median over the places, a channel at a time); (P, 2) two mixtures of the base picture's channels by which
        it is known again).
    """
    places, channels = flat.shape[1:]
    generator = torch.Generator().manual_seed(_SEED)
    sample = torch.randperm(places, generator=generator)[:_SAMPLE].to(flat.device)
    base = flat[0].float()
    rows = []
    for probe in flat[1:]:
        change = probe.float() - base
        change -= change[sample].T.median(-1).values
        rows.append(change.square().sum(-1))
    mixture = torch.randn(channels, 2, generator=generator).to(flat.device) / channels**0.5
    return torch.stack(rows).cpu(), (base @ mixture).cpu()


def halved(x: Tensor) -> list[Tensor]:
    """5 pictures (1,C,H,W): the first of some, then with noise in its upper, lower, left and right half."""
    noise, pictures = _noise(x), [x[:1].clone()]
    for axis in (2, 3):
        middle = x.shape[axis] // 2
        for start, end in ((0, middle), (middle, x.shape[axis])):
            picture = x[:1].clone()
            picture.narrow(axis, start, end - start).copy_(noise.narrow(axis, start, end - start))
            pictures.append(picture)
    return pictures


def shares(flat: Tensor) -> bool:
    """Whether values (N,P,K) are those of an attention: none negative, and over all places they add up to one.

    Over as many channels as there are places, too: the other side of a square matrix.
    """
    first = flat[0].float()
    sums = [first.sum(0)] + ([first.sum(1)] if first.shape[0] == first.shape[1] else [])
    return bool((first >= 0).all()) and any(bool((total - 1).abs().max() < 0.02) for total in sums)
