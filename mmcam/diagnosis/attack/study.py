"""One picture with noise: how sure the model was and is, and where the maps of what is there lay and lie."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcam.diagnosis.attack.asks import in_pixels, input_of, pixels_of
from mmcam.diagnosis.attack.noise import Ask, Noise, Noisy, add_noise, drawn_start
from mmcam.diagnosis.records import Record
from mmcam.engine.as_found import as_found
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.pointing import centre, inside, peak
from mmcam.image import Geometry, Preprocess

Maps = Callable[[Tensor, str], Sequence[Sequence[Tensor]]]
"""Inputs (N,C,H,W) and a method → of what is true each, of each input its map (h,w)."""


@dataclass(frozen=True)
class Subject:
    """A picture, what is true of it, and what a model is to say instead.

    Attributes:
        picture: its name, which no other has.
        x: the model's input (C,H,W).
        geometry: the way back to its pixels.
        preprocess: how the input was made.
        true, wrong: in words.
        regions: of what is true each, where it is (H,W); None where nothing says.
        ask: what the model makes of inputs.
        maps: of what is true.
        maps_of_wrong: the same of what it is to say, one.
    """

    picture: str
    x: Tensor
    geometry: Geometry
    preprocess: Preprocess
    true: tuple[str, ...]
    wrong: str
    regions: tuple[NDArray[np.bool_] | None, ...]
    ask: Ask
    maps: Maps
    maps_of_wrong: Maps


def noisy(model: nn.Module, subject: Subject, noise: Noise) -> Noisy:
    """The picture with noise, in 255ths (1,C,H,W); the model is left as it was found."""
    pixels = pixels_of(subject.x[None], subject.preprocess)
    ask = in_pixels(subject.ask, subject.preprocess)
    start = drawn_start(pixels, noise, zlib.crc32(subject.picture.encode("utf-8", "backslashreplace")))
    with as_found(model), torch.enable_grad():
        return add_noise(ask, pixels, noise, start)


def study(
    model: nn.Module, subject: Subject, noise: Noise, methods: Sequence[str], tolerance: float = 0
) -> tuple[Record, Tensor]:
    """The record of a picture, and its input with noise (C,H,W).

    The record has: picture, true, wrong, steps, largest (change of a value, in 255ths), fooled, "p wrong" and "p true"
    (before and after), centre (whether the picture's centre lies on each thing), and of each method, of what is true
    each: [points before, points after, rank correlation of both maps]; None where nothing says.
    """
    with as_found(model):
        before = subject.ask(subject.x[None])
    made = noisy(model, subject, noise)
    x = input_of(made.pixels, subject.preprocess)[0]
    record: Record = {
        "picture": subject.picture,
        "true": list(subject.true),
        "wrong": subject.wrong,
        "steps": int(made.steps),
        "largest": int((made.pixels - pixels_of(subject.x[None], subject.preprocess)).abs().max()),
        "fooled": bool(made.said.fooled),
        "p wrong": [float(before.wrong), float(made.said.wrong)],
        "p true": [[float(b), float(a)] for b, a in zip(before.true[0], made.said.true[0], strict=True)],
        "centre": [None if region is None else inside(centre(region), region, tolerance) for region in subject.regions],
        "methods": {},
    }
    for method in methods:
        found = []
        for cams, region in zip(subject.maps(torch.stack([subject.x, x]), method), subject.regions, strict=True):
            hits = [None, None] if region is None else [_points(subject, cam, region, tolerance) for cam in cams]
            agreement = rank_correlation(cams[0], cams[1])
            found.append([*hits, agreement if math.isfinite(agreement) else None])
        record["methods"][method] = found
    return record, x


def _points(subject: Subject, cam: Tensor, region: NDArray[np.bool_], tolerance: float) -> bool:
    return inside(peak(subject.geometry.to_original(cam).cpu().numpy()), region, tolerance)
