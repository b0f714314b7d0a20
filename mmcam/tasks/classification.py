"""Classification: any module from pictures (N,C,H,W) to logits (N, classes), single- or multi-label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.engine.calling import on_pictures
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target, first_tensor
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.anything import has_forward
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.names import class_index, class_name

ClassTarget = int | str | Target
"""A class by index or name, or any function from the model's output to N scores."""

_INSTEAD = {
    "similarity": "explain_similarity(model, picture, text)",
    "answer_scores": "explain_answer(model, picture, question)",
    "asked": "explain_answer(model, picture, question)",
    "token_log_probs": "explain_caption(model, picture)",
}
"""What explains a model that offers a method of another task."""


def ask(model: nn.Module, batch: Batch, target: Any, contrast: int | str | None, names: Sequence[str] | None) -> Asked:
    """Which part of each picture spoke for a class, or for each of several.

    Args:
        model: gives logits.
        batch: the pictures.
        target, contrast: as in `mmcam.explain_class`.
        names: of the classes, in order; None where nothing is known.

    Raises:
        ExplainError: unknown class; not one target a picture; a model without classes; a contrast that is the target.
    """
    rows, listed = _per_picture(target, batch)
    check_classifier(model, [wanted for row in rows for wanted in row])
    rows = [[class_index(wanted, names) if isinstance(wanted, str) else wanted for wanted in row] for row in rows]
    against = class_index(contrast, names) if isinstance(contrast, str) else contrast
    # Every target is computed for every picture; a picture with fewer of them repeats its last.
    columns = [[row[min(t, len(row) - 1)] for row in rows] for t in range(max(map(len, rows)))]
    predicted: list[Tensor] = []
    targets = [column_target(column, against, predicted, names, "class") for column in columns]
    other = None if against is None else class_name(against, names)

    def label(t: int, n: int, score: float) -> Label:
        wanted = columns[t][n]
        if callable(wanted):
            name = function_name(wanted)
            return Label(titled(name, other), f"{quoted(name, other)} is as high as it is")
        name = class_name(int(predicted[0][n]) if wanted is None else wanted, names)
        return Label(titled(name, other), f"It says {quoted(name, other)}", scored="logit")

    computation = Computation(model, on_pictures(model), batch.x, targets)
    return Asked(batch, computation, label, [range(len(row)) for row in rows], listed)


def function_name(function: Any) -> str:
    """What a function as target is called: by its name, "score" for a lambda."""
    return getattr(function, "__name__", "score").replace("<lambda>", "score")


def logits_of(output: Any) -> Tensor:
    """The logits (N, classes) in a model's output: the tensor itself, ``.logits``, or the first tensor of a tuple.

    Raises:
        ExplainError: there is none of that shape.
    """
    logits = getattr(output, "logits", None)
    logits = logits if isinstance(logits, Tensor) else first_tensor(output)
    if logits is None or logits.ndim != 2:
        form = "no tensor" if logits is None else f"shape {tuple(logits.shape)}"
        raise ExplainError(
            f"A classifier gives logits (N, classes); this model gives {form}. Pass a function output → (N,) as target."
        )
    return logits


def check_classifier(model: nn.Module, targets: Iterable[Any]) -> None:
    """Raise ExplainError if a model has no classes, unless every target is a function of its output.

    A model of pictures and texts gives an embedding: its coordinates look like logits and mean nothing. A captioner or
    VQA model may have no output for a picture alone.
    """
    name, call = type(model).__name__, next((call for way, call in _INSTEAD.items() if hasattr(model, way)), "")
    if call and not has_forward(model):
        raise ExplainError(f"{name} has no classes; use mmcam.{call}.")
    if hasattr(model, "similarity") and not all(callable(target) for target in targets):
        raise ExplainError(
            f"{name} compares pictures with texts and has no classes, only the coordinates of an embedding; use "
            f"mmcam.{call}, or pass a function of the embeddings (N,D) as target."
        )


def index_target(index: int | Tensor) -> Target:
    """The logit of one class for all pictures, or of one class a picture (LongTensor (N,)).

    The target raises ExplainError for an index the model has no class for.
    """

    def score(output: Any) -> Tensor:
        logits = logits_of(output)
        pictures, classes = logits.shape
        indices = torch.as_tensor(index, device=logits.device)
        if indices.ndim and indices.shape != (pictures,):
            raise ExplainError(f"There are {indices.numel()} classes for {pictures} pictures; give one a picture.")
        indices = indices.expand(pictures)
        unknown = indices[(indices < -classes) | (indices >= classes)]
        if len(unknown):
            raise ExplainError(f"There is no class {int(unknown[0])}: the model has classes 0…{classes - 1}.")
        return logits.gather(1, (indices % classes)[:, None])[:, 0]

    return score


def predicted_target(predicted: list[Tensor]) -> Target:
    """The highest logit of each picture; the classes it fell on, (N,), are put into `predicted`.

    The first output decides: a method that changes the pictures afterwards asks about the class it began with.
    """

    def score(output: Any) -> Tensor:
        if not predicted:
            predicted.append(logits_of(output).argmax(dim=1))
        return index_target(predicted[0])(output)

    return score


def column_target(
    column: Sequence[Any], contrast: int | None, predicted: list[Tensor], names: Sequence[str] | None, what: str
) -> Target:
    """One target for N pictures whose classes may differ, or its lead over another class.

    Args:
        column: of each picture, an index, a function, or None for the predicted class.
        contrast: index of the other class.
        predicted: see `predicted_target`.
        names, what: of the classes, and what one is called in messages.
    """
    if all(isinstance(wanted, int) for wanted in column):
        score = index_target(torch.tensor(column))
    else:
        score = _mixed_target([_single_target(wanted, predicted) for wanted in column])
    if contrast is None:
        return score

    def difference(output: Any) -> Tensor:
        ours, other = score(output), index_target(contrast)(output)
        classes = logits_of(output).shape[1]
        indices = [predicted[0][n] if wanted is None else wanted for n, wanted in enumerate(column)]
        if any(not callable(index) and int(index) % classes == contrast % classes for index in indices):
            raise both_are(what, class_name(contrast % classes, names))
        return ours - other

    return difference


def _single_target(wanted: Any, predicted: list[Tensor]) -> Target:
    if callable(wanted):
        function: Target = wanted
        return function
    return predicted_target(predicted) if wanted is None else index_target(wanted)


def _mixed_target(functions: Sequence[Callable[[Any], Tensor]]) -> Target:
    """Of each picture its own function's score."""
    return lambda output: torch.stack([function(output)[n] for n, function in enumerate(functions)])


def _per_picture(target: Any, batch: Batch) -> tuple[list[list[Any]], list[bool]]:
    """The targets of each picture, and whether they were given as a list."""
    target = target.tolist() if isinstance(target, (Tensor, np.ndarray, np.generic)) else target
    if batch.single:
        rows, listed = [list(target) if _is_list(target) else [target]], [_is_list(target)]
    else:
        each = list(target) if _is_list(target) else [target] * len(batch.pictures)
        if len(each) != len(batch.pictures):
            raise ExplainError(f"There are {len(batch.pictures)} pictures and {len(each)} targets; give one a picture.")
        listed = [_is_list(wanted) for wanted in each]
        rows = [list(wanted) if many else [wanted] for wanted, many in zip(each, listed, strict=True)]
    if not all(rows):
        raise ExplainError("There is no target in the list; pass at least one.")
    return rows, listed


def _is_list(target: Any) -> bool:
    return isinstance(target, Sequence) and not isinstance(target, str)
