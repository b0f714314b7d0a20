"""The command that puts maps of one picture beside each other in a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import mmcam
from mmcam.cli.explain import options_of
from mmcam.cli.shared import (
    Device,
    Json,
    Model,
    Weights,
    app,
    check_task,
    console,
    index_or_name,
    one_sentence,
    task_of,
)
from mmcam.drawing.overlay import COLOUR_MAP
from mmcam.explanation.several import SUFFIXES, leaves
from mmcam.files import json_text
from mmcam.models import default
from mmcam.models.specification import load_model


@app.command()
def compare(
    picture: Annotated[Path, typer.Argument(help="A picture file.")],
    class_: Annotated[
        list[str] | None, typer.Option("--class", help="A class, by name, index or wider word; may be repeated.")
    ] = None,
    word: Annotated[list[str] | None, typer.Option(help="A word of the caption; may be repeated.")] = None,
    caption: Annotated[bool, typer.Option("--caption", help="Every word of the caption.")] = False,
    text: Annotated[str | None, typer.Option(help="The caption to explain; default the model's own.")] = None,
    question: Annotated[str | None, typer.Option(help="A question about the picture.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="Its answer; may be repeated.")] = None,
    similar_to: Annotated[
        list[str] | None, typer.Option(help="A text, for models that compare pictures and texts; may be repeated.")
    ] = None,
    contrast: Annotated[str | None, typer.Option(help="Rather than this class, word, answer or text.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="How maps are made; may be repeated.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Where activations are read; may be repeated.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, an option that all methods have.")] = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = "cpu",
    out: Annotated[
        Path, typer.Option(help=f"The figure: {', '.join(SUFFIXES)}; a file that is there is replaced.")
    ] = Path("comparison.png"),
    title: Annotated[str | None, typer.Option(help="Above the figure; default what all maps share.")] = None,
    width: Annotated[float | None, typer.Option(help="At most so many inches; default 1.6 a panel.")] = None,
    colours: Annotated[str, typer.Option(help="A colour map of matplotlib's: plasma, viridis, turbo …")] = COLOUR_MAP,
    scale: Annotated[
        str, typer.Option(help="map: each map has its own maximum; list: all have one, and strengths compare.")
    ] = "map",
    box: Annotated[bool, typer.Option("--box", help="Draw the box of the largest part.")] = False,
    peak: Annotated[bool, typer.Option("--peak", help="Mark the maximum.")] = False,
    as_json: Json = False,
) -> None:
    """Put maps of one picture beside each other in a figure: of several classes, words or answers, methods, layers."""
    about_caption = caption or bool(word) or text is not None
    task = task_of(bool(class_), about_caption, question is not None, bool(answer), bool(similar_to))
    check_task(task, model, by_word=False)
    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"--out {out.name} is no figure; end its name in {', '.join(SUFFIXES)}")
    of_task: dict[str, dict[str, Any]] = {
        "class": {"targets": [index_or_name(name) for name in class_ or []] or None},
        "caption": {"targets": word or None, **({} if text is None else {"caption": text})},
        "answer": {"targets": answer or None, "question": question},
        "similarity": {"targets": similar_to},
    }
    asked = of_task[task]
    if contrast is not None:
        asked["contrast"] = index_or_name(contrast) if task == "class" else contrast
    with one_sentence():
        methods = method or ["gradcam"]
        each = [options_of(name, option or []) for name in methods]  # every method has to have them
        loaded, preprocess = load_model(default(task) if model is None else model, weights, device)
        compared = mmcam.compare(
            loaded, picture, methods=methods, layers=layer or None, preprocess=preprocess, **asked, **each[0]
        )
        look: dict[str, Any] = {
            "title": title,
            "width": width,
            "cmap": colours,
            "scale": scale,
            "box": box,
            "peak": peak,
        }
        file = compared.save(out, **look)
    if as_json:
        found = [exp.summary() for exp in leaves(compared)]
        typer.echo(json_text({"picture": str(picture), "figure": str(file), "explanations": found}, indent=2))
    else:
        for exp in leaves(compared):
            assert isinstance(exp, mmcam.Explanation)
            place = "the map is empty" if exp.empty else f"looked most at {exp.peak()}"
            line = (
                f"[bold]{escape(exp.target)}[/] by {exp.method} at {escape(exp.layer)}: score {exp.score:.3f}, {place}"
            )
            console.print(line, highlight=False)
        console.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)
