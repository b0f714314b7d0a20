"""The command line: explain a picture, try the demo, list layers, draw vignettes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Column, Table

import mmcam
from mmcam import layers as layer_finder
from mmcam.explanation import write_whole
from mmcam.methods import registry
from mmcam.model_spec import BUNDLED, load_model
from mmcam.progress import with_progress

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=mmcam.__doc__)
console = Console()
complaints = Console(stderr=True)

Weights = Annotated[Path | None, typer.Option(help="State dict for the model (.safetensors, .pth).")]
Model = Annotated[str | None, typer.Option("--model", help="Bundled name, torchvision:NAME or module:factory.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@app.callback()
def main() -> None:
    """Which part of a picture made a model choose a class, say a word, or answer a question."""


@app.command()
def explain(
    pictures: Annotated[list[Path], typer.Argument(help="One or more picture files.")],
    class_: Annotated[str | None, typer.Option("--class", help="A class, by name or index.")] = None,
    word: Annotated[str | None, typer.Option(help="A word or phrase of the caption.")] = None,
    caption: Annotated[bool, typer.Option("--caption", help="Every word of the caption.")] = False,
    text: Annotated[str | None, typer.Option(help="The caption to explain; default the model's own.")] = None,
    question: Annotated[str | None, typer.Option(help="A question about the picture.")] = None,
    answer: Annotated[str | None, typer.Option(help="Its answer; default the model's own.")] = None,
    contrast: Annotated[str | None, typer.Option(help="Rather than this class, word or answer.")] = None,
    position: Annotated[int | None, typer.Option(help="Position of the word in the caption, from 0.")] = None,
    beam: Annotated[int | None, typer.Option(help="Every word of the best so many captions.")] = None,
    by_word: Annotated[bool, typer.Option("--by-word", help="Every word of the question, too.")] = False,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Explain a class, a word, a whole caption or an answer; write PICTURE-TARGET.png and .npz."""
    tasks = {
        "class": class_ is not None,
        "caption": caption or word is not None or text is not None or beam is not None or grounding,
        "answer": question is not None,
    }
    if sum(tasks.values()) > 1:
        raise typer.BadParameter("choose one of --class, --word/--caption/--text, and --question")
    if answer is not None and question is None:
        raise typer.BadParameter("--answer needs its --question")
    if by_word and question is None:
        raise typer.BadParameter("--by-word needs its --question")
    if grounding and (word is not None or beam is not None):
        raise typer.BadParameter("--grounding is of every word of one caption; leave --word and --beam out")
    task = next((name for name, asked in tasks.items() if asked), "class")
    with one_sentence():
        loaded, preprocess = load_model(model or BUNDLED[task], weights, device)
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
        wanted = int(class_) if class_ is not None and class_.lstrip("-").isdigit() else class_
        if contrast is not None and contrast.isdigit():
            shared["contrast"] = int(contrast)
        return mmcam.explain_class(loaded, picture, wanted, **shared)

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
            complaints.print(f"[red]{picture.name}:[/] {error}", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(reports, indent=2, ensure_ascii=False))
    elif model is None and not failed:
        console.print(
            f"[dim]{BUNDLED[task]} knows drawn scenes only; for photographs name a model, e.g. "
            "--model torchvision:resnet50.[/]",
            highlight=False,
        )
    raise typer.Exit(1 if failed else 0)


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Which vignette to draw; test ones begin at 20000000.")] = 20000123,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out"),
) -> None:
    """Draw a vignette and explain it by all three bundled models: a class, a caption, an answer."""
    from mmcam.demo import run_demo

    with one_sentence():
        run_demo(seed, out, console)


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help="Bundled name, torchvision:NAME or module:factory.")],
    weights: Weights = None,
    random: Annotated[bool, typer.Option("--random", help="torchvision: random weights, nothing to download.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the layers a map can be drawn at, with their shapes; the default is marked."""
    with one_sentence():
        loaded: Any
        loaded, preprocess = _untrained(model) if random else load_model(model, weights)
        preprocess = preprocess or getattr(loaded, "preprocess", None) or mmcam.Preprocess()
        blank = torch.zeros(1, 3, *preprocess.size)

        def forward(x: torch.Tensor) -> Any:
            if hasattr(loaded, "answer_scores"):
                return loaded.answer_scores(x, ["what is this"])
            return loaded.generate(x) if hasattr(loaded, "token_log_probs") else loaded(x)

        found = layer_finder.spatial(layer_finder.trace(loaded, lambda: forward(blank)))
        default = layer_finder.find_layer(loaded, forward, blank)
    if as_json:
        rows = [{"name": c.name, "kind": c.kind, "shape": c.shape[1:], "default": c.name == default} for c in found]
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("layer", "kind", "K × h × w", "")
    for call in found:
        mark = "← default" if call.name == default else ""
        table.add_row(call.name, call.kind, " × ".join(map(str, call.shape[1:])), mark)
    console.print(table)


@app.command()
def vignettes(
    out: Annotated[Path, typer.Option(help="A new folder for pictures, masks and annotations.")],
    n: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 1000,
    split: Annotated[str, typer.Option(help="train, val, test or heldout.")] = "train",
) -> None:
    """Draw vignettes: PNG pictures and masks, COCO-style captions and instances, VQA-style questions and answers."""
    from rich.progress import Progress

    from mmcam.datasets import vignettes as world
    from mmcam.datasets.vignettes.export import export
    from mmcam.datasets.vignettes.sheet import contact_sheet

    with one_sentence(), Progress(console=complaints, transient=True) as bar:
        task = bar.add_task("Drawing", total=n)
        export(out, split=split, n=n, progress=lambda done, total: bar.update(task, completed=done))
        first = [world.draw(world.seed(split, i)) for i in range(min(n, 25))]
        write_whole(out / "contact-sheet.png", lambda file: contact_sheet(first).save(file, "PNG"))
    console.print(f"{n} {split} vignettes in {out}; contact-sheet.png shows the first {len(first)}", highlight=False)


@app.command()
def methods(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the methods with their options, cost, needs and source."""
    if as_json:
        rows = [
            {"name": m.name, "family": m.family, "options": dict(m.options), "cost": m.cost, "needs": m.needs,
             "source": m.source}
            for m in mmcam.METHODS.values()
        ]  # fmt: skip
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    families = dict.fromkeys(m.family for m in mmcam.METHODS.values())
    for family in families:
        columns = Column("method", no_wrap=True), Column("cost"), Column("options", overflow="fold"), Column("source")
        table = Table(*columns, title=family, title_justify="left")
        for m in (m for m in mmcam.METHODS.values() if m.family == family):
            given = ", ".join(f"{name}={value!r}" for name, value in m.options.items() if name != "rows")
            needs = f"\n[dim]needs {m.needs}[/]" if m.needs else ""
            table.add_row(m.name, m.cost + needs, given, m.source)
        console.print(table)


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


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a person did wrong into one sentence and exit code 1, without a traceback."""
    try:
        yield
    except (mmcam.ExplainError, mmcam.PictureError, FileExistsError, ValueError) as error:
        complaints.print(f"[red]Error:[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


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
            console.print(f"[bold]{exp.caption}[/]  log-probability {exp.whole.score:.2f}", highlight=False)
        else:
            answer = exp.answer
            console.print(f"[bold]{answer.target}[/] in “{exp.question}”: score {answer.score:.3f}", highlight=False)
        score = "log-probability" if isinstance(exp, mmcam.CaptionExplanation) else "score lost without it"
        table = Table("word", score, "looked at (x, y)", *(["lost without the picture"] if owed else []))
        for i, word in enumerate(exp):
            cells = [word.target, f"{word.score:.2f}", str(word.peak() or "nowhere: the map is empty")]
            if owed:
                cells.append(f"{owed[i].drop:.2f}" + ("  [red]not from the picture[/]" if owed[i].flagged else ""))
            table.add_row(*cells)
        console.print(table)
    else:
        context = f" in “{exp.context}”" if exp.context else ""
        console.print(f"[bold]{exp.target}[/]{context}: score {exp.score:.3f}", highlight=False)
        if exp.note:
            console.print(exp.note, highlight=False)
        else:
            console.print(f"looked most at {exp.peak()}, box {exp.box()}", highlight=False)
    for file in files[:2]:
        console.print(f"  {file}", highlight=False, soft_wrap=True)


def _untrained(spec: str) -> tuple[torch.nn.Module, mmcam.Preprocess | None]:
    if not spec.startswith("torchvision:"):
        raise mmcam.ExplainError("--random is for torchvision:NAME models; others load without it.")
    from torchvision import models as zoo

    name = spec.partition(":")[2]
    if name not in zoo.list_models(module=zoo):
        raise mmcam.ExplainError(f"torchvision has no classifier {name!r}.")
    return zoo.get_model(name, weights=None).eval(), None
