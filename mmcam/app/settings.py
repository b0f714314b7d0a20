"""What a form says, and the link that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from urllib.parse import urlencode

from mmcam.app.limits import CHARACTERS
from mmcam.errors import ExplainError

PAGES = {"class": "A class", "caption": "A caption", "answer": "An answer", "neurons": "Neurons"}
"""What can be asked, and what its page is called."""

UPLOADED = "uploaded"
"""Stands in the place of a sample's name for a visitor's own picture, which no link can hold."""


@dataclass(frozen=True)
class Settings:
    """A form as it is filled in; a text that is empty leaves the choice to the model.

    Attributes:
        page: one of `PAGES`.
        sample: name of a picture that ships, or `UPLOADED`.
        model: name of a model.
        text: the caption that is explained, or the question.
        target: a class, a word or an answer.
        contrast: rather than this.
        counterfactual: what speaks against the target.
        method: name of a method.
        beside: another method, whose maps stand beside.
        layer: where activations are read.
    """

    page: str = "class"
    sample: str = ""
    model: str = ""
    text: str = ""
    target: str = ""
    contrast: str = ""
    counterfactual: bool = False
    method: str = "gradcam"
    beside: str = ""
    layer: str = ""

    def checked(self) -> Settings:
        """The same without blanks around its texts.

        Raises:
            ExplainError: there is no such page, or a text is too long.
        """
        if self.page not in PAGES:
            raise ExplainError(f"There is no page of that name; there are {', '.join(PAGES)}.")
        texts = {name: " ".join(str(value).split()) for name, value in asdict(self).items() if isinstance(value, str)}
        for name, text in texts.items():
            if len(text) > CHARACTERS:
                raise ExplainError(
                    f"The {name} has {len(text):,} characters, and {CHARACTERS} are read; write a shorter one."
                )
        return replace(self, **texts)  # type: ignore[arg-type]

    def query(self) -> str:
        """The part of a link behind the question mark: what differs from the defaults."""
        given = {
            _in_link(field.name): "1" if value is True else value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name == "page"
        }
        return urlencode(given)


def from_query(query: Mapping[str, str]) -> Settings:
    """The settings of a link; what it does not say, and what nobody knows, is as by default.

    Raises:
        ExplainError: as `Settings.checked`.
    """
    known = {_in_link(field.name): field.name for field in fields(Settings)}
    given: dict[str, object] = {known[name]: str(value) for name, value in query.items() if name in known}
    if "counterfactual" in given:
        given["counterfactual"] = given["counterfactual"] == "1"
    return Settings(**given).checked()  # type: ignore[arg-type]


def _in_link(name: str) -> str:
    """What a setting is called in a link: "page" is Gradio's own word for something else."""
    return "ask" if name == "page" else name


def is_link(query: Mapping[str, str]) -> bool:
    """Whether a link says anything that a form knows."""
    return bool(query.keys() & {_in_link(field.name) for field in fields(Settings)})
