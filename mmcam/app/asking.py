"""From settings and a picture to explanations; whatever was worked out before is not worked out again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mmcam import (
    METHODS,
    CaptionExplanation,
    ExplainError,
    Explanation,
    QuestionExplanation,
    explain_answer,
    explain_caption,
    explain_class,
)
from mmcam.app.choices import applies
from mmcam.app.limits import QUICKER
from mmcam.app.models import Model, Studio
from mmcam.app.session import Picture, Session
from mmcam.app.settings import Settings
from mmcam.explain.looking import looked_at
from mmcam.methods import registry

Said = CaptionExplanation | QuestionExplanation | tuple[Explanation, ...]
"""A caption, an answer with the words of its question, or classes."""


WHERE = "where is this"
"""Asked of a picture that nobody has a question about."""


@dataclass(frozen=True)
class Panel:
    """What one method made.

    Attributes:
        method: its name.
        said: what is explained by default.
        more: what was asked for besides: a phrase, a contrast.
    """

    method: str
    said: Said
    more: Explanation | None = None

    @property
    def items(self) -> tuple[Explanation, ...]:
        """All that has a map, in the order in which it is shown."""
        own = self.said if isinstance(self.said, tuple) else (*self.said.words, self.said.all)
        return own if self.more is None else (*own, self.more)


@dataclass(frozen=True)
class Answered:
    """All that is shown.

    Attributes:
        key: tells it from other answers of the visitor.
        settings: what was asked, with the model and text that were meant.
        model: that answered.
        picture: about which.
        panels: one, or two to compare.
        held: the item that is shown at first.
    """

    key: str
    settings: Settings
    model: Model
    picture: Picture
    panels: tuple[Panel, ...]
    held: int


def task_of(settings: Settings, model: Model) -> str:
    """What the model is asked."""
    return model.tasks[0] if settings.page == "neurons" else settings.page


def completed(settings: Settings, studio: Studio, picture: Picture) -> Settings:
    """Settings with the model, and the question, that are meant where none is said.

    Raises:
        ExplainError: there is no such model, or it does not do what its page is about.
    """
    settings = settings.checked()
    if not settings.model:
        settings = replace(settings, model=studio.usual(settings.page, picture.drawn))
    model = studio[settings.model]
    task = task_of(settings, model)
    if task not in model.tasks:
        raise ExplainError(f"{model.name} gives no {task}; choose {' or '.join(studio.of(task)[:3])}.")
    if task == "answer" and not settings.text:
        settings = replace(settings, text=picture.question or WHERE)
    return replace(settings, text="") if task == "class" else settings


def answer(studio: Studio, session: Session, settings: Settings, picture: Picture) -> Answered:
    """Explain what is asked.

    Raises:
        ExplainError, PictureError: what cannot be done, in a sentence.
    """
    settings = completed(settings, studio, picture)
    model = studio[settings.model]
    key = hashlib.sha256(f"{picture.key}\n{settings}".encode()).hexdigest()[:24]
    known: Answered | None = session.answers.get(key)
    if known is not None:
        return known
    task, methods = task_of(settings, model), list(dict.fromkeys(filter(None, (settings.method, settings.beside))))
    with model.lock:
        for name in methods:
            _check_method(name, settings, model)
        panels = tuple(_Asking(session, settings, model, picture, name).panel(task) for name in methods)
    made = Answered(key, settings, model, picture, panels, _held(task, settings, panels[0]))
    session.answers.put(key, made)
    return made


def options_of(method: str, settings: Settings) -> dict[str, Any]:
    """The options of a method that follow from the settings."""
    counterfactual = {"counterfactual": True} if settings.counterfactual else {}
    return {**QUICKER.get(method, {}), **counterfactual}


def _check_method(name: str, settings: Settings, model: Model) -> None:
    """Raise ExplainError for a method that there is not, that does not apply, or that has no counterfactual."""
    method = registry.get(name)
    if settings.counterfactual and "counterfactual" not in method.options:
        having = [other for other, one in METHODS.items() if "counterfactual" in one.options]
        raise ExplainError(f"{name} has no counterfactual; {', '.join(having)} have.")
    if not applies(name, model):
        raise ExplainError(f"{name} does not apply to {model.name}: it needs {method.needs}.")


def _held(task: str, settings: Settings, panel: Panel) -> int:
    """What is shown at first: what was asked for; else the best class, the longest word, the answer."""
    items = panel.items
    if panel.more is not None:
        return len(items) - 1
    if task == "class":
        return 0
    words = items[:-1]
    if task == "answer":
        return len(items) - 1
    asked = _place(settings.target, words)
    return asked if asked is not None else max(range(len(words)), key=lambda i: len(words[i].target), default=0)


def _place(word: str, words: tuple[Explanation, ...]) -> int | None:
    """Where a word stands in a text, if it does."""
    return next((i for i, exp in enumerate(words) if exp.target.lower() == word.lower()), None) if word else None


@dataclass(frozen=True)
class _Asking:
    """What is asked by one method."""

    session: Session
    settings: Settings
    model: Model
    picture: Picture
    method: str

    def panel(self, task: str) -> Panel:
        """Everything that it is asked."""
        return {"class": self._classes, "caption": self._caption, "answer": self._question}[task]()

    def _classes(self) -> Panel:
        target, contrast = class_of(self.settings.target), class_of(self.settings.contrast)
        (first,) = self._of_classes([target])
        best = [] if first.prediction is None else [one.index for one in first.prediction.best]
        own = None if first.prediction is None else first.prediction.index
        quick = registry.get(self.method).family in ("cam", "excitation")
        others = self._of_classes([index for index in best if index != own] if quick else [])
        if contrast is None:
            return Panel(self.method, (first, *others))
        rather = self._made(("rather", target, contrast), lambda **how: explain_class(
            self.model.module, self._seen(), target, contrast=contrast, **how))  # fmt: skip
        return Panel(self.method, (first, *others), rather)

    def _of_classes(self, wanted: list[Any]) -> list[Explanation]:
        """Explanations of classes, None for the best; those that are not known together, in one pass."""
        found = {one: self.session.maps.get(self._key("class", one)) for one in wanted}
        missing = [one for one, exp in found.items() if exp is None]
        if missing:
            asked = None if missing == [None] else missing
            made = explain_class(self.model.module, self._seen(), asked, **self._how())
            each = [made] if isinstance(made, Explanation) else made
            for one, exp in zip(missing, each, strict=True):
                found[one] = self.session.maps.put(self._key("class", one), exp)
        return [exp for one in wanted if (exp := found[one]) is not None]

    def _caption(self) -> Panel:
        settings, text = self.settings, self.settings.text or None
        said: CaptionExplanation = self._made(("caption", text), lambda **how: explain_caption(
            self.model.module, self._seen(), caption=text, **how))  # fmt: skip
        word = settings.target
        if not settings.contrast and (not word or _place(word, said.words) is not None):
            return Panel(self.method, said)
        if not word:
            raise ExplainError("A contrast belongs to one word of the caption; choose the word that it is rather than.")
        more = self._made(("word", said.caption, word, settings.contrast), lambda **how: explain_caption(
            self.model.module, self._seen(), word, caption=said.caption, contrast=settings.contrast or None, **how,
        ))  # fmt: skip
        return Panel(self.method, said, more)

    def _question(self) -> Panel:
        settings, module = self.settings, self.model.module
        given, by_word = settings.target or None, not hasattr(module, "asked")  # who writes answers gives no words
        said = self._made(("answer", settings.text, given), lambda **how: explain_answer(
            module, self._seen(), settings.text, given, by_word=by_word, **how))  # fmt: skip
        if isinstance(said, Explanation):
            said = QuestionExplanation(settings.text, (), said)
        if not settings.contrast:
            return Panel(self.method, said)
        more = self._made(("rather", settings.text, given, settings.contrast), lambda **how: explain_answer(
            module, self._seen(), settings.text, given, contrast=settings.contrast, **how))  # fmt: skip
        return Panel(self.method, said, more)

    def _made(self, what: tuple[Any, ...], make: Callable[..., Any]) -> Any:
        return self.session.maps.made(self._key(*what), lambda: make(**self._how()))

    def _key(self, *what: Any) -> tuple[Any, ...]:
        settings = self.settings
        return (self.picture.key, self.model.name, self.method, settings.layer, settings.counterfactual, *what)

    def _how(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "layer": self.settings.layer or None,
            "preprocess": self.model.preprocess,
            **options_of(self.method, self.settings),
        }

    def _seen(self) -> Any:
        """The picture with what the encoder made of it, up to the layer."""
        layer = self.settings.layer or None
        return self.session.looks.made(
            (self.picture.key, self.model.name, layer),
            lambda: looked_at(self.model.module, self.picture.image, layer, self.model.preprocess),
        )


def class_of(text: str) -> int | str | None:
    """A class as it is typed: digits are an index."""
    return None if not text else int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
