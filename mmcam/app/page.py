"""The page: a picture at the left, what is asked of it above, and the maps below."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from mmcam.app import limits
from mmcam.app.asking import answer, completed
from mmcam.app.choices import layers_of, methods_of, targets_of
from mmcam.app.forms import WORDING, Form, How, form, how, settings_of
from mmcam.app.models import Studio
from mmcam.app.samples import sample, samples
from mmcam.app.session import Sessions
from mmcam.app.settings import PAGES, UPLOADED, Settings, from_query
from mmcam.app.shown import exemplars, shown, why
from mmcam.app.upload import Upload
from mmcam.app.viewer import sample_strip, viewer
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
        """What the page shows before anything is asked: the first sample, explained."""
        return self._show(Settings(sample=next(iter(samples()))), None, START)

    def ask(self, visitor: str, page: str, sample_name: str, upload: str | None, *values: Any) -> Any:
        """What is asked by a filled-in form."""
        return self._show(settings_of(page, sample_name, *values), upload, visitor)

    def from_link(self, query: dict[str, str], visitor: str) -> tuple[Settings | None, Any]:
        """The settings of a link, and what is shown; None and a sentence for a link that says nothing that can be."""
        try:
            settings = from_query(query)
            own = settings.sample == UPLOADED or not settings.sample
            settings = settings if not own else Settings(**{**vars(settings), "sample": next(iter(samples()))})
            return settings, self._show(settings, None, visitor)
        except (ExplainError, PictureError) as error:
            return None, {"error": str(error)}

    def why(self, asked: Any) -> Any:
        """The units of an item."""
        return _sentence(lambda: why(self.kept(asked["visitor"], asked["key"]), int(asked["panel"]), int(asked["item"])))

    def exemplars(self, asked: Any) -> Any:
        """What a unit answers to."""

        def found() -> Any:
            model = self.kept(asked["visitor"], asked["key"]).model
            if model.units is None:
                raise ExplainError(f"The units of {model.name} have no names yet.")
            return exemplars(model.units, int(asked["unit"]))

        return _sentence(found)

    def kept(self, visitor: Any, key: Any) -> Any:
        """What a visitor was answered.

        Raises:
            ExplainError: it is not kept any more.
        """
        session = self._first if visitor == START else self.sessions.get(str(visitor))
        found = None if session is None else session.answers.get(str(key))
        if found is None:
            raise ExplainError("This is not kept any more; ask again.")
        return found

    def _show(self, settings: Settings, upload: str | None, visitor: str) -> Any:
        session = self._first if visitor == START else self.sessions.of(visitor)

        def found() -> Any:
            with session.lock:
                picture = session.picture(settings.sample, None if upload is None else Path(upload))
                return shown(answer(self.studio, session, settings, picture), visitor)

        return _sentence(found)

    def choices(self, page: str, sample_name: str, *values: Any) -> list[Any]:
        """What may be chosen now: of the page its models, text and targets, and methods and layers of the model."""
        skip: list[Any] = [gr.skip()] * (3 * len(PAGES) + 5)
        try:
            settings = settings_of(page, sample_name, *values)
            one = None if sample_name == UPLOADED or not sample_name else sample(sample_name)
            drawn, question = (False, "where is this") if one is None else (one.drawn, one.question)
            name = settings.model or self.studio.usual("class" if page == "neurons" else page, drawn)
            model = self.studio[name]
            methods, layers, targets = methods_of(model), layers_of(model), targets_of(model)
        except (ExplainError, PictureError):
            return skip
        own = 3 * list(PAGES).index(page)
        skip[own] = gr.update(value=name)
        if "answer" in model.tasks and page in ("answer", "neurons"):
            skip[own + 1] = gr.update(placeholder=question)
        skip[own + 2] = gr.update(choices=targets)
        skip[-3] = gr.update(choices=methods)
        skip[-2] = gr.update(choices=[("none", ""), *methods])
        skip[-1] = gr.update(choices=layers)
        return skip


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


def build(studio: Studio) -> tuple[gr.Blocks, Desk]:
    """The page and who answers it; the first sample is explained before it is opened."""
    desk = Desk(studio)
    first = next(iter(samples()))
    with gr.Blocks(title="mmcam", analytics_enabled=False, fill_width=True) as page:
        gr.HTML(
            "<header class='mm-head'><h1>mmcam</h1><p>Which part of the picture made it say that?</p></header>",
            apply_default_css=False,
        )
        asked, chosen = gr.State("class"), gr.State(first)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=1, min_width=230, elem_id="left"):
                strip = sample_strip(first)
                upload = Upload(
                    label="Your own picture", sources=["upload", "webcam", "clipboard"], height=210, elem_id="upload"
                )
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
    page.queue(default_concurrency_limit=limits.AT_ONCE, max_size=limits.WAITING, api_open=False)
    return page, desk


def _pages(studio: Studio) -> tuple[gr.Tabs, dict[str, tuple[gr.Tab, Form]]]:
    """A tab for each page, with its form."""
    forms = {}
    with gr.Tabs(elem_id="pages") as tabs:
        for name, title in PAGES.items():
            with gr.Tab(title, id=name, elem_id=f"page-{name}") as tab:
                gr.HTML(f"<p class='mm-about'>{WORDING[name].about}</p>", apply_default_css=False)
                own = form(name, studio, studio.usual("class" if name == "neurons" else name, drawn=False))
                forms[name] = (tab, own)
    return tabs, forms


def _wire(
    desk: Desk, page: gr.Blocks, tabs: gr.Tabs, forms: Any, shared: How, asked: gr.State, chosen: gr.State,
    strip: gr.HTML, upload: Upload, look: gr.HTML,
) -> None:  # fmt: skip
    """What happens when."""
    fields = [field for _, own in forms.values() for field in own.fields] + shared.fields
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

    def ask(request: gr.Request, page: str, sample: str, upload: str | None, *values: Any) -> Any:
        return desk.ask(str(request.session_hash), page, sample, upload, *values)

    def choices(page: str, sample: str, *values: Any) -> Any:
        return desk.choices(page, sample, *values)

    def then(event: Any, changes: bool = False) -> None:
        """Explain, and where the model may have changed offer what it can do."""
        made = event(ask, [asked, chosen, upload, *fields], look, show_progress="minimal", show_progress_on=look,
                     trigger_mode="always_last", api_visibility="private")  # fmt: skip
        if changes:
            made.then(choices, [asked, chosen, *fields], fields, **quiet)

    reset = [shared.contrast, shared.counterfactual, shared.beside, shared.layer]
    for name, (tab, own) in forms.items():
        opened = tab.select(lambda name=name: (name, "", False, "", ""), None, [asked, *reset], **quiet)
        then(opened.then, changes=True)
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
        models = [desk.studio.usual("class" if p == "neurons" else p, drawn) for p in forms]
        rest = [gr.update(value=m) if i == 0 else gr.update(value=None if i == 2 else "") for m in models for i in range(3)]
        return (name, name, None, *rest, "", False, "", "")

    taken = strip.click(of_sample, None, [chosen, strip, upload, *fields[:-5], *reset], **quiet)
    then(taken.then, changes=True)
    for event in (upload.upload, upload.input):
        brought = event(
            lambda path: (UPLOADED, UPLOADED) if path else (gr.skip(), gr.skip()), upload, [chosen, strip], **quiet
        )
        then(brought.then, changes=True)
    _restore(desk, page, tabs, forms, asked, chosen, strip, look, fields).then(
        choices, [asked, chosen, *fields], fields, **quiet
    )


def _restore(
    desk: Desk, page: gr.Blocks, tabs: gr.Tabs, forms: Any, asked: gr.State, chosen: gr.State, strip: gr.HTML,
    look: gr.HTML, fields: list[Any],
) -> Any:  # fmt: skip
    """Fill in the form as a link says."""

    def restore(request: gr.Request) -> Any:
        query = {str(name): str(value) for name, value in dict(request.query_params).items()}
        if not query.keys() & set(Settings.__dataclass_fields__):
            return [gr.skip()] * (5 + len(fields))
        settings, value = desk.from_link(query, str(request.session_hash))
        if settings is None:
            return [*[gr.skip()] * 4, value, *[gr.skip()] * len(fields)]
        each: list[Any] = []
        for name in forms:
            own = name == settings.page
            each += [gr.update(value=settings.model) if own and settings.model else gr.skip()]
            each += [gr.update(value=settings.text), gr.update(value=settings.target or None)] if own else [gr.skip()] * 2
        each += [settings.contrast, settings.counterfactual, settings.method, settings.beside, settings.layer]
        return [gr.update(selected=settings.page), settings.page, settings.sample, settings.sample, value, *each]

    return page.load(restore, None, [tabs, asked, chosen, strip, look, *fields], api_visibility="private", show_progress="hidden")
