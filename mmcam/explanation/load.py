"""Explanations back from their files, which are data and nothing else."""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.explanation.npz import ARRAYS, FORMAT, texts_of
from mmcam.explanation.target import Explanation
from mmcam.explanation.text import CaptionExplanation, QuestionExplanation
from mmcam.files import parsed
from mmcam.image import Geometry
from mmcam.image.open import MAX_PIXELS, open_raster
from mmcam.neurons.fingerprint import Origin
from mmcam.tasks.prediction import Prediction, Ranked
from mmcam.tasks.region import Candidate, Region, read_regions

Result = Explanation | CaptionExplanation | QuestionExplanation

LARGEST = 2**31
"""Bytes of a file's arrays, unpacked: a file of a few kilobytes may claim any number."""

_BROKEN = (
    *(KeyError, TypeError, ValueError, OverflowError, AttributeError, LookupError, RecursionError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, SyntaxError),
    *(OSError, Image.DecompressionBombError),
)
"""What reading something that is no such file raises, once it is open."""


def load_explanation(path: str | os.PathLike[str]) -> Result:
    """An explanation, of a target, a caption or a question, as ``save("….npz")`` wrote it.

    Its map, weights, activations, scores and geometry are the saved ones, on the CPU in float32, so `heatmap`, `peak`,
    `box` and `why` are what they were. Pictures of more than 256×256 pixels come back as a JPEG of quality 90.

    Args:
        path: of the file.

    Returns:
        What was saved: an `Explanation`, a `CaptionExplanation` or a `QuestionExplanation`.

    Raises:
        ExplainError: it is not there, is no such file, or one of mmcam 0.1, which kept neither picture nor geometry.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ExplainError(f"A file is named by a path, as 'dog.npz', and not by a {type(path).__name__}.")
    shown = os.fspath(path)[:200]
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExplainError(f"{shown} cannot be read ({reason}); check the path.") from error
    try:
        arrays = _arrays(content)
        meta = parsed(str(arrays["meta"][()]))
        if "format" not in meta and "heatmap" in arrays:
            raise ExplainError(
                f"{shown} was written by mmcam {meta.get('version', '0.1')}, which kept neither the picture nor "
                "where the map lies in it; explain the picture again, or read its heatmap with numpy.load."
            )
        if meta["format"] != FORMAT:
            raise ExplainError(f"{shown} was written by another mmcam ({meta['format']!r}); install that one.")
        return _result(meta, arrays)
    except ExplainError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise ExplainError(
            f"{shown} holds no explanation of mmcam ({reason or type(error).__name__}); save it again with "
            "save('….npz')."
        ) from error


def _arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz, of plain numbers and texts, in bounded memory."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > LARGEST:
            raise ValueError(f"it unpacks to more than {LARGEST:,} bytes")
        return {
            entry.filename.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(entry)), allow_pickle=False
            )
            for entry in entries
        }


def _result(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Result:
    entries, kind = meta["explanations"], meta["kind"]
    picture = _picture(arrays["picture"])
    every = tuple(_explanation(entry, arrays, picture) for entry in entries)
    if kind == "caption":
        return CaptionExplanation(_text(meta["caption"]), every[:-1], every[-1])
    if kind == "question":
        return QuestionExplanation(_text(meta["question"]), every[:-1], every[-1])
    if kind != "explanation" or len(every) != 1:
        raise ValueError("it is of no known kind")
    return every[0]


def _explanation(entry: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], picture: Image.Image) -> Explanation:
    texts = {name: _text(entry[name]) for name in texts_of(Explanation) if name in entry}
    values, weights, activations = (_tensor(arrays, entry[what]) for what in ARRAYS)
    geometry, options = _geometry(entry["geometry"]), entry["options"]
    if values is None or values.ndim not in (2, 3) or not values.numel():
        raise ValueError("its map is none")
    if activations is not None and (activations.ndim != 3 or weights is None or len(weights) != len(activations)):
        raise ValueError("its weights are not those of its activations")
    if picture.size != geometry.original[::-1]:
        raise ValueError("its picture has another size than its map")
    if not isinstance(options, dict) or entry["sense"] not in (1, -1):
        raise TypeError("its options are none")
    origin = None if entry["origin"] is None else Origin.known(_text(entry["origin"]), texts["layer"])
    return Explanation(
        **texts,
        score=_number(entry["score"]),
        values=values,
        weights=weights,
        image=picture,
        geometry=geometry,
        options=options,
        sense=entry["sense"],
        activations=activations,
        origin=origin,
        prediction=None if entry["prediction"] is None else prediction_of(entry["prediction"]),
        region=_region(entry.get("region"), arrays, picture),
        candidate=_candidate(entry.get("candidate")),
    )


def _region(given: Mapping[str, Any] | None, arrays: Mapping[str, NDArray[Any]], picture: Image.Image) -> Region | None:
    """The region of a file; those of earlier ones have none."""
    if given is None:
        return None
    if given["kind"] == "mask":
        pixels = arrays[given["pixels"]]
        if pixels.dtype != bool or pixels.shape != picture.size[::-1]:
            raise TypeError("its region is none")
        return Region("mask", pixels=pixels)
    region: Region = read_regions([_number(value) for value in given["at"]])
    return region


def _candidate(given: Mapping[str, Any] | None) -> Candidate | None:
    if given is None:
        return None
    box = None if given["box"] is None else tuple(_number(side) for side in given["box"])
    if box is not None and len(box) != 4:
        raise ValueError("its box is none")
    index = _whole(given["index"])
    return Candidate(-1 if index is None else index, box, _number(given["overlap"]), _number(given["probability"]))


def _tensor(arrays: Mapping[str, NDArray[Any]], name: Any) -> Tensor | None:
    if name is None:
        return None
    array = arrays[name]
    if array.dtype != np.float32:
        raise TypeError("an array of it is not float32")
    return torch.from_numpy(np.ascontiguousarray(array))


def _picture(content: NDArray[Any]) -> Image.Image:
    if content.dtype != np.uint8 or content.ndim != 1:
        raise TypeError("its picture is none")
    with open_raster(io.BytesIO(content.tobytes())) as picture:
        if picture.format not in ("PNG", "JPEG"):
            raise TypeError("its picture is of another kind")
        return picture.convert("RGB")


def _geometry(given: Mapping[str, Any]) -> Geometry:
    original, size = ((given[name][0], given[name][1]) for name in ("original", "input"))
    scale, offset = ((float(given[name][0]), float(given[name][1])) for name in ("scale", "offset"))
    whole = all(type(side) is int and 0 < side <= MAX_PIXELS for side in (*original, *size))
    if not whole or math.prod(original) > MAX_PIXELS:
        raise ValueError("a size is none")
    if not all(math.isfinite(value) for value in (*scale, *offset)) or min(scale) <= 0:
        raise ValueError("it says no place for its map")
    return Geometry(original, size, scale, offset)


def prediction_of(given: Mapping[str, Any]) -> Prediction:
    """A prediction of its ``summary()``.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if not given["best"]:
        raise ValueError("it ranks no class")
    return Prediction(
        index=_whole(given["class"]),
        asked=_text(given["asked"]),
        probability=_number(given["probability"], or_none=True),
        activation=_text(given["activation"]),
        classes=int(given["classes"]),
        best=tuple(
            Ranked(
                int(one["class"]),
                _text(one["name"]),
                _number(one["score"]),
                _number(one["probability"], or_none=True),
            )
            for one in given["best"]
        ),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text of it is none")
    return value


def _whole(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise TypeError("a class of it is none")
    return value


def _number(value: Any, or_none: bool = False) -> Any:
    """JSON has no nan, and says null."""
    if value is None:
        return None if or_none else math.nan
    if type(value) not in (int, float):
        raise TypeError("a number of it is none")
    return float(value)
