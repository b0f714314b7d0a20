"""The page: a picture at the left, what is asked of it above, and the maps below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr

from mmcam.app import limits
from mmcam.app.addresses import fetch_nothing
from mmcam.app.choices import layers_of, methods_of, targets_of
from mmcam.app.desk import Desk
from mmcam.app.forms import WORDING, Form, How, form, how, settings_of
from mmcam.app.models import Studio
from mmcam.app.samples import sample, samples
from mmcam.app.settings import PAGES, UPLOADED, is_link
from mmcam.app.upload import upload_field
from mmcam.app.viewer import sample_strip, viewer

FIELDS = 3 * len(PAGES) + 5
"""Of all forms: each page's model, text and target, and five that they share."""

QUESTIONS = "questions"
"""Of handlers that run a model: together they are worked on `limits.AT_ONCE` at a time."""


def build(studio: Studio) -> tuple[gr.Blocks, Desk]:
    """The page and who answers it; the first sample is explained before it is opened."""
    desk = Desk(studio)
    first = next(iter(samples()))
    kept = (limits.UPLOAD_SECONDS // 6, limits.UPLOAD_SECONDS)
    with gr.Blocks(title="mmcam", analytics_enabled=False, fill_width=True, delete_cache=kept) as page:
        gr.HTML(
            "<header class='mm-head'><h1>mmcam</h1><p>Which part of the picture made it say that?</p></header>",
            apply_default_css=False,
        )
        asked, chosen = gr.State("class"), gr.State(first)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=1, min_width=230, elem_id="left"):
                strip = sample_strip(first)
                upload = upload_field()
                gr.HTML(
                    f"<p class='mm-faint'>Up to {limits.FILE_BYTES >> 20} MB and {limits.PIXELS // 10**6} million "
                    "pixels. It stays on the machine that runs this page.</p>",
                    apply_default_css=False,
                )
            with gr.Column(scale=4, min_width=320, elem_id="right"):
                tabs, forms = _pages(studio)
                shared = how()
                look = viewer(desk.start(), desk.why, desk.exemplars)
        _wire(desk, page, tabs, forms, shared, asked, chosen, strip, upload, look)
    fetch_nothing(page.blocks.values())
    page.queue(default_concurrency_limit=limits.AT_ONCE, max_size=limits.WAITING, api_open=False)
    return page, desk


def _pages(studio: Studio) -> tuple[gr.Tabs, dict[str, tuple[gr.Tab, Form]]]:
    """A tab for each page, with its form."""
    forms = {}
    with gr.Tabs(elem_id="pages", overflow_behavior="wrap") as tabs:
        for name, title in PAGES.items():
            with gr.Tab(title, id=name, elem_id=f"page-{name}") as tab:
                gr.HTML(f"<p class='mm-about'>{WORDING[name].about}</p>", apply_default_css=False)
                own = form(name, studio, studio.usual(name, drawn=False))
                forms[name] = (tab, own)
    return tabs, forms


def _wire(
    desk: Desk, page: gr.Blocks, tabs: gr.Tabs, forms: Any, shared: How, asked: gr.State, chosen: gr.State,
    strip: gr.HTML, upload: gr.Image, look: gr.HTML,
) -> None:  # fmt: skip
    """What happens when."""
    fields = [field for _, own in forms.values() for field in own.fields] + shared.fields
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    ask, names, ways = _handlers(desk)
    turned = gr.State(False)

    def where_turned(request: gr.Request, new: bool, *values: Any) -> Any:
        return ask(request, *values) if new else gr.skip()

    def offer(event: Any) -> None:
        """Fill in what may be chosen: names at once, then what has to be tried."""
        inputs = [asked, chosen, *fields]
        event.then(names, inputs, fields, **quiet).then(ways, inputs, fields, **quiet)

    def then(event: Any, changes: bool = False, do: Any = ask, first: Sequence[gr.State] = ()) -> None:
        """Explain, and where the model may have changed offer what it can do."""
        made = event(do, [*first, asked, chosen, upload, *fields], look, show_progress="minimal", show_progress_on=look,
                     trigger_mode="always_last", api_visibility="private", concurrency_id=QUESTIONS)  # fmt: skip
        if changes:
            offer(made)

    reset = [shared.contrast, shared.counterfactual, shared.beside, shared.layer]
    for name, (tab, own) in forms.items():
        # Gradio tells of a tab that is open from the first, too, and of one that a link opens: nobody turned to them.
        opened = tab.select(partial(_turned, name), asked, [turned, asked, *reset], **quiet)
        then(opened.then, changes=True, do=where_turned, first=[turned])
        changed = own.model.input(lambda: ("", False, "", "", None), None, [*reset, own.target], **quiet)
        then(changed.then, changes=True)
        then(own.target.input)
        then(own.text.submit)
        then(own.go.click)
    for field in (shared.method, shared.beside, shared.layer, shared.counterfactual):
        then(field.input)
    then(shared.contrast.submit)

    def of_sample(event: gr.EventData) -> Any:
        name = event.sample if event.sample in samples() else next(iter(samples()))
        drawn = sample(name).drawn
        rest = [field for page in forms for field in (desk.studio.usual(page, drawn), "", None)]
        return (name, name, None, *rest, "", False, "", "")

    taken = strip.click(of_sample, None, [chosen, strip, upload, *fields[:-5], *reset], **quiet)
    then(taken.then, changes=True)
    for event in (upload.upload, upload.input):
        brought = event(
            lambda path: (UPLOADED, UPLOADED) if path else (gr.skip(), gr.skip()), upload, [chosen, strip], **quiet
        )
        then(brought.then, changes=True)
    offer(_restore(desk, page, tabs, forms, asked, chosen, strip, look, fields))


