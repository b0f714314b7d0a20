"""What is asked of every picture of a job, and the explanations of a batch of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.jobs.items import Item, Truth
from mmcam.looked import batch_with
from mmcam.tasks.classification import class_scores

TASKS = ("class", "caption", "answer", "similarity", "metrics")

Result = mmcam.Explanation | mmcam.CaptionExplanation | mmcam.QuestionExplanation
Entries = list[Any]
"""Of a picture, everything that is asked of it: classes, words, answers, texts; None for the model's own."""


@dataclass(frozen=True)
class Wanted:
    """What is asked; plain values, which a manifest can hold.

    Attributes:
        task: one of `TASKS`; "metrics" is "class" with the faithfulness of each map measured.
        methods: with the options of each.
        targets: classes, words, answers or texts; none for the model's own.
        questions: of answers; none where the source has them.
        top: in place of classes, so many of the best.
        true: what is true of each picture is explained, and not what the model says.
        names: of the classes.
        how: further arguments of the explain function, as ``layer``.
    """

    task: str
    methods: Mapping[str, Mapping[str, Any]]
    targets: tuple[Any, ...] = ()
    questions: tuple[str, ...] = ()
    top: int | None = None
    true: bool = False
    names: Any = None
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What came of one target of a picture by one method.

    Attributes:
        item: the number of the picture in its batch.
        method: how it was explained; "" where the picture could not be opened.
        asked: the number of the target among those of the picture.
        result: an explanation, or why there is none.
    """

    item: int
    method: str
    asked: int
    result: Result | Exception


def explained(
    model: Any, wanted: Wanted, items: Sequence[Item], pictures: Sequence[Batch | Exception], meant: Mapping[str, Any]
) -> list[Found]:
    """Everything that is asked of a batch, in the order of the pictures, methods and targets.

    Args:
        model: that answers.
        wanted: what is asked.
        items: the batch.
        pictures: of each, it prepared, or why it cannot be used.
        meant: the model's classes that the labels of the truth mean.
    """
    found = [Found(n, "", 0, one) for n, one in enumerate(pictures) if isinstance(one, Exception)]
    usable = [n for n, one in enumerate(pictures) if isinstance(one, Batch)]
    if usable:
        asked, missing = _asked(model, wanted, [items[n] for n in usable], [pictures[n] for n in usable], meant)
        found += [Found(usable[n], "", 0, error) for n, error in missing]
        for method, options in wanted.methods.items():
            how = {**wanted.how, "method": method, **options}
            for question, start, members, entries in asked:
                own = [usable[n] for n in members]
                made = _of(model, wanted, question, [pictures[n] for n in own], entries, how)
                for n, results in zip(own, made, strict=True):
                    found += [Found(n, method, start + place, result) for place, result in enumerate(results)]
    order = {name: number for number, name in enumerate(("", *wanted.methods))}
    return sorted(found, key=lambda one: (one.item, order[one.method], one.asked))


_Asked = tuple[list[str], int, list[int], list[Entries]]
"""One call: the pictures' questions, the number of their first target, the pictures, and what is asked of each."""


def _asked(
    model: Any, wanted: Wanted, items: Sequence[Item], pictures: Sequence[Any], meant: Mapping[str, Any]
) -> tuple[list[_Asked], list[tuple[int, ExplainError]]]:
    """The calls, and the pictures of which nothing can be asked."""
    own: list[Entries] = [list(wanted.targets) or [None] for _ in items]
    if wanted.top is not None:
        scores = class_scores(
            unwrap(model), batch_with(unwrap(model), pictures, None).x, classes_of(unwrap(model), wanted.names)
        )
        own = scores.argsort(dim=1, descending=True, stable=True)[:, : wanted.top].tolist()
    if wanted.true:
        own = [_true_of(wanted.task, item.truth, meant) for item in items]
    missing = [
        (n, _nothing(wanted.task, item)) for n, (item, row) in enumerate(zip(items, own, strict=True)) if not row
    ]
    asking = [n for n, row in enumerate(own) if row]
    if wanted.task != "answer":
        return [([], 0, asking, [own[n] for n in asking])], missing
    if not wanted.questions:
        mute = [n for n in asking if not items[n].question]
        missing += [(n, _nothing("question", items[n])) for n in mute]
        asking = [n for n in asking if items[n].question]
        return [([items[n].question for n in asking], 0, asking, [own[n] for n in asking])], missing
    each = list[_Asked]()
    for number, question in enumerate(wanted.questions):
        start = number * max(len(row) for row in own)
        each.append(([question] * len(asking), start, asking, [own[n] for n in asking]))
    return each, missing


def _true_of(task: str, truth: Truth | None, meant: Mapping[str, Any]) -> Entries:
    """What is true of a picture: classes, the answer that most gave, or captions; none where nothing says."""
    if truth is None:
        return []
    if task == "answer":
        return [max(dict.fromkeys(truth.answers), key=truth.answers.count)] if truth.answers else []
    if task in ("caption", "similarity"):
        return list(truth.captions[:1])
    return list(dict.fromkeys(index for label in truth.classes for index in meant.get(label, ())))


def _nothing(what: str, item: Item) -> ExplainError:
    which = {"metrics": "class"}.get(what, what)
    return ExplainError(f"The source names no {which} of {item.id}; name one, or another source.")


def _of(
    model: Any, wanted: Wanted, questions: list[str], pictures: list[Any], entries: list[Entries], how: dict[str, Any]
) -> list[list[Any]]:
    """Of each picture its results, one a target, or errors in their places."""
    if not pictures:
        return []
    call = _call(model, wanted, how)
    alone = [row[0] if len(row) == 1 else row for row in entries]
    made = call(pictures, questions, alone)
    results: list[list[Any]] = []
    for n, (result, row) in enumerate(zip(made, entries, strict=True)):
        if isinstance(result, Exception) and len(row) > 1:  # one target that cannot be explained costs only itself
            own = questions[n : n + 1]
            results.append([call([pictures[n]], own, [target])[0] for target in row])
        else:
            results.append(list(result) if len(row) > 1 else [result])
    return results


def _call(model: Any, wanted: Wanted, how: dict[str, Any]) -> Callable[..., Sequence[Any]]:
    """The explain function of the task: pictures, their questions and what is asked of each → one result a picture."""
    rest: dict[str, Any] = {**how, "errors": "skip"}
    if wanted.task in ("class", "metrics"):
        return lambda p, q, t: mmcam.explain_class(model, p, t, names=wanted.names, **rest)
    if wanted.task == "similarity":
        return lambda p, q, t: mmcam.explain_similarity(model, p, t, **rest)
    if wanted.task == "answer":
        return lambda p, q, t: mmcam.explain_answer(model, p, q, t, **rest)
    if wanted.true:
        return lambda p, q, t: mmcam.explain_caption(model, p, caption=t, **rest)
    # Without a word, every word; a list of None would be a list of words.
    return lambda p, q, t: mmcam.explain_caption(model, p, t if wanted.targets else None, **rest)


def labels_of(items: Sequence[Item]) -> list[str]:
    """Every class that the truth names, sorted."""
    return sorted({label for item in items if item.truth for label in item.truth.classes})


def failures(found: Sequence[Found]) -> Iterator[ExplainError]:
    """What is wrong with what was asked, pictures that cannot be opened apart."""
    for one in found:
        if isinstance(one.result, ExplainError):
            yield one.result
