"""The pages' forms: what each asks for in its own words, and how a filled-in form becomes `Settings`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from mmcam.app.limits import CHARACTERS
from mmcam.app.models import Studio
from mmcam.app.settings import PAGES, Settings


@dataclass(frozen=True)
class Wording:
    """What a page calls its fields.

    Attributes:
        about: a sentence on the page.
        text: label and placeholder of its text; None if it has none.
        target: label and placeholder of what is explained.
    """

    about: str
    text: tuple[str, str] | None
    target: tuple[str, str]


WORDING = {
    "class": Wording(
        "Which part of the picture spoke for a class? Point at the picture to see which class speaks most there.",
        None,
        ("Class", "its best; type cat for the likeliest of all cats"),
    ),
    "caption": Wording(
        "Which part made the model say a word? Click a word, or point at the picture.",
        ("Caption", "the model’s own words"),
        ("Word or phrase", "click one below, or type it"),
    ),
    "answer": Wording(
        "Which part made it answer so, and what did each word of the question do? Click a word of the question.",
        ("Question", "what colour is the dog"),
        ("Answer", "the model’s own"),
    ),
    "neurons": Wording(
        "Which of its units spoke for it? Click a unit in the sentence to see where it answers, and to what else.",
        ("Caption or question", "of a model that has one; else the model’s own"),
        ("Class, word or answer", "the model’s own"),
    ),
}


@dataclass(frozen=True)
class Form:
    """The fields of one page, as Gradio's components; without a text, a hidden one stands for it."""

    model: gr.Dropdown
    text: gr.Textbox
    target: gr.Dropdown
    go: gr.Button

    @property
    def fields(self) -> list[Any]:
        """Those that are filled in."""
        return [self.model, self.text, self.target]


@dataclass(frozen=True)
class How:
    """The fields that all pages share."""

    contrast: gr.Textbox
    counterfactual: gr.Checkbox
    method: gr.Dropdown
    beside: gr.Dropdown
    layer: gr.Dropdown

    @property
    def fields(self) -> list[Any]:
        """All of them."""
        return [self.contrast, self.counterfactual, self.method, self.beside, self.layer]


def form(page: str, studio: Studio, model: str) -> Form:
    """The fields of a page."""
    words = WORDING[page]
    names = studio.bundled() if page == "neurons" else studio.of(page)
    label, hint = words.text or ("", "")
    with gr.Row(equal_height=False):
        text = gr.Textbox(
            label=label, placeholder=hint, visible=words.text is not None, max_length=CHARACTERS, min_width=200, scale=3
        )
        target = gr.Dropdown(
            [], value=None, label=words.target[0], info=None, allow_custom_value=True, min_width=170, scale=2,
            elem_id=f"target-{page}",
        )  # fmt: skip
        chosen = gr.Dropdown(names, value=model, label="Model", min_width=170, scale=2, elem_id=f"model-{page}")
        go = gr.Button(
            "Explain", variant="primary", size="md", elem_id=f"go-{page}", elem_classes="mm-go", min_width=110, scale=0
        )
    return Form(chosen, text, target, go)


def how() -> How:
    """The fields that all pages share, behind a fold."""
    with gr.Accordion("Method, layer, contrast", open=False, elem_id="how"):
        with gr.Row():
            method = gr.Dropdown(
                ["gradcam"], value="gradcam", label="Method", min_width=150, allow_custom_value=True, elem_id="method"
            )
            beside = gr.Dropdown(
                [("none", "")], value="", label="Beside it", min_width=150, allow_custom_value=True, elem_id="beside"
            )
            layer = gr.Dropdown(
                [("the default", "")], value="", label="Layer", min_width=190, allow_custom_value=True, elem_id="layer"
            )
        with gr.Row(equal_height=True):
            contrast = gr.Textbox(
                label="Rather than", placeholder="another class, word or answer", max_length=CHARACTERS, min_width=190,
                elem_id="contrast",
            )  # fmt: skip
            against = gr.Checkbox(label="Counterfactual: what speaks against it", min_width=190, elem_id="against")
    return How(contrast, against, method, beside, layer)


def settings_of(page: str, sample: str, *values: Any) -> Settings:
    """The settings of a filled-in form: of all pages their model, text and target in order, then what they share."""
    own = list(PAGES).index(page) * 3 if page in PAGES else 0
    model, text, target = values[own : own + 3]
    contrast, counterfactual, method, beside, layer = values[3 * len(PAGES) :]
    return Settings(
        page, sample, _text(model), _text(text), _text(target), _text(contrast), counterfactual is True,
        _text(method) or "gradcam", _text(beside), _text(layer),
    )  # fmt: skip


def _text(value: Any) -> str:
    """A field's value; what a form cannot hold is nothing."""
    return value if isinstance(value, str) else ""
