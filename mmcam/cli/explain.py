"""The command that explains pictures."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import mmcam
from mmcam.cli.shared import (
    FAILURES,
    Answer,
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
    Word,
    app,
    check_task,
    complaints,
    console,
    index_or_name,
    one_sentence,
    sentence,
    task_of,
)
from mmcam.cli.telling import Report, report_of, tell, write
from mmcam.files import json_text
from mmcam.methods import registry
from mmcam.models import default
from mmcam.models.specification import load_model
from mmcam.progress import with_progress


@app.command()
def explain(
    pictures: Pictures,
    class_: Class = None,
    word: Word = None,
    caption: EveryWord = False,
    text: Text = None,
    question: Question = None,
    answer: Answer = None,
    similar_to: SimilarTo = None,
    contrast: Contrast = None,
    position: Position = None,
    beam: Annotated[int | None, typer.Option(help="Every word of the best so many captions.")] = None,
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
    method: Annotated[str, typer.Option(help="How the map is made; `mmcam methods` lists them.")] = "gradcam",
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, an option of the method: --option n=50. May be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the overlay and the data.")] = Path("out"),
    score: Annotated[
        str | None, typer.Option(help="What of a word or an answer: log_prob, logit, prob, entropy.")
    ] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Explain a class, a word, a caption, an answer or a similarity; write PICTURE-TARGET.png and .npz."""
    about_caption = caption or word is not None or text is not None or beam is not None or grounding
    task = task_of(class_ is not None, about_caption, question is not None, answer is not None, similar_to is not None)
    check_task(task, model, by_word)
    _check_extras(task, score, grounding and (word is not None or beam is not None))
    with one_sentence():
        loaded, preprocess = load_model(default(task) if model is None else model, weights, device)
        options = options_of(method, option or [])
    shared: dict[str, Any] = {
        "layer": layer or None,
        "method": method,
        "preprocess": preprocess,
        "contrast": index_or_name(contrast) if task == "class" else contrast,
    }
    if score is not None:
        shared["score"] = score
    if clash := sorted(shared.keys() & options.keys()):
        raise typer.BadParameter(f"--option {clash[0]} is none of the method's; use --{clash[0]}")
    functions: dict[str, Callable[..., Any]] = {
        "class": partial(mmcam.explain_class, target=index_or_name(class_)),
        "caption": partial(mmcam.explain_caption, word=word, caption=text, position=position, beam=beam),
        "answer": partial(mmcam.explain_answer, question=question or "", answer=answer, by_word=by_word),
        "similarity": partial(mmcam.explain_similarity, text=similar_to or ""),
    }

    def one(picture: Path) -> list[Report]:
        results = functions[task](loaded, picture, **shared | options)
        reports = []
        for place, exp in enumerate(results if beam is not None else [results], start=1):
            files = write(exp, out, picture.stem if beam is None else f"{picture.stem}-beam{place}")
            owed = mmcam.grounding(loaded, picture, exp.caption, preprocess=preprocess) if grounding else []
            reports.append(report_of(picture, exp, files, owed))
            if not as_json:
                tell(exp, files, owed)
        return reports

    reports, failed = _each(pictures, one)
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


def _check_extras(task: str, score: str | None, clash: bool) -> None:
    """Raise typer.BadParameter for a score of what has none, and for `--grounding` of one word or a beam."""
    if score is not None and task not in ("caption", "answer"):
        raise typer.BadParameter("--score is of words and answers; ask with --word, --caption or --question")
    if clash:
        raise typer.BadParameter("--grounding is of every word of one caption; leave --word and --beam out")


def _each(pictures: list[Path], one: Callable[[Path], list[Report]]) -> tuple[list[Report], int]:
    """The reports on all pictures, and how many could not be explained; each of these costs only itself."""
    reports: list[Report] = []
    failed = 0
    for picture in with_progress(pictures, "Explaining"):
        try:
            reports += one(picture)
        except FAILURES as error:
            failed += 1
            reports.append({"picture": str(picture), "error": sentence(error)})
            complaints.print(
                f"[red]{escape(picture.name)}:[/] {escape(sentence(error))}", highlight=False, soft_wrap=True
            )
    return reports, failed


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
