"""The command that adds noise to pictures until a model sees what is not there."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from rich.markup import escape
from rich.table import Table

from mmcam.cli.asking import names_in
from mmcam.cli.failures import SOURCE, Asked, ClassNames, Limit
from mmcam.cli.shared import Device, Text, Weights, app, check_new, console, one_sentence
from mmcam.engine.modules import unwrap
from mmcam.files import is_file, json_text, write_all
from mmcam.image.open import SUFFIXES
from mmcam.models.specification import load_model


@app.command()
def attack(
    source: Annotated[Path, typer.Argument(help=f"A picture; or several. {SOURCE}.")],
    model: Asked,
    class_: Annotated[
        list[str] | None, typer.Option("--class", help="Of one picture, a class that is there; default what it says.")
    ] = None,
    word: Annotated[str | None, typer.Option(help="Of one picture, a word of its caption that is true.")] = None,
    text: Text = None,
    question: Annotated[str | None, typer.Option(help="A question about one picture.")] = None,
    answer: Annotated[str | None, typer.Option(help="Its answer; default the model's own.")] = None,
    to: Annotated[
        str | None, typer.Option(help="What the model is to say; of classes, default one drawn that is not there.")
    ] = None,
    noise: Annotated[str, typer.Option(help="sign: steps of a 255th; pgd: random start, at most 8.")] = "sign",
    method: Annotated[list[str] | None, typer.Option(help="How maps are made. May be repeated.")] = None,
    names: ClassNames = None,
    limit: Limit = None,
    out: Annotated[Path, typer.Option(help="Where to write, without suffix: .html, .json, .png.")] = Path("out/attack"),
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Add noise until a model sees what is not there, and tell whether the maps still find what is."""
    from mmcam.diagnosis.attack.noise import noise_of
    from mmcam.diagnosis.attack.page import write_attack
    from mmcam.diagnosis.attack.run import attack as attack_all
    from mmcam.diagnosis.attack.run import attack_text, report_of
    from mmcam.diagnosis.attack.subjects import answer_subject, word_subject
    from mmcam.diagnosis.labelled import LabelledPicture, read_labelled

    if word is not None and question is not None:
        raise typer.BadParameter("choose one of --word and --question")
    if (word is not None or question is not None) and to is None:
        raise typer.BadParameter("--word and --question need --to: what the model is to say")
    methods = method or ["gradcam"]
    with one_sentence():
        check_new(*(Path(f"{out}.{kind}") for kind in ("json", "png", "html")))
        kind = noise_of(noise)
        loaded, preprocess = load_model(model, weights, device)
        if word is not None or question is not None:
            subject = (
                word_subject(loaded, source, word, to or "", text, preprocess=preprocess)
                if word is not None
                else answer_subject(loaded, source, question or "", to or "", answer, preprocess=preprocess)
            )
            records, drawn = attack_text(loaded, subject, kind, methods)
            sheet: Image.Image | None = drawn
        else:
            alone = is_file(source) and source.suffix.lower() in SUFFIXES
            pictures = (LabelledPicture(source, tuple(class_ or ())),) if alone else read_labelled(source).pictures
            records, sheet = attack_all(
                loaded, source, pictures[:limit], kind, out, methods=methods, to=to, names=names_in(names),
                preprocess=preprocess, tell=lambda text: console.print(escape(text), highlight=False),
            )  # fmt: skip
        report = report_of(records, methods)
        told: dict[str, Any] = {"model": model, "noise": {"name": noise, **asdict(kind)}, "report": asdict(report)}
        told["pictures"] = [{key: value for key, value in one.items() if key != "cards"} for one in records]
        data = (json_text(told, indent=1) + "\n").encode("utf-8", "backslashreplace")
        files: dict[Path, Any] = {Path(f"{out}.json"): lambda file: file.write(data)}
        if sheet is not None:
            files[Path(f"{out}.png")] = partial(sheet.save, format="PNG")
        written = write_all(files)
        title = f"{type(unwrap(loaded)).__name__} with noise"
        written.append(write_attack(Path(f"{out}.html"), title, records, report, kind, methods))
        Path(f"{out}.part").unlink(missing_ok=True)  # of one picture there is none
    if len(records) == 1:
        _tell_one(records[0])
    _tell(report)
    for file in written:
        console.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)


def _tell_one(record: Any) -> None:
    """How sure the model was and is of one picture, fooled or not."""
    each = zip([record["wrong"], *record["true"]], [record["p wrong"], *record["p true"]], strict=True)
    said = "; ".join(f"p of {escape(name)} {before:.2g} → {after:.4g}" for name, (before, after) in each)
    console.print(f"{said}; {record['steps']} steps, ±{record['largest']}/255", highlight=False)
    for method, ((_, _, agreement), *_) in record["methods"].items():
        console.print(
            f"  {method}: rank correlation before and after {'–' if agreement is None else f'{agreement:.2f}'}",
            highlight=False,
        )


def _tell(report: Any) -> None:
    """The table on the terminal."""
    left = f", {report.missed} left out, in which it finds nothing of what is there" if report.missed else ""
    console.print(f"[bold]{report.fooled} of {report.pictures} fooled[/]{left}", highlight=False)
    if report.skipped:
        console.print(f"[yellow]{len(report.skipped)} left out;[/] the first: {escape(report.skipped[0][1])}")
    if not report.fooled:
        return
    p = [f"{each.value:.2g}" for each in report.true]
    console.print(
        f"steps {_of(report.steps)}, largest change {_of(report.largest)}/255; p of what is there {p[0]} → {p[1]}",
        highlight=False,
    )
    table = Table("map", "rank correlation", "on the thing before %", "after %", "centre %")
    for row in report.rows:
        table.add_row(
            row.method, _of(row.agreement, 1, 2), *(_of(each, 100) for each in (row.before, row.after, row.centre))
        )
    console.print(table)


def _of(mean: Any, scale: float = 1, digits: int = 1) -> str:
    """A mean with its error; "–" where nothing was measured."""
    if not mean.n:
        return "–"
    error = "" if mean.pictures < 2 else f" ± {scale * mean.standard_error:.{digits}f}"
    return f"{scale * mean.value:.{digits}f}{error}"
