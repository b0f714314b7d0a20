"""The command that explains pictures."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import mmcam
from mmcam.cli.asking import Asking, names_in, place_of
from mmcam.cli.pictures import pictures_of
from mmcam.cli.schema import SCHEMA
from mmcam.cli.shared import (
    FAILURES,
    Answer,
    Box,
    ByWord,
    Class,
    Contrast,
    Device,
    EveryWord,
    Json,
    Model,
    Pictures,
    Position,
    Question,
    SimilarTo,
    Text,
    Weights,
    Where,
    Word,
    app,
    check_task,
    complain,
    console,
    one_sentence,
    sentence,
    task_of,
)
from mmcam.cli.telling import Report, report_of, slug, tell, write
from mmcam.explain.looking import looked_at
from mmcam.files import json_text
from mmcam.methods import registry
from mmcam.models import default
from mmcam.models.specification import load_model
from mmcam.progress import with_progress


def _schema(wanted: bool) -> None:
    if wanted:
        typer.echo(SCHEMA.read_text(encoding="utf-8"))
        raise typer.Exit


@app.command()
def explain(
    pictures: Pictures,
    class_: Class = None,
    top: Annotated[int | None, typer.Option(min=1, help="So many of the best classes.")] = None,
    names: Annotated[
        Path | None, typer.Option(help="Names of the model's classes: a file with one a line, or JSON.")
    ] = None,
    word: Word = None,
    caption: EveryWord = False,
    text: Text = None,
    question: Question = None,
    answer: Answer = None,
    similar_to: SimilarTo = None,
    region: Where = None,
    box: Box = None,
    contrast: Contrast = None,
    position: Position = None,
    beam: Annotated[int | None, typer.Option(help="Every word of the likeliest so many captions found.")] = None,
    by_word: ByWord = False,
    grounding: Annotated[
        bool, typer.Option("--grounding", help="How much each word of the caption owes to the picture.")
    ] = False,
    model: Model = None,
    weights: Weights = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Where to read activations; `mmcam layers` lists them. Several are fused into one map."),
    ] = None,
    fuse: Annotated[str, typer.Option(help="How the maps of several layers become one: max or product.")] = "max",
    method: Annotated[
        list[str] | None,
        typer.Option(help="How the map is made; `mmcam methods` lists them. May be repeated.", show_default="gradcam"),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, an option of the method: --option n=50. May be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the overlay and the data.")] = Path("out"),
    score: Annotated[
        str | None, typer.Option(help="What of a word or an answer: log_prob, logit, prob, entropy.")
    ] = None,
    device: Device = "cpu",
    as_json: Json = False,
    json_schema: Annotated[
        bool,
        typer.Option(
            "--json-schema", callback=_schema, is_eager=True, help="Print the JSON schema of --json and exit."
        ),
    ] = False,
) -> None:
    """Explain a class, word, caption, answer, similarity, region or box; write PICTURE-TARGET.png and .npz."""
    about_caption = bool(caption or word or text is not None or beam is not None or grounding)
    about_class = bool(class_) or top is not None or names is not None
    place = "region" if region else "box" if box else ""
    task = task_of(about_class, about_caption, bool(question), bool(answer), bool(similar_to), place)
    check_task(task, model, by_word)
    _check_extras(task, score, bool(grounding and (word or beam is not None)), bool(class_) and top is not None)
    _check_places(bool(region), bool(box), top)
    with one_sentence():
        files_of = pictures_of(pictures)
        asking = Asking(
            task, class_ or (), word or (), question or (), answer or (), similar_to or (), top, names_in(names), text,
            position, beam, by_word, [place_of(text) for text in region or box or ()],
        )  # fmt: skip
        loaded, preprocess = load_model(default(task) if model is None else model, weights, device)
        ways = {name: _options(name, method or ["gradcam"], option or []) for name in method or ["gradcam"]}
    shared: dict[str, Any] = {"layer": layer or None, "fuse": fuse, "preprocess": preprocess, "contrast": contrast}
    if score is not None:
        shared["score"] = score
    if clash := sorted({"method", *shared} & {name for options in ways.values() for name in options}):
        raise typer.BadParameter(f"--option {clash[0]} is none of the method's; use --{clash[0]}")
    prepared: list[str] = []
    passes = len(ways) * max(1, len(asking.questions)) + grounding

    def one(picture: Path) -> list[Report]:
        reports = []
        seen = looked_at(loaded, picture, layer or None, preprocess) if passes > 1 and not place else picture
        for name, options in ways.items():
            for part, exp in asking.of(loaded, seen, method=name, **shared, **options):
                files = write(exp, out, f"{picture.stem}-{slug(part)}" if part else picture.stem)
                owed = []
                if grounding and isinstance(exp, mmcam.CaptionExplanation):
                    owed = mmcam.grounding(loaded, seen, exp.caption, preprocess=preprocess)
                reports.append(report_of(picture, exp, files, owed))
                if not as_json:
                    tell(exp, files, owed, prepared)
        return reports

    reports, failed = _each(files_of, one, several=len(files_of) > 1 and not as_json)
    if as_json:
        typer.echo(json_text(reports, indent=2))
    elif model is None and not failed:
        console.print(f"[dim]{_whose(task)}[/]", highlight=False)
    raise typer.Exit(1 if failed else 0)


def _whose(task: str) -> str:
    """A sentence on the model that answered because none was named."""
    used, drawn = default(task), default(f"vignette-{task}")
    if used == drawn:
        return f"{used} knows drawn scenes only; for photographs name a model, e.g. --model torchvision:resnet50."
    return f"By {used}, which knows photographs; for scenes drawn by mmcam there is --model {drawn}."


def _check_extras(task: str, score: str | None, clash: bool, both: bool) -> None:
    """Raise typer.BadParameter for a score of what has none, for `--grounding` of one word or a beam, for two choices
    of classes.
    """
    if both:
        raise typer.BadParameter("--top chooses the classes; leave --class out")
    if score is not None and task not in ("caption", "answer"):
        raise typer.BadParameter("--score is of words and answers; ask with --word, --caption or --question")
    if clash:
        raise typer.BadParameter("--grounding is of every word of one caption; leave --word and --beam out")


def _check_places(region: bool, box: bool, top: int | None) -> None:
    """Raise typer.BadParameter for regions and boxes at once, or the best classes of the whole picture there."""
    if region and box:
        raise typer.BadParameter("--region is of models that segment and --box of detectors; leave one out")
    if (region or box) and top is not None:
        raise typer.BadParameter("--top is of the whole picture's classes; name them with --class")


def _each(pictures: list[Path], one: Callable[[Path], list[Report]], several: bool) -> tuple[list[Report], int]:
    """The reports on all pictures, and how many could not be explained; each of these costs only itself."""
    reports: list[Report] = []
    failed = 0
    for picture in with_progress(pictures, "Explaining"):
        if several:
            console.print(f"[dim]{escape(str(picture))}[/]", highlight=False, soft_wrap=True)
        try:
            reports += one(picture)
        except FAILURES as error:
            failed += 1
            reports.append({"picture": str(picture), "error": sentence(error)})
            complain(picture, error)
    return reports, failed


def _options(method: str, methods: list[str], given: list[str]) -> dict[str, Any]:
    """Those of the given options that are of a method, if there are several; each has to be of one of them.

    Raises:
        ExplainError: as `options_of`.
    """
    known = {each: registry.get(each).options for each in methods}
    others = [options for each, options in known.items() if each != method]

    def elsewhere(text: str) -> bool:
        name = text.partition("=")[0]
        return name not in known[method] and any(name in options for options in others)

    return options_of(method, [text for text in given if not elsewhere(text)])


def options_of(method: str, given: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts as the method's options; values that look like Python literals become them.

    Raises:
        ExplainError: no "=" in one, or no such method or option.
    """
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise mmcam.ExplainError(f"--option {text!r} is not NAME=VALUE; write for example --option n=50.")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):  # nested too deeply, for example
            options[name] = value
    registry.get(method).check(options)
    return options
