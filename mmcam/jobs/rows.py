"""An explanation as a row of a table, and back: everything but the picture, which stays where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from mmcam.explanation import CaptionExplanation, Explanation, QuestionExplanation
from mmcam.explanation.load import prediction_of
from mmcam.export.table import parts
from mmcam.files import json_text, parsed
from mmcam.image import Geometry

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Result = Explanation | CaptionExplanation | QuestionExplanation

TEXTS = ("target", "context", "claim", "note", "scored", "method", "layer", "cells", "model", "preparation", "version")
"""Columns that are an explanation's attributes of the same name."""

METRICS = ("correct", "accuracy", "pointing", "iou", "mass", "deletion", "insertion", "drop", "increase")
"""Columns of figures; missing where nothing is known to measure by."""

_GEOMETRY = ("height", "width", "input_height", "input_width", "scale_y", "scale_x", "offset_y", "offset_x")


def schema() -> pa.Schema:
    """The columns of the results."""
    import pyarrow as pa

    whole, number = pa.int32(), pa.float64()
    sides = [pa.field(side, whole) for side in ("left", "top", "right", "bottom")]
    geometry = [pa.field(each, whole if n < 4 else number) for n, each in enumerate(_GEOMETRY)]
    return pa.schema(
        [
            ("id", pa.string()),
            ("picture", pa.string()),
            ("asked", whole),
            ("kind", pa.string()),
            ("position", whole),
            *((text, pa.string()) for text in TEXTS),
            ("score", number),
            ("sense", pa.int8()),
            ("probability", number),
            ("peak", pa.struct([pa.field("x", whole), pa.field("y", whole)])),
            ("box", pa.struct(sides)),
            ("map", pa.list_(pa.float16())),
            ("map_shape", pa.list_(whole)),
            ("map_scale", pa.float32()),
            ("geometry", pa.struct(geometry)),
            ("weights", pa.list_(pa.float32())),
            ("options", pa.string()),
            ("prediction", pa.string()),
            *((metric, number) for metric in METRICS),
        ]
    )


def error_schema() -> pa.Schema:
    """The columns of the errors."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema([("id", text), ("picture", text), ("method", text), ("asked", pa.int32()), ("error", text)])


def rows_of(result: Result, weights: bool) -> list[tuple[Row, Explanation]]:
    """The rows of a result: one, and of a text one for each word and one for the whole; each with its explanation.

    Args:
        result: of a picture.
        weights: whether α is kept, too.
    """
    made = []
    for part in parts([result]):
        exp = part.explanation
        values, scale = _halved(exp.values)
        made.append(
            (
                {
                    "kind": part.kind,
                    "position": part.position,
                    **{text: getattr(exp, text) for text in TEXTS},
                    "score": exp.score,
                    "sense": exp.sense,
                    "probability": None if exp.prediction is None else exp.prediction.probability,
                    "peak": _named("xy", exp.peak()),
                    "box": _named(("left", "top", "right", "bottom"), exp.box()),
                    "map": values.ravel(),
                    "map_shape": list(values.shape),
                    "map_scale": scale,
                    "geometry": _named(_GEOMETRY, _numbers(exp.geometry)),
                    "weights": exp.weights.float().cpu().numpy() if weights and exp.weights is not None else None,
                    "options": json_text(exp.plain_options),
                    "prediction": None if exp.prediction is None else json_text(exp.prediction.summary()),
                },
                exp,
            )
        )
    return made


def results_of(rows: Sequence[Mapping[str, Any]], picture: Image.Image) -> list[Result]:
    """The results that the rows of a picture were made of, in their order.

    A map has been halved: it is exact to a 2048th of its maximum.

    Args:
        rows: all of one picture, as they were written.
        picture: of them.
    """
    results: list[Result] = []
    words: list[Explanation] = []
    for row in rows:
        exp = _explanation(row, picture)
        if row["kind"] == "word":
            words.append(exp)
            continue
        if row["kind"] == "target":
            results.append(exp)
        elif row["kind"] == "caption":
            results.append(CaptionExplanation(exp.context, tuple(words), exp))
        else:
            results.append(QuestionExplanation(exp.context, tuple(words), exp))
        words = []
    return results


def _halved(values: torch.Tensor) -> tuple[np.ndarray[Any, np.dtype[np.float16]], float]:
    """A map as float16 in units of its largest magnitude: gradients may be smaller than float16's smallest number."""
    array = values.float().cpu().numpy()
    scale = float(np.abs(array).max(initial=0))
    if not math.isfinite(scale) or scale == 0:
        scale = 1.0
    with np.errstate(over="ignore"):
        return (array / np.float32(scale)).astype(np.float16), scale


def _explanation(row: Mapping[str, Any], picture: Image.Image) -> Explanation:
    shape, weights = list(row["map_shape"]), row["weights"]
    values = np.asarray(row["map"], dtype=np.float32).reshape(shape) * np.float32(row["map_scale"])
    at = [row["geometry"][name] for name in _GEOMETRY]
    return Explanation(
        **{text: row[text] for text in TEXTS},
        score=row["score"],
        values=torch.from_numpy(values),
        weights=None if weights is None else torch.from_numpy(np.array(weights, dtype=np.float32)),
        image=picture,
        geometry=Geometry((at[0], at[1]), (at[2], at[3]), (at[4], at[5]), (at[6], at[7])),
        options=parsed(row["options"]),
        sense=row["sense"],
        prediction=None if row["prediction"] is None else prediction_of(parsed(row["prediction"])),
    )


def _numbers(geometry: Geometry) -> tuple[float, ...]:
    return (*geometry.original, *geometry.input, *geometry.scale, *geometry.offset)


def _named(names: Sequence[str], values: Sequence[Any] | None) -> Row | None:
    return None if values is None else dict(zip(names, values, strict=True))