def _turned(name: str, before: str) -> Any:
    """Whether another tab is open than before; then what was asked in that one is left behind."""
    return (True, name, "", False, "", "") if name != before else (False, *[gr.skip()] * 5)


def _handlers(desk: Desk) -> tuple[Callable[..., Any], Callable[..., list[Any]], Callable[..., list[Any]]]:
    """What is called with a filled-in form: to explain, and to tell what may be chosen."""

    def ask(request: gr.Request, page: str, sample: str, upload: str | None, *values: Any) -> Any:
        return desk.ask(settings_of(page, sample, *values), upload, str(request.session_hash))

    def names(page: str, sample: str, *values: Any) -> list[Any]:
        """The page's model as it was meant, and its classes or answers."""
        each: list[Any] = [gr.skip()] * FIELDS
        model, question = desk.meant(settings_of(page, sample, *values))
        if model is not None:
            own = 3 * list(PAGES).index(page)
            each[own] = gr.update(value=model.name)
            each[own + 1] = gr.update(placeholder=question) if "answer" in model.tasks else gr.skip()
            each[own + 2] = gr.update(choices=targets_of(model))
        return each

    def ways(page: str, sample: str, *values: Any) -> list[Any]:
        """The methods and layers of the model."""
        model, _ = desk.meant(settings_of(page, sample, *values))
        if model is None:
            return [gr.skip()] * FIELDS
        methods = methods_of(model)
        three = (methods, [("none", ""), *methods], layers_of(model))
        return [*[gr.skip()] * (FIELDS - 3), *(gr.update(choices=each) for each in three)]

    return ask, names, ways


def _restore(
    desk: Desk, page: gr.Blocks, tabs: gr.Tabs, forms: Any, asked: gr.State, chosen: gr.State, strip: gr.HTML,
    look: gr.HTML, fields: list[Any],
) -> Any:  # fmt: skip
    """Fill in the form as a link says."""

    def restore(request: gr.Request) -> Any:
        query = {str(name): str(value) for name, value in dict(request.query_params).items()}
        if not is_link(query):
            return [gr.skip()] * (5 + len(fields))
        settings, value = desk.from_link(query, str(request.session_hash))
        if settings is None:
            return [*[gr.skip()] * 4, value, *[gr.skip()] * len(fields)]
        each: list[Any] = []
        for name in forms:
            own = name == settings.page
            usual = desk.studio.usual(name, sample(settings.sample).drawn)
            each += [settings.model if own and settings.model else usual]
            each += (
                [gr.update(value=settings.text), gr.update(value=settings.target or None)] if own else [gr.skip()] * 2
            )
        each += [settings.contrast, settings.counterfactual, settings.method, settings.beside, settings.layer]
        return [gr.update(selected=settings.page), settings.page, settings.sample, settings.sample, value, *each]

    return page.load(
        restore, None, [tabs, asked, chosen, strip, look, *fields], api_visibility="private", show_progress="hidden",
        concurrency_id=QUESTIONS,
    )  # fmt: skip
