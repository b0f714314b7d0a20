"""Subjects of an attack: labelled pictures, a word of a caption, an answer to a question."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.attack.asks import different, of_answer, of_class, of_word
from mmcam.diagnosis.attack.study import Maps, Subject
from mmcam.diagnosis.labelled import LabelledPicture, region
from mmcam.diagnosis.meant import meant
from mmcam.engine.as_found import as_found
from mmcam.engine.calling import called
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.image import Batch, Preprocess
from mmcam.preparation import batch_of, preparation_of
from mmcam.tasks import captioning
from mmcam.tasks.classification import check_classifier
from mmcam.tasks.logits import finder
from mmcam.tasks.names import class_name, named
from mmcam.tasks.vqa import answer_index, check_vqa


def class_subject(
    model: nn.Module, picture: LabelledPicture, to: str | None = None, *, names: Any = None, preprocess: Any = None
) -> Subject | None:
    """A labelled picture with those of its classes that the model finds in it.

    Args:
        model: a classifier; the one who calls sees to it that it is left as found.
        picture: without labels, its class is what the model says.
        to: the class that the model is to see; default one that is not there, drawn by the picture's name.
        names, preprocess: as in `mmcam.explain_class`.

    Returns:
        None where the model finds none of the picture's classes.

    Raises:
        ExplainError: labels or a class that are none of the model's; `to` is there; a model of one class.
        PictureError: a picture or mask that cannot be used.
    """
    module, made, batch = _prepared(model, picture.path, preprocess)
    classes = classes_of(module, names)
    check_classifier(module, [None], classes.names)
    known = named(classes.names)
    find = finder(known)
    with as_found(module):
        logits = find(called(module, batch.x))[0]
    if len(logits) < 2:
        raise ExplainError(f"{type(module).__name__} has one output, so there is no other class to see.")
    several = classes.probabilities == "sigmoid"
    means = meant(picture.labels, classes, len(logits))
    there = {label: max(own, key=lambda index: float(logits[index])) for label, own in means.items()}
    if not picture.labels:
        there = {class_name(int(logits.argmax()), known): int(logits.argmax())}
    top = int(logits.argmax())
    found = {label: i for label, i in there.items() if (float(logits[i]) > 0 if several else i == top)}
    if not found:
        return None
    true = list(found.values())
    taken = {*true, *(index for own in means.values() for index in own)}
    wrong = _absent(picture.path.name, len(logits), taken) if to is None else _class(to, classes, known, len(logits))
    different(wrong, sorted(taken), "class", class_name(wrong, known))

    def maps(targets: Sequence[int]) -> Maps:
        def of(x: Tensor, method: str) -> Sequence[Sequence[Tensor]]:
            made = mmcam.attribute(module, x, list(targets), method=method)
            return [list(row) if row.ndim == 3 else list(row.abs().amax(1)) for row in made]

        return of

    size = batch.pictures[0].size
    return Subject(
        str(picture.path), batch.x[0], batch.geometries[0], made, tuple(class_name(index, known) for index in true),
        class_name(wrong, known), tuple(region(picture, label, size) if picture.labels else None for label in found),
        of_class(module, find, wrong, true, several), maps(true), maps([wrong]),
    )  # fmt: skip


def answer_subject(
    model: nn.Module, picture: Path, question: str, to: str, answer: str | None = None, *, preprocess: Any = None
) -> Subject:
    """A question about a picture; the answer that is true is the given one, or what the model says.

    Raises:
        ExplainError: no VQA model with a list of answers; an answer that it does not know; `to` is the true one.
        PictureError: a picture that cannot be used.
    """
    module, made, batch = _prepared(model, picture, preprocess)
    check_vqa(module)
    if answer is None:
        with as_found(module):
            answer = module.answers[int(module.answer_scores(batch.x, [question])[0].argmax())]
    true, wrong = (answer_index(each, module.answers) for each in (answer, to))
    different(wrong, [true], "answer", to)

    def maps(index: int) -> Maps:
        def of(x: Tensor, method: str) -> Sequence[Sequence[Tensor]]:
            return [[exp.cam for exp in mmcam.explain_answer(module, list(x), question, index, method=method)]]

        return of

    return Subject(
        str(picture), batch.x[0], batch.geometries[0], made, (module.answers[true],), module.answers[wrong], (None,),
        of_answer(module, question, wrong, true), maps(true), maps(wrong),
    )  # fmt: skip


def word_subject(
    model: nn.Module, picture: Path, word: str, to: str, caption: str | None = None, *, preprocess: Any = None
) -> Subject:
    """A word of a caption, by default the model's own, in whose place it is to say another.

    Raises:
        ExplainError: no captioner; a word that is not in the caption, or that it cannot say; `to` is the word.
        PictureError: a picture that cannot be used.
    """
    module, made, batch = _prepared(model, picture, preprocess)
    captioning.check_captioner(module)
    (tokens,) = captioning.caption_tokens(module, batch.x, None if caption is None else [caption])
    true = captioning.one_word(module, tokens, word, None, None)
    (span,) = true.spans
    wrong = captioning.one_word(module, tokens, to, span.start, None)
    different(list(wrong.tokens), [list(true.tokens)], "word", to)
    texts = [" ".join(said for said, _ in module.words(own.tokens)) for own in (true, wrong)]

    def maps(text: str, said: str) -> Maps:
        def of(x: Tensor, method: str) -> Sequence[Sequence[Tensor]]:
            each = mmcam.explain_caption(
                module, list(x), said, caption=[text] * len(x), position=span.start, method=method
            )
            return [[exp.cam for exp in each]]

        return of

    return Subject(
        str(picture), batch.x[0], batch.geometries[0], made, (word,), to, (None,), of_word(module, wrong, true),
        maps(texts[0], word), maps(texts[1], to),
    )  # fmt: skip


def _prepared(model: nn.Module, picture: Path, preprocess: Any) -> tuple[Any, Preprocess, Batch]:
    module = unwrap(model)
    batch = batch_of(module, [picture], preprocess)
    made = preparation_of(module, preprocess)[0]
    if batch.x.shape[1] != len(made.mean):
        raise ExplainError(
            f"{type(module).__name__} takes {batch.x.shape[1]} channels, and how they are scaled is not known; pass "
            "a Preprocess with a mean and std for each."
        )
    return module, made, batch


def _absent(name: str, count: int, taken: set[int]) -> int:
    absent = [index for index in range(count) if index not in taken]
    if not absent:
        raise ExplainError(f"Every class of the model is in {name}, so there is none to see that is not there.")
    return int(np.random.default_rng(zlib.crc32(name.encode("utf-8", "backslashreplace"))).choice(absent))


def _class(to: str, classes: Any, known: Sequence[str] | None, count: int) -> int:
    (indices,) = meant([to], classes, count).values()
    if len(indices) > 1:
        raise ExplainError(f"There are {len(indices)} classes under {to}; name one of them with --to.")
    return indices[0]
