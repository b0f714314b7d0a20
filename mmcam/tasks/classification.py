"""Classification: any module from pictures (N,C,H,W) to logits (N, classes), single- or multi-label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.calling import on_pictures
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target, score_of
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.anything import has_forward
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.graph import operation
from mmcam.tasks.logits import Find, finder
from mmcam.tasks.names import Names, class_index, class_name, named, short
from mmcam.tasks.targets import called, is_list, single, spread

ClassTarget = int | str | Target
"""A class by index or name, or any function from the model's output to N scores."""

_INSTEAD = {
    "similarity": "explain_similarity(model, picture, text)",
    "answer_scores": "explain_answer(model, picture, question)",
    "asked": "explain_answer(model, picture, question)",
    "token_log_probs": "explain_caption(model, picture)",
}
"""What explains a model that offers a method of another task."""


def ask(model: nn.Module, batch: Batch, target: Any, contrast: Any, names: Names | None) -> Asked:
    """Which part of each picture spoke for a class, or for each of several.

    Args:
        model: gives logits.
        batch: the pictures.
        target, contrast: as in `mmcam.explain_class`.
        names: of the classes; None where nothing is known, empty where the model is known to have no classes.

    Raises:
        ExplainError: unknown class; not one target a picture; a model without classes; a contrast that is the target;
            not as many names as classes.
    """
    rows, listed = _per_picture(target, batch)
    against = single(contrast, "contrast", function=False)
    check_classifier(model, [wanted for row in rows for wanted in row], names)
    # A model known to have no classes was asked functions of its output only.
    known = None if names is not None and not len(names) else named(names)
    rows = [[class_index(wanted, known) if isinstance(wanted, str) else wanted for wanted in row] for row in rows]
    against = class_index(against, known) if isinstance(against, str) else against
    # Every target is computed for every picture; a picture with fewer of them repeats its last.
    columns = [[row[min(t, len(row) - 1)] for row in rows] for t in range(max(map(len, rows)))]
    predicted: list[Tensor] = []
    find = finder(known)
    targets = [column_target(column, against, predicted, known, "class", find) for column in columns]
    other = None if against is None else class_name(against, known)

    def label(t: int, n: int, score: float) -> Label:
        wanted = columns[t][n]
        if callable(wanted):
            name = called(wanted)
            return Label(titled(name, other), f"{quoted(name, other)} is as high as it is")
        name = class_name(int(predicted[0][n]) if wanted is None else wanted, known)
        return Label(titled(name, other), f"It says {quoted(name, other)}", scored="logit")

    computation = Computation(model, on_pictures(model), batch.x, targets)
    return Asked(batch, computation, label, [range(len(row)) for row in rows], listed)


def check_classifier(model: nn.Module, targets: Iterable[Any], names: Names | None = None) -> None:
    """Raise ExplainError if a model has no classes, unless every target is a function of its output.

    A model of pictures and texts gives an embedding, and so does one without its last layer: its coordinates look like
    logits and mean nothing. A captioner or VQA model may have no output for a picture alone.

    Args:
        model: any.
        targets: what is asked.
        names: of its classes; empty where the model is known to have none.
    """
    name, call = type(model).__name__, next((call for way, call in _INSTEAD.items() if hasattr(model, way)), "")
    if call and not has_forward(model):
        raise ExplainError(f"{name} has no classes; use mmcam.{call}.")
    if all(callable(target) for target in targets):
        return
    if hasattr(model, "similarity"):
        raise ExplainError(
            f"{name} compares pictures with texts and has no classes, only the coordinates of an embedding; use "
            f"mmcam.{call}, or pass a function of the embeddings (N,D) as target."
        )
    embeds = names is None and any(hasattr(model, method) for method in _EMBEDDING)
    if embeds or (names is not None and not len(names)):
        raise ExplainError(
            f"{name} gives features or an embedding (N,D), whose coordinates are no classes; pass a function of them "
            "as target, e.g. target=lambda out: torch.cosine_similarity(out, other), explain a text with "
            "mmcam.explain_similarity (see mmcam.SimilarityModel), or pass names= if they are classes."
        )


_EMBEDDING = ("encode_image", "encode_text", "get_image_features", "get_text_features")
"""Methods, as open_clip's and transformers', of models that embed pictures and texts."""


def index_target(index: int | Sequence[int], find: Find | None = None, names: Sequence[str] | None = None) -> Target:
    """The logit of one class for all pictures, or of one class a picture.

    Args:
        index: one for all, or N.
        find: the class scores in an output; default those of a model without names.
        names: two of them are the two sides of a single logit (see `sides`).

    Returns:
        A target; it raises ExplainError for an index the model has no class for.
    """
    find = find or finder()

    def score(output: Any) -> Tensor:
        logits = sides(find(output), names)
        pictures, classes = logits.shape
        indices = [index] * pictures if isinstance(index, int) else index
        if len(indices) != pictures:
            raise ExplainError(f"There are {len(indices)} classes for {pictures} pictures; give one a picture.")
        for i in indices:
            if not -classes <= i < classes:
                raise ExplainError(f"There is no class {short(i)}: the model has classes 0…{classes - 1}.")
        columns = torch.tensor([i % classes for i in indices], device=logits.device)
        return logits.gather(1, columns[:, None])[:, 0]

    return score


