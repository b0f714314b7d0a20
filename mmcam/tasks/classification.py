"""Classification: any module from pictures (N,C,H,W) to logits (N, classes), single- or multi-label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.calling import on_pictures
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target, score_of
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.anything import has_forward
from mmcam.tasks.asked import Asked, both_are, several
from mmcam.tasks.choice import First, Similar, apart, chosen, rather_than
from mmcam.tasks.class_labels import ClassLabels
from mmcam.tasks.graph import operation
from mmcam.tasks.logits import Find, finder
from mmcam.tasks.names import Group, Names, Wider, class_index, class_name, named, short
from mmcam.tasks.targets import is_list, single

ClassTarget = int | str | Target
"""A class by index or name, or any function from the model's output to N scores."""

_INSTEAD = {
    "similarity": "explain_similarity(model, picture, text)",
    "answer_scores": "explain_answer(model, picture, question)",
    "asked": "explain_answer(model, picture, question)",
    "token_log_probs": "explain_caption(model, picture)",
}
"""What explains a model that offers a method of another task."""


@dataclass(frozen=True)
class Classes:
    """What is known of a model's classes.

    Attributes:
        names: one each, in order; None where nothing is known, empty where the model is known to have no classes.
        wider: synonyms and hypernyms.
        probabilities: what makes them of the logits: "softmax", "sigmoid", or "" where the model does not say.
    """

    names: Names | None = None
    wider: Wider = field(default_factory=Wider)
    probabilities: str = ""


def ask(model: nn.Module, batch: Batch, targets: Sequence[Any], contrast: Any, classes: Classes) -> Asked:
    """Which part of each picture spoke for a class, or for each of several.

    Args:
        model: gives logits.
        batch: the pictures.
        targets: of each, a target or a list of them.
        contrast: as in `mmcam.explain_class`.
        classes: of the model.

    Raises:
        ExplainError: unknown class; a model without classes; a contrast that is the target; not as many names as
            classes.
    """
    rows = [several(entry, "target") for entry in targets]
    one: dict[int, Any] = {id(wanted): single(wanted) for row in rows for wanted in row}  # a function is guarded once
    rows = [[one[id(wanted)] for wanted in row] for row in rows]
    against = single(contrast, "contrast", function=False)
    names = classes.names
    check_classifier(model, [wanted for row in rows for wanted in row], names)
    # A model known to have no classes was asked functions of its output only.
    known = None if names is not None and not len(names) else named(names)

    def of(wanted: Any) -> Any:
        return class_index(wanted, known, classes.wider) if isinstance(wanted, str) else wanted

    # Every target is computed for every picture; a picture with fewer of them repeats its last.
    words = [[row[min(t, len(row) - 1)] for row in rows] for t in range(max(map(len, rows)))]
    columns, other = [[of(wanted) for wanted in column] for column in words], of(rather_than(against, known))
    first, find = First(), finder(known)
    scores = [column_target(column, other, first, known, "class", find) for column in columns]

    label = ClassLabels(columns, words, other, against, known, classes.probabilities, first)
    computation = Computation(model, on_pictures(model), batch.x, scores)
    return Asked(batch, computation, label, [range(len(row)) for row in rows], [is_list(entry) for entry in targets])


def best_of(model: nn.Module, x: Tensor, classes: Classes, count: int) -> list[int]:
    """The classes with the highest scores for one picture, the highest first; all, where there are not so many.

    Args:
        model: gives logits.
        x: the picture, (1,C,H,W).
        classes: of the model.
        count: how many.

    Raises:
        ExplainError: a model without classes, or an output in which they are not clear.
    """
    best: list[int] = torch.argsort(class_scores(model, x, classes)[0], descending=True, stable=True)[:count].tolist()
    return best


def class_scores(model: nn.Module, x: Tensor, classes: Classes) -> Tensor:
    """What a model gives for each of its classes, (N, classes), of pictures (N,C,H,W).

    Raises:
        ExplainError: as `best_of`.
    """
    check_classifier(model, [None], classes.names)
    known = named(classes.names)
    with as_found(model):
        return sides(finder(known)(on_pictures(model)(x, Rows(len(x)))), known)


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


def column_target(
    column: Sequence[Any],
    contrast: int | Group | Similar | None,
    first: First,
    names: Sequence[str] | None,
    what: str,
    find: Find | None = None,
) -> Target:
    """One target for N pictures whose classes may differ, or its lead over another class.

    The lead of one side of a single logit over the other is that side's score: it is their log-odds already.

    Args:
        column: of each picture, an index, a group, a function, or None for the predicted class.
        contrast: the other class; of a group, the best in each picture; of similar ones, the mean.
        first: settles which class is meant where the scores decide.
        names, what: of the classes, and what one is called in messages.
        find: as in `index_target`; default by the names.
    """
    find = find or finder(names, what)
    pairs = [apart(wanted, contrast, len(names or ())) for wanted in column]
    ours, theirs = [own for own, _ in pairs], [other for _, other in pairs]
    # What several pictures share is computed once.
    functions: list[Target] = list(dict.fromkeys(wanted for wanted in column if callable(wanted)))
    alone = contrast is None and all(map(callable, column))
    if alone and len(functions) == 1:
        return functions[0]

    def score(output: Any) -> Tensor:
        values = {function: score_of(function, output, len(column)) for function in functions}
        if alone:
            return torch.stack([values[wanted][n] for n, wanted in enumerate(column)])
        found = find(output)
        scores = sides(found, names)
        if first.scores is None and not all(map(_settled, ours)):
            _check_side(found, names)
        decided = first.of(found, scores)
        own = chosen(ours, decided)
        mine = _at(scores, own)
        if functions:
            mine = torch.stack([values[wanted][n] if wanted in values else mine[n] for n, wanted in enumerate(column)])
        if contrast is None:
            return mine
        if isinstance(contrast, Similar):
            return mine - scores.gather(1, contrast.of(decided, own, what)).mean(1)
        rival = chosen(theirs, decided, own)
        for n in (own == rival).nonzero()[:, 0].tolist():
            if column[n] not in values:
                raise both_are(what, class_name(int(own[n]), names))
        log_odds = _one_for_two(found, names) and operation(found) != "Sigmoid"
        return mine if log_odds and not functions else mine - _at(scores, rival)

    return score


def _settled(wanted: Any) -> bool:
    """Whether it is meant whatever the scores are."""
    return isinstance(wanted, int) or callable(wanted)


def _at(scores: Tensor, index: Tensor) -> Tensor:
    return scores.gather(1, index.clamp(min=0)[:, None])[:, 0]  # where there is no class, a function is asked


def _check_side(scores: Tensor, names: Sequence[str] | None) -> None:
    """Raise ExplainError for a single output with two names of which nobody can see which is the higher one."""
    if _one_for_two(scores, names) and not scores.requires_grad and ((scores > 0) & (scores < 0.5)).any():
        raise ExplainError(
            "A single output between 0 and 0.5 is a logit that speaks for the second name or a probability "
            "that speaks for the first, and a method without gradients cannot see which; name the target."
        )
