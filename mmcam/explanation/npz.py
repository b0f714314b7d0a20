"""The .npz of an explanation: what is in it.

- ``meta``, a JSON text: an explanation's ``summary()``, or the caption or question; ``format``; ``kind``, which is
  "explanation", "caption" or "question"; and ``explanations``, the fields of each, of a text the words' first and the
  whole's last, with the names of their arrays.
- ``picture``: the bytes of a PNG (up to 256×256 pixels, exact) or of a JPEG of the picture.
- ``values``: the map at its own resolution, float32 (h,w) or (C,h,w), of which the heatmap is computed.
- ``weights`` (K) and ``activations`` (K,h,w), float32, where the method has them.

The arrays of a text's explanations have their number behind the name, ``values.0``; one that several share is there
once. Nothing is pickled.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.files import json_text

if TYPE_CHECKING:
    from mmcam.explanation.target import Explanation

FORMAT = 2
"""1 had the heatmap of every pixel, and neither picture nor geometry."""

ARRAYS = ("values", "weights", "activations")

EXACT, QUALITY = 2**16, 90
"""Pixels up to which a picture is kept as it is, and of larger ones the quality as JPEG."""


def texts_of(kind: type[Any]) -> list[str]:
    """The fields of an explanation that are texts."""
    return [field.name for field in fields(kind) if field.type == "str"]


def packed(kind: str, head: dict[str, object], every: Sequence[Explanation]) -> dict[str, NDArray[Any]]:
    """The arrays of a file.

    Args:
        kind: "explanation", "caption" or "question".
        head: what a reader sees first in `meta`.
        every: of one picture: the one explanation, or the words' and the whole's.
    """
    arrays: dict[str, NDArray[Any]] = {}
    names: dict[bytes, str] = {}  # by content: the words of a text share their activations

    def name_of(exp: Explanation, what: str, number: str) -> str | None:
        tensor = getattr(exp, what)
        if tensor is None:
            return None
        array = tensor.float().cpu().numpy()
        name = names.setdefault(repr((what, array.shape)).encode() + array.tobytes(), f"{what}{number}")
        arrays[name] = array
        return name

    entries = []
    origins: dict[Any, str] = {}
    for i, exp in enumerate(every):
        number = f".{i}" if len(every) > 1 else ""
        entry: dict[str, Any] = {name: getattr(exp, name) for name in texts_of(type(exp))}
        entry |= {"score": exp.score, "sense": exp.sense, "options": exp.summary()["options"]}
        entry["prediction"] = None if exp.prediction is None else exp.prediction.summary()
        entry["geometry"] = asdict(exp.geometry)
        entry["candidate"] = None if exp.candidate is None else exp.candidate.summary()
        entry["region"] = None if exp.region is None else exp.region.summary()
        if exp.region is not None and exp.region.pixels is not None:
            arrays[f"region{number}"] = exp.region.pixels
            entry["region"]["pixels"] = f"region{number}"
        if exp.origin is not None and exp.origin.of not in origins:
            origins[exp.origin.of] = exp.origin.fingerprint
        entry["origin"] = None if exp.origin is None else origins[exp.origin.of]
        entries.append(entry | {what: name_of(exp, what, number) for what in ARRAYS})
    meta = head | {"format": FORMAT, "kind": kind, "explanations": entries}
    picture = np.frombuffer(_picture_bytes(every[0].image), np.uint8)
    return {**arrays, "picture": picture, "meta": np.array(json_text(meta))}


def _picture_bytes(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    if picture.width * picture.height <= EXACT:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