def sides(logits: Tensor, names: Sequence[str] | None) -> Tensor:
    """Class scores (N,C) as they are, or of a single output with two names one score for each of the two.

    One logit is the log-odds of the second name: it speaks for that with its value, for the first with the opposite,
    and its sign says which. One probability, which autograd shows to come from a sigmoid, is p for the second and
    1 − p for the first.
    """
    if not _one_for_two(logits, names):
        return logits
    return torch.cat([1 - logits if operation(logits) == "Sigmoid" else -logits, logits], 1)


def _one_for_two(logits: Tensor, names: Sequence[str] | None) -> bool:
    return logits.shape[1] == 1 and names is not None and len(names) == 2


def predicted_target(predicted: list[Tensor], find: Find | None = None, names: Sequence[str] | None = None) -> Target:
    """The highest logit of each picture; the classes it fell on, (N,), are put into `predicted`.

    The first output decides: a method that changes the pictures afterwards asks about the class it began with.

    Args:
        predicted: empty, or what an earlier output decided.
        find, names: as in `index_target`.
    """
    find = find or finder()

    def score(output: Any) -> Tensor:
        scores = find(output)
        if not predicted:
            if _one_for_two(scores, names) and not scores.requires_grad and ((scores > 0) & (scores < 0.5)).any():
                raise ExplainError(
                    "A single output between 0 and 0.5 is a logit that speaks for the second name or a probability "
                    "that speaks for the first, and a method without gradients cannot see which; name the target."
                )
            predicted.append(sides(scores, names).argmax(dim=1))
        return sides(scores, names).gather(1, predicted[0][:, None])[:, 0]

    return score


def column_target(
    column: Sequence[Any],
    contrast: int | None,
    predicted: list[Tensor],
    names: Sequence[str] | None,
    what: str,
    find: Find | None = None,
) -> Target:
    """One target for N pictures whose classes may differ, or its lead over another class.

    The lead of one side of a single logit over the other is that side's score: it is their log-odds already.

    Args:
        column: of each picture, an index, a function, or None for the predicted class.
        contrast: index of the other class.
        predicted: see `predicted_target`.
        names, what: of the classes, and what one is called in messages.
        find: as in `index_target`; default by the names.
    """
    find = find or finder(names, what)
    score = _of_column(column, predicted, find, names)
    if contrast is None:
        return score
    rival = index_target(contrast, find, names)

    def difference(output: Any) -> Tensor:
        ours, other = score_of(score, output, len(column)), rival(output)
        logits = find(output)
        classes = 2 if _one_for_two(logits, names) else logits.shape[1]
        indices = [predicted[0][n] if wanted is None else wanted for n, wanted in enumerate(column)]
        if any(not callable(index) and int(index) % classes == contrast % classes for index in indices):
            raise both_are(what, class_name(contrast % classes, names))
        log_odds = _one_for_two(logits, names) and operation(logits) != "Sigmoid"
        return ours if log_odds and not any(map(callable, column)) else ours - other

    return difference


def _of_column(column: Sequence[Any], predicted: list[Tensor], find: Find, names: Sequence[str] | None) -> Target:
    """Of each picture the score of its own index, function or predicted class."""
    if all(isinstance(wanted, int) for wanted in column):
        return index_target(list(column), find, names)
    each: dict[Any, Target] = {}  # what several pictures share is computed once
    for wanted in column:
        if callable(wanted):
            each[wanted] = wanted
        else:
            each[wanted] = (
                predicted_target(predicted, find, names) if wanted is None else index_target(wanted, find, names)
            )
    if len(each) == 1:
        return next(iter(each.values()))

    def mixed(output: Any) -> Tensor:
        scores = {wanted: score_of(target, output, len(column)) for wanted, target in each.items()}
        return torch.stack([scores[wanted][n] for n, wanted in enumerate(column)])

    return mixed


def _per_picture(target: Any, batch: Batch) -> tuple[list[list[Any]], list[bool]]:
    """The targets of each picture, and whether they were given as a list."""
    target = spread(target)
    if batch.single:
        rows, listed = [list(target) if is_list(target) else [target]], [is_list(target)]
    else:
        each = [spread(t) for t in target] if is_list(target) else [target] * len(batch.pictures)
        if len(each) != len(batch.pictures):
            raise ExplainError(f"There are {len(batch.pictures)} pictures and {len(each)} targets; give one a picture.")
        listed = [is_list(wanted) for wanted in each]
        rows = [list(wanted) if many else [wanted] for wanted, many in zip(each, listed, strict=True)]
    if not all(rows):
        raise ExplainError("There is no target in the list; pass at least one.")
    one: dict[int, Any] = {id(wanted): single(wanted) for row in rows for wanted in row}  # a function is guarded once
    return [[one[id(wanted)] for wanted in row] for row in rows], listed
