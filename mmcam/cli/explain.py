"""The command that explains pictures."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

import mmcam
from mmcam.cli.shared import (
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
    task_of,
)
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
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Explain a class, a word, a caption, an answer or a similarity; write PICTURE-TARGET.png and .npz."""
    about_caption = caption or word is not None or text is not None or beam is not None or grounding
    task = task_of(class_ is not None, about_caption, question is not None, answer is not None, similar_to is not None)
    check_task(task, model, by_word)
    if grounding and (word is not None or beam is not None):
        raise typer.BadParameter("--grounding is of every word of one caption; leave --word and --beam out")
    with one_sentence():
        loaded, preprocess = load_model(model or default(task), weights, device)
        options = options_of(method, option or [])
    layers = layer[0] if layer and len(layer) == 1 else layer or None
    shared: dict[str, Any] = {"layer": layers, "method": method, "preprocess": preprocess, "contrast": contrast}
    if clash := sorted(shared.keys() & options.keys()):
        raise typer.BadParameter(f"--option {clash[0]} is none of the method's; use --{clash[0]}")
    shared |= options

    def one(picture: Path) -> Any:
        if task == "caption":
            return mmcam.explain_caption(loaded, picture, word, caption=text, position=position, beam=beam, **shared)
        if task == "answer":
            return mmcam.explain_answer(loaded, picture, question or "", answer, by_word=by_word, **shared)
        if task == "similarity":
            return mmcam.explain_similarity(loaded, picture, similar_to or "", **shared)
        return mmcam.explain_class(
            loaded, picture, index_or_name(class_), **shared | {"contrast": index_or_name(contrast)}
        )

    reports, failed = [], 0
    for picture in with_progress(pictures, "Explaining"):
        try:
            found = one(picture)
            for place, exp in enumerate(found if beam is not None else [found], start=1):
                files = write(exp, out, picture.stem if beam is None else f"{picture.stem}-beam{place}")
                owed = mmcam.grounding(loaded, picture, exp.caption, preprocess=preprocess) if grounding else []
                report = {"picture": str(picture), "files": [str(f) for f in files], **exp.summary()}
                if owed:
                    report["grounding"] = [{**asdict(word), "drop": word.drop} for word in owed]
                reports.append(report)
                if not as_json:
                    tell(exp, files, owed)
        except (mmcam.ExplainError, mmcam.PictureError, ValueError) as error:
            failed += 1
            reports.append({"picture": str(picture), "error": str(error)})
            complaints.print(f"[red]{escape(picture.name)}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(reports, indent=2, ensure_ascii=False))
    elif model is None and not failed:
        console.print(
            f"[dim]{default(task)} knows drawn scenes only; for photographs name a model, e.g. "
            "--model torchvision:resnet50.[/]",
            highlight=False,
        )
    raise typer.Exit(1 if failed else 0)


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
        except (ValueError, SyntaxError):
            options[name] = value
    registry.get(method).check(options)
    return options


def write(
    exp: mmcam.Explanation | mmcam.CaptionExplanation | mmcam.QuestionExplanation, out: Path, stem: str
) -> list[Path]:
    """Write picture and data of an explanation; the files' names say what was explained, and how if not by Grad-CAM."""
    whole = exp if isinstance(exp, mmcam.Explanation) else exp.all
    how = "" if whole.method == "gradcam" else f"-{whole.method}"
    if not isinstance(exp, mmcam.Explanation):
        kind = "caption" if isinstance(exp, mmcam.CaptionExplanation) else "question"
        words = [word.save(out / f"{stem}-{i:02d}-{slug(word.target)}{how}.npz") for i, word in enumerate(exp)]
        return [exp.save(out / f"{stem}-{kind}{how}.png"), *words]
    name = f"{stem}-{slug(exp.target)}{how}"
    return [exp.save(out / f"{name}.png"), exp.save(out / f"{name}.npz")]


def slug(text: str) -> str:
    """A text as part of a file name."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")[:60] or "target"


def tell(
    exp: mmcam.Explanation | mmcam.CaptionExplanation | mmcam.QuestionExplanation,
    files: list[Path],
    owed: Sequence[mmcam.Grounding] = (),
) -> None:
    """Say in words what was found and where it lies."""
    if not isinstance(exp, mmcam.Explanation):
        if isinstance(exp, mmcam.CaptionExplanation):
            console.print(f"[bold]{escape(exp.caption)}[/]  log-probability {exp.whole.score:.2f}", highlight=False)
        else:
            answer = exp.answer
            console.print(
                f"[bold]{escape(answer.target)}[/] in “{escape(exp.question)}”: score {answer.score:.3f}",
                highlight=False,
            )
        score = "log-probability" if isinstance(exp, mmcam.CaptionExplanation) else "score lost without it"
        table = Table("word", score, "looked at (x, y)", *(["lost without the picture"] if owed else []))
        for i, word in enumerate(exp):
            cells = [escape(word.target), f"{word.score:.2f}", str(word.peak() or "nowhere: the map is empty")]
            if owed:
                cells.append(f"{owed[i].drop:.2f}" + ("  [red]not from the picture[/]" if owed[i].flagged else ""))
            table.add_row(*cells)
        console.print(table)
    else:
        context = f" in “{escape(exp.context)}”" if exp.context else ""
        console.print(f"[bold]{escape(exp.target)}[/]{context}: score {exp.score:.3f}", highlight=False)
        if exp.note:
            console.print(escape(exp.note), highlight=False)
        else:
            console.print(f"looked most at {exp.peak()}, box {exp.box()}", highlight=False)
    for file in files[:2]:
        console.print(f"  {file}", highlight=False, soft_wrap=True)
