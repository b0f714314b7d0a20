"""The maps of words that `experiments.paper.photo_words` compares, each made of the same evidence.

A reading multiplies class activation maps of one or two layers, each divided by its maximum and enlarged to the finer
grid (`mmcam.methods.fusion.fuse`), and perhaps the captioner's own attention, and perhaps the guided gradients at the
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from experiments.lib.word_evidence import Seen
from mmcam.image import Geometry
from mmcam.methods.cam_family import cam_function
from mmcam.methods.fusion import fuse
from mmcam.methods.registry import Maps
from models.speaker import UNKNOWN, split_words

Place = Literal["finest", "first finer", "finer", "last"]
BLUR: Final = 0.02
"""Pixel maps are speckled: where a reading is blurred, the Gaussian's σ as a share of the input's side."""


@dataclass(frozen=True)
class Reading:
    """A map of words.

    Attributes:
        cams: class activation maps that are multiplied, each by the method and the layer.
        attention: the captioner's own attention is a factor, or the whole.
        guided: the guided gradients are a factor, or the whole.
        blurred: see `BLUR`.
    """

    cams: tuple[tuple[str, Place], ...] = ()
    attention: bool = False
    guided: bool = False
    blurred: bool = False


def _readings() -> dict[str, Reading]:
    found = dict[str, Reading]()
    finer: tuple[Place, ...] = ("finer", "first finer")
    for place in ("last", *finer):
        for name in ("gradcam", "layercam", "hirescam"):
            found[name if place == "last" else f"{name}, {place}"] = Reading(((name, place),))
    found["layercam, finest"] = Reading((("layercam", "finest"),))
    for place in finer:
        found[f"layercam × {place}"] = Reading((("layercam", "last"), ("layercam", place)))
    first: tuple[str, Place] = ("layercam", "first finer")
    finest: tuple[str, Place] = ("layercam", "finest")
    return found | {
        "attention": Reading(attention=True),
        "attention × layercam, first finer": Reading((first,), attention=True),
        "guided_backprop": Reading(guided=True),
        "guided_gradcam": Reading((("gradcam", "last"),), guided=True),
        "guided layercam, first finer": Reading((first,), guided=True),
        "guided layercam, first finer, blurred": Reading((first,), guided=True, blurred=True),
        "guided layercam, finest": Reading((finest,), guided=True),
        "guided layercam, finest, blurred": Reading((finest,), guided=True, blurred=True),
        "guided layercam, first finer × finest": Reading((first, finest), guided=True),
        "guided layercam, first finer × finest, blurred": Reading((first, finest), guided=True, blurred=True),
        "guided attention × layercam, first finer × finest": Reading((first, finest), attention=True, guided=True),
    }


READINGS: Final = _readings()
"""What is compared, by its name in the tables: layers are the encoder's last unless another one is named."""


def readings_of(captioner: Any) -> dict[str, Reading]:
    """What is compared, of a captioner that may have no attention of its own."""
    attends = hasattr(captioner, "attention")
    return {name: reading for name, reading in READINGS.items() if attends or not reading.attention}


def maps_of(reading: Reading, seen: Seen, places: Sequence[Place]) -> Tensor:
    """A reading's maps (T,h,w) of T words, at the finest resolution of its parts.

    Args:
        reading: what is multiplied.
        seen: the evidence.
        places: which of the layers the evidence is of, in order.
    """
    factors = []
    for method, place in reading.cams:
        evidence = seen.layers[places.index(place)]
        factors.append(Maps(cam_function(method)(evidence)[0], evidence.scores))
    if reading.attention:
        assert seen.attention is not None
        factors.append(Maps(seen.attention, seen.layers[0].scores))
    cams = None if not factors else (factors[0] if len(factors) == 1 else fuse(factors, "product")).values[:, 0]
    if not reading.guided:
        assert cams is not None
        return cams
    assert seen.guided is not None
    gradients = seen.guided[:, 0].abs().amax(1)
    if cams is not None:
        gradients = gradients * F.interpolate(cams[:, None], gradients.shape[-2:], mode="bilinear")[:, 0]
    if not reading.blurred:
        return gradients
    sigma = BLUR * max(gradients.shape[-2:])
    return torch.from_numpy(np.stack([ndimage.gaussian_filter(each.numpy(), sigma) for each in gradients]))


def heatmaps(cams: Tensor, geometry: Geometry) -> NDArray[np.float32]:
    """Maps (T,h,w) over the photograph (T,H,W)."""
    if geometry.offset != (0, 0) or geometry != replace(geometry, scale=_squashing(geometry)):
        return geometry.to_original(cams).numpy()
    # The same numbers in a third of the time: a squashed photograph is all that there is to enlarge to.
    return F.interpolate(cams[None].float(), geometry.original, mode="bilinear", align_corners=False)[0].numpy()


def _squashing(geometry: Geometry) -> tuple[float, float]:
    (height, width), (tall, wide) = geometry.original, geometry.input
    return tall / height, wide / width


def places_of(captioner: Any) -> dict[Place, str]:
    """An encoder's last layer, the last and the first one of twice as many cells a side, and the last of four times.

    Raises:
        ValueError: it has no such layers.
    """
    features, sides = captioner.features, dict[str, int]()
    name = next(name for name, module in captioner.named_modules() if module is features)
    x = torch.zeros(1, 3, *captioner.preprocess.size)
    with torch.no_grad():
        for number, layer in enumerate(features):
            x = layer(x)
            sides[f"{name}.{number}"] = x.shape[-1]
    last = next(reversed(sides))
    finer, finest = ([layer for layer, side in sides.items() if side == times * sides[last]] for times in (2, 4))
    if not finer or not finest:
        raise ValueError(
            f"No layer of the encoder is twice and four times as fine as its last, of {sides[last]} cells."
        )
    return {"finest": finest[-1], "first finer": finer[0], "finer": finer[-1], "last": last}


def readable(captioner: Any, caption: str) -> str:
    """A caption whose words the captioner does not know are replaced by the one that stands for such words.

    Raises:
        typer.BadParameter: it has no such word.
    """
    words = [word if word in captioner.vocabulary else UNKNOWN for word in split_words(caption)]
    if UNKNOWN in words and UNKNOWN not in captioner.vocabulary:
        raise typer.BadParameter(f"The captioner cannot read {caption!r}: it has no word for unknown ones.")
    return " ".join(words)
