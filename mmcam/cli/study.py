"""Commands about studies with people."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mmcam.cli.shared import MODELS, Device, app, check_new, console, one_sentence
from mmcam.errors import ExplainError

study = typer.Typer(no_args_is_help=True)
app.add_typer(study, name="study")

Study = Annotated[Path, typer.Argument(help="The study's folder, made by `mmcam study build`.")]


@study.callback()
def commands() -> None:
    """Build studies with people, serve them, and analyse the answers."""


def _tell(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)


@study.command()
def build(
    kind: Annotated[str, typer.Option(help="discrimination, trust, agreement or distinction.")],
    model: Annotated[list[str], typer.Option("--model", help=f"Twice for trust. {MODELS}")],
    images: Annotated[str, typer.Option(help="A folder with a folder for each class, a .csv, or vignettes.")],
    method: Annotated[list[str], typer.Option(help="How maps are made. May be repeated: these are compared.")],
    out: Annotated[Path, typer.Option(help="The study, a new folder.")],
    items: Annotated[int, typer.Option(help="Pictures that are asked about, each by every method.")] = 40,
    per_rater: Annotated[int | None, typer.Option(help="Of them for each rater; default all.")] = None,
    training: Annotated[int, typer.Option(min=0, help="Pictures more, for simulated raters to learn from.")] = 0,
    weights: Annotated[list[Path] | None, typer.Option(help="State dicts, of all models in their order.")] = None,
    consent: Annotated[
        Path | None, typer.Option(help="A text file that raters agree to, in place of the usual.")
    ] = None,
    contact: Annotated[str, typer.Option(help="Whom raters may ask: a name and an address.")] = "",
    seed: Annotated[int, typer.Option(help="Of what is chosen at random.")] = 0,
    device: Device = "cpu",
) -> None:
    """Make stimuli from models and pictures, and write how the study goes and whose answers will be left out."""
    from mmcam.models.specification import load_model
    from mmcam.studies.build import Order
    from mmcam.studies.build import build as build_study

    if weights and len(weights) != len(model):
        raise typer.BadParameter("name the weights of all models or of none")
    with one_sentence():
        check_new(out)
        files: list[Path | None] = [*weights] if weights else [None] * len(model)
        loaded = [(spec, *load_model(spec, at, device)) for spec, at in zip(model, files, strict=True)]
        told = consent.read_text(encoding="utf-8").split("\n\n") if consent else []
        paragraphs = tuple(" ".join(one.split()) for one in told if one.strip())
        command = shlex.join(["mmcam", *sys.argv[1:]])
        order = Order(kind, loaded, images, method, items, per_rater, training, paragraphs, contact, seed, command)
        design = build_study(order, out, _tell)
    count = len(design.methods)
    _tell(f"{out}: {design.items} items, {count} method{'s' * (count != 1)}; a rater answers {design.per_rater} items.")
    _tell("Left out will be those " + "; ".join(design.rules.sentences()) + ".")
    _tell(f"Look at {out / 'design.json'}, then: mmcam study serve {out}")


@study.command()
def serve(
    folder: Study,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be reached from other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the server.")] = 8765,
) -> None:
    """Serve a study to raters, and keep their answers."""
    with one_sentence():
        uvicorn, create_app = _server()
        application = create_app(folder)
        _tell(f"http://{host}:{port}/   Ctrl+C ends it; answers are in {folder / 'answers.sqlite'}")
        uvicorn.run(application, host=host, port=port, log_level="warning", access_log=False)


@study.command()
def export(
    folder: Study,
    out: Annotated[Path, typer.Option(help="A new folder.")],
    static: Annotated[
        bool, typer.Option("--static", help="Files that any server hosts; raters send files in.")
    ] = False,
    mturk: Annotated[bool, typer.Option("--mturk", help="For Amazon Mechanical Turk, with --url.")] = False,
    prolific: Annotated[bool, typer.Option("--prolific", help="For Prolific, with --url.")] = False,
    url: Annotated[str, typer.Option(help="Where raters reach `mmcam study serve`: https://….")] = "",
    raters: Annotated[int, typer.Option(min=1, help="How many are asked for.")] = 50,
) -> None:
    """Write a study for a server of files, Mechanical Turk or Prolific; nothing is sent anywhere."""
    from mmcam.studies import export as to

    if static + mturk + prolific != 1 or (not static and not url):
        raise typer.BadParameter("name one of --static, --mturk and --prolific, the latter two with --url")
    with one_sentence():
        if static:
            to.static(folder, out)
        else:
            (to.mechanical_turk if mturk else to.prolific)(folder, url, raters, out)
    _tell(f"  {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


@study.command()
def simulate(
    folder: Study,
    raters: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    eyes: Annotated[str, typer.Option(help="A classifier that raters see with, none of the study's models.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of what each rater has seen.")] = 0,
) -> None:
    """Let simulated raters take part: small classifiers, named as such wherever their answers are told."""
    from mmcam.models import default
    from mmcam.models.specification import load_model
    from mmcam.studies.simulate import simulate as take_part

    with one_sentence():
        _server()
        model, _ = load_model(eyes or default("class"))
        ids = take_part(folder, model, raters, seed, _tell)
    _tell(f"{len(ids)} simulated raters have answered; mmcam study analyse {folder} tells what.")


@study.command()
def collect(
    folder: Study,
    files: Annotated[list[Path], typer.Argument(help="The answers-….json files that raters of a static study saved.")],
) -> None:
    """Take in the answers of a study that was exported with --static; what is there already stays once."""
    from mmcam.studies.answers import collect as take_in
    from mmcam.studies.design import read_design, read_key
    from mmcam.studies.store import Store

    with one_sentence():
        design = read_design(folder)
        raters = take_in(design, read_key(folder), Store(folder, design), files)
    _tell(f"{len(raters)} files are in {folder / 'answers.sqlite'}.")


@study.command()
def analyse(
    folder: Study,
    out: Annotated[Path | None, typer.Option(help="Without suffix: .html, .json, .csv; default STUDY/results.")] = None,
    raters: Annotated[int | None, typer.Option(min=2, help="How many are planned: with what power?")] = None,
) -> None:
    """Tell what raters answered: figures with intervals, tests, agreement, and who was left out and why."""
    from rich.table import Table

    from mmcam.studies.outcome import write_outcome
    from mmcam.studies.report import differences, lines, who

    with one_sentence():
        design, analyses, written = write_outcome(folder, out or folder / "results", raters)
    for one in analyses:
        for title, (head, rows) in (
            (f"{one.raters} {who(one)}", lines(design, one)),
            ("between methods", differences(design, one)),
        ):
            if rows:
                shown = Table(*map(escape, head), title=escape(title))
                for column in shown.columns:
                    column.overflow = "fold"  # in a narrow window, too, names are whole
                shown.columns[0].min_width = max(len(word) for row in rows for word in row[0].split())
                for row in rows:
                    shown.add_row(*map(escape, row))
                console.print(shown)
        _tell(f"left out: {len(one.excluded)}" + "".join(f"\n  {x.source} {x.rater}: {x.why}" for x in one.excluded))
    for file in written:
        _tell(f"  {file}")


def _server() -> tuple[Any, Any]:
    """uvicorn and the server of a study.

    Raises:
        ExplainError: the extra is not installed.
    """
    try:
        import uvicorn

        from mmcam.studies.server import create_app
    except ImportError as error:
        raise ExplainError(f"Studies need {error.name}; install mmcam[study].") from error
    return uvicorn, create_app
