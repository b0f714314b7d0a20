"""Explanations as a table: a row for each, to sort, to average, and to print in a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmcam.errors import ExplainError
from mmcam.evaluation.localisation import inclusive, iou
from mmcam.evaluation.pointing import inside
from mmcam.explanation import CaptionExplanation, Explanation, QuestionExplanation
from mmcam.explanation.several import flat

if TYPE_CHECKING:
    from pandas import DataFrame

Result = Explanation | CaptionExplanation | QuestionExplanation


@dataclass(frozen=True)
class Part:
    """A row: an explanation, and where it belongs.

    Attributes:
        result: the number of the result in the list, from 0; pictures that were skipped count.
        kind: "target", "word" of a caption or question, "caption" as a whole, or "answer".
        position: of a word, from 0; None for others.
        explanation: what the row tells.
    """

    result: int
    kind: str
    position: int | None
    explanation: Explanation


def table(
    explanations: Result | Sequence[Any],
    *,
    truth: Sequence[NDArray[np.bool_] | None] | None = None,
    tolerance: float = 0,
    threshold: float = 0.15,
) -> DataFrame:
    """Explanations as a pandas DataFrame, which writes CSV, LaTeX and Markdown itself.

    A target is one row; a caption is one for each word and one for the whole, a question one for each word and one for
    the answer.

    Args:
        explanations: one, a list, or lists of lists, which count one after the other.
        truth: for each row the mask (H,W) of what is meant in its picture, or None where nothing is; adds the columns
            "pointing" (does the peak lie on it) and "iou" (of the box and the truth's).
        tolerance: pixels that a peak may lie beside the mask (see `mmcam.evaluation.inside`).
        threshold: of the boxes, a share of the maximum.

    Returns:
        Columns: "result", "kind", "position", "target", "context", "score", "scored", "method", "layer", "model",
        "preparation", "x" and "y" of the peak, "left", "top", "right", "bottom" of the box, right and bottom exclusive,
        "note", and with `truth` "pointing" and "iou". What there is not, as the peak of an empty map, is missing.

    Raises:
        ExplainError: pandas is not installed; nothing to tell; not one mask a row, or one of another size than its
            picture.
    """
    try:
        import pandas
    except ImportError as error:
        raise ExplainError("A table needs pandas; install it with pip install 'mmcam[tables]'.") from error

    frame = pandas.DataFrame(records(explanations, truth=truth, tolerance=tolerance, threshold=threshold))
    whole = ("position", "x", "y", "left", "top", "right", "bottom")
    kinds = dict.fromkeys(whole, "Int64") | {"score": "float64"}
    if truth is not None:
        kinds |= {"pointing": "boolean", "iou": "float64"}
    return frame.astype(kinds)


def records(
    explanations: Result | Sequence[Any],
    *,
    truth: Sequence[NDArray[np.bool_] | None] | None = None,
    tolerance: float = 0,
    threshold: float = 0.15,
) -> list[dict[str, Any]]:
    """The rows of `table` by column, ready for JSON; what there is not is None.

    Raises:
        ExplainError: as `table`.
    """
    rows = list(parts(explanations))
    if not rows:
        raise ExplainError("There is no explanation, so there is nothing to tell; pass at least one.")
    if truth is not None and len(truth) != len(rows):
        raise ExplainError(
            f"There are {len(rows)} rows, of captions and questions one for each word and one for the whole, and "
            f"{len(truth)} masks; give a mask or None for each row."
        )
    masks = [None] * len(rows) if truth is None else truth
    return [
        _row(row, threshold) | ({} if truth is None else _metrics(row.explanation, mask, tolerance, threshold))
        for row, mask in zip(rows, masks, strict=True)
    ]


def parts(explanations: Result | Sequence[Any]) -> Iterator[Part]:
    """Every explanation in them, the words of texts one by one; pictures that were skipped have none."""
    alone = isinstance(explanations, (Explanation, CaptionExplanation, QuestionExplanation))
    every: Any = [explanations] if alone else explanations
    for number, result in enumerate(flat(every)):
        if isinstance(result, Exception):
            continue
        if isinstance(result, Explanation):
            yield Part(number, "target", None, result)
            continue
        for position, word in enumerate(result):
            yield Part(number, "word", position, word)
        yield Part(number, "caption" if isinstance(result, CaptionExplanation) else "answer", None, result.all)


def _row(part: Part, threshold: float) -> dict[str, Any]:
    exp = part.explanation
    peak, box = exp.peak() or (None, None), exp.box(threshold) or (None,) * 4
    return {
        "result": part.result,
        "kind": part.kind,
        "position": part.position,
        "target": exp.target,
        "context": exp.context,
        "score": exp.score,
        "scored": exp.scored,
        "method": exp.method,
        "layer": exp.layer,
        "model": exp.model,
        "preparation": exp.preparation,
        **dict(zip(("x", "y"), peak, strict=True)),
        **dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
        "note": exp.note,
    }


def _metrics(
    exp: Explanation, mask: NDArray[np.bool_] | None, tolerance: float, threshold: float
) -> dict[str, bool | float | None]:
    """How well a map lies on what is meant; nothing is defined where nothing is, and an empty map misses."""
    if mask is None:
        return {"pointing": None, "iou": None}
    mask = np.asarray(mask).astype(bool)
    if mask.shape != exp.heatmap.shape:
        raise ExplainError(
            f"The mask of {exp.target!r} is {'×'.join(map(str, mask.shape))}, and its picture "
            f"{exp.image.height}×{exp.image.width} (height × width); give masks of the pictures' own size."
        )
    if not mask.any():
        return {"pointing": None, "iou": None}
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    true, box = (columns[0], rows[0], columns[-1], rows[-1]), exp.box(threshold)
    return {
        "pointing": inside(exp.peak(), mask, tolerance),
        "iou": 0.0 if box is None else float(iou(inclusive(box), true)),
    }
