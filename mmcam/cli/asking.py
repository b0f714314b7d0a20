"""What the options of a command ask of every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcam
from mmcam.adapters.class_names import classes_of
from mmcam.cli.shared import index_or_name
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.files import read_json
from mmcam.looked import batch_with
from mmcam.tasks.classification import best_of

Result = mmcam.Explanation | mmcam.CaptionExplanation | mmcam.QuestionExplanation


@dataclass(frozen=True)
class Asking:
    """What is asked of every picture; of what may be given several times, all.

    Attributes:
        task: "class", "caption", "answer", "similarity", "region" or "box".
        classes, words, questions, answers, texts: of the task; without one, the model's own.
        top: in place of classes, so many of the best.
        names: of the classes.
        places: regions or boxes, of their tasks, with one class for all or one each.
        caption, position, beam, by_word: see the explain functions.
    """

    task: str
    classes: Sequence[str] = ()
    words: Sequence[str] = ()
    questions: Sequence[str] = ()
    answers: Sequence[str] = ()
    texts: Sequence[str] = ()
    top: int | None = None
    names: Any = None
    caption: str | None = None
    position: int | None = None
    beam: int | None = None
    by_word: bool = False
    places: Sequence[Any] = ()

    def of(self, model: Any, picture: Path | mmcam.Looked, **how: Any) -> list[tuple[str, Result]]:
        """The results of a picture, each with what its files are called after besides the picture and the target.

        Args:
            model: that answers.
            picture: a file, or one that the model has looked at.
            how: further arguments of the explain function.
        """
        if self.task in ("class", "region", "box"):
            if how.get("contrast") is not None:
                how["contrast"] = index_or_name(how["contrast"])
            target = one_or_all([index_or_name(text) for text in self.classes])
            if self.top is not None:
                target = self._best(model, picture, how["preprocess"])
            if self.task != "class":
                ask: Any = mmcam.explain_region if self.task == "region" else mmcam.explain_box
                return _told(ask(model, picture, one_or_all(self.places), target, names=self.names, **how))
            return _told(mmcam.explain_class(model, picture, target, names=self.names, **how))
        if self.task == "similarity":
            return _told(mmcam.explain_similarity(model, picture, one_or_all(self.texts), **how))
        if self.task == "answer":
            return [
                told
                for question in self.questions
                for told in _told(
                    mmcam.explain_answer(
                        model, picture, question, one_or_all(self.answers), by_word=self.by_word, **how
                    ),
                    question if len(self.questions) > 1 else "",
                )
            ]
        found = mmcam.explain_caption(
            model, picture, one_or_all(self.words), caption=self.caption, position=self.position, beam=self.beam, **how
        )
        if self.beam is None:
            return _told(found)
        return [(f"beam{place}", exp) for place, exp in enumerate(_each(found), start=1)]

    def _best(self, model: Any, picture: Path | mmcam.Looked, preprocess: Any) -> list[int]:
        """The best classes, the best first."""
        module = unwrap(model)
        assert self.top is not None
        return best_of(module, batch_with(module, [picture], preprocess).x, classes_of(module, self.names), self.top)


def names_in(file: Path | None) -> Any:
    """The names of classes in a file, one a line, or in JSON: a list, or a mapping from index to name.

    Raises:
        ExplainError: it cannot be read, or holds none.
    """
    if file is None:
        return None
    try:
        if file.suffix.lower() == ".json":
            return read_json(file)
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise ExplainError(f"The names in {file} cannot be read ({error.strerror}); check the path.") from error
    except ValueError as error:
        raise ExplainError(f"The names in {file} cannot be read ({error}); write one a line, or JSON.") from error
    while names and not names[-1]:
        names.pop()
    return names


def place_of(text: str) -> Any:
    """A region or box as it is typed: numbers between commas, the path of a mask, or best, which is None."""
    parts = text.split(",")
    try:
        return None if text == "best" else tuple(map(float, parts)) if len(parts) > 1 else text
    except ValueError:
        return text


def one_or_all(given: Sequence[Any]) -> Any:
    """What is asked: None for nothing, one as it is, several as a list."""
    return list(given) if len(given) > 1 else given[0] if given else None


def _each(found: Any) -> list[Result]:
    return list(found) if isinstance(found, list) else [found]


def _told(found: Any, name: str = "") -> list[tuple[str, Result]]:
    return [(name, one) for one in _each(found)]
