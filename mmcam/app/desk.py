"""Who answers what the page asks: explanations, units, and files, or one sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmcam.app.asking import WHERE, Answered, answer
from mmcam.app.models import Model, Studio
from mmcam.app.samples import sample, samples
from mmcam.app.session import Sessions
from mmcam.app.settings import UPLOADED, Settings, from_query
from mmcam.app.shown import exemplars, shown, why
from mmcam.errors import ExplainError, PictureError

START = "start"
"""The visitor whom the page's first picture belongs to."""

_log = logging.getLogger(__name__)


class Desk:
    """Answers what the page asks: every failure is one sentence."""

    def __init__(self, studio: Studio) -> None:
        self.studio, self.sessions = studio, Sessions()
        self._first = self.sessions.of(START)

    def start(self) -> Any:
        """What the page shows before anything is asked: the first sample, explained, its units included."""
        first = self.ask(Settings(sample=next(iter(samples()))), None, START)
        if "error" in first:
            return first
        asked = {"visitor": START, "key": first["key"], "panel": 0, "item": first["held"]}
        return {**first, "reasons": self.why(asked)}

    def from_link(self, query: dict[str, str], visitor: str) -> tuple[Settings | None, Any]:
        """The settings of a link, and what is shown; None and a sentence for a link that says nothing that can be."""
        try:
            settings = from_query(query)
            if settings.sample in ("", UPLOADED):
                settings = replace(settings, sample=next(iter(samples())))
            sample(settings.sample)  # the form is filled in for a picture that there is
            return settings, self.ask(settings, None, visitor)
        except (ExplainError, PictureError) as error:
            return None, {"error": str(error)}

    def why(self, asked: Any) -> Any:
        """The units of an item."""
        return _sentence(
            lambda: why(self.kept(asked["visitor"], asked["key"]), int(asked["panel"]), int(asked["item"]))
        )

    def exemplars(self, asked: Any) -> Any:
        """What a unit answers to."""

        def found() -> Any:
            model = self._kept_of(asked).model
            if model.units is None:
                raise ExplainError(f"The units of {model.name} have no names yet.")
            return exemplars(model.units, int(asked["unit"]))

        return _sentence(found)

    def kept(self, visitor: Any, key: Any) -> Answered:
        """What a visitor was answered.

        Raises:
            ExplainError: it is not kept any more.
        """
        session = self._first if visitor == START else self.sessions.get(str(visitor))
        found: Answered | None = None if session is None else session.answers.get(str(key))
        if found is None:
            raise ExplainError("This is not kept any more; ask again.")
        return found

    def _kept_of(self, asked: Any) -> Answered:
        return self.kept(asked["visitor"], asked["key"])

    def ask(self, settings: Settings, upload: str | None, visitor: str) -> Any:
        """What is shown of what is asked."""
        session = self._first if visitor == START else self.sessions.of(visitor)

        def found() -> Any:
            with session.lock:
                picture = session.picture(settings.sample, None if upload is None else Path(upload))
                return shown(answer(self.studio, session, settings, picture), visitor)

        return _sentence(found)

    def meant(self, settings: Settings) -> tuple[Model | None, str]:
        """The model that a form means, None where there is none, and the question of its picture."""
        one = samples().get(settings.sample)
        name = settings.model or self.studio.usual(settings.page, one is not None and one.drawn)
        return self.studio.models.get(name), WHERE if one is None else one.question


def _sentence(make: Callable[[], Any]) -> Any:
    """What is made, or what went wrong as one sentence; what nobody foresaw goes to the log, too."""
    try:
        return make()
    except (ExplainError, PictureError) as error:
        return {"error": str(error)}
    except Exception as error:
        _log.exception("A question could not be answered")
        kind = type(error).__name__
        return {"error": f"This could not be answered ({kind}); try another method, layer or picture."}
