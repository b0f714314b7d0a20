"""The command that compares two models by their maps."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mmcam.cli.failures import SOURCE, Limit
from mmcam.cli.shared import MODELS, Device, app, check_new, console, one_sentence
from mmcam.errors import ExplainError
from mmcam.files import json_text, write_all
from mmcam.models.specification import load_model


@app.command()
def choose(
    source: Annotated[Path, typer.Argument(help=f"{SOURCE}. Masks or boxes let the maps be located.")],
    model: Annotated[list[str], typer.Option("--model", help=f"Twice, the two models. {MODELS}")],
    weights: Annotated[list[Path] | None, typer.Option(help="State dicts, of both models in their order.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="How maps are made. May be repeated.")] = None,
    limit: Limit = None,
    out: Annotated[Path, typer.Option(help="Where to write, without suffix: .html, .json, .png.")] = Path("out/choice"),
    device: Device = "cpu",
) -> None:
    """Tell which of two models has the better maps, on pictures that both get right; goes on where interrupted."""
    from mmcam.diagnosis.choice.page import write_choice
    from mmcam.diagnosis.choice.run import Candidate, accuracy, compared, figure
    from mmcam.diagnosis.choice.run import choose as choose_between
    from mmcam.diagnosis.labelled import read_labelled

    methods = method or ["gradcam"]
    if len(model) != 2 or (weights and len(weights) != 2):
        raise typer.BadParameter("name two models, and the weights of both or of none")
    with one_sentence():
        check_new(*(Path(f"{out}.{kind}") for kind in ("json", "png", "html")))
        files_of: list[Path | None] = [*weights] if weights else [None, None]
        loaded = [load_model(spec, at, device) for spec, at in zip(model, files_of, strict=True)]
        names = model if model[0] != model[1] else [f"{model[0]} ({file.stem})" for file in weights or []]
        if len(set(names)) < 2:
            raise ExplainError(f"Both models are {model[0]}, so there is nothing to choose; name two.")
        one, other = (Candidate(name, *each) for name, each in zip(names, loaded, strict=True))
        pictures = read_labelled(source).pictures[:limit]
        records = choose_between(
            (one, other), source, pictures, out, methods=methods,
            tell=lambda text: console.print(escape(text), highlight=False),
        )  # fmt: skip
        results = [compared(records, each) for each in methods]
        right = [accuracy(records, place) for place in range(2)]
        sheet = figure((one, other), pictures, records, methods[0])
        told = {
            "models": names,
            "accuracy": [asdict(each) for each in right],
            "compared": [asdict(each) for each in results],
            "pictures": [{key: value for key, value in one.items() if key != "card"} for one in records],
        }
        data = (json_text(told, indent=1) + "\n").encode("utf-8", "backslashreplace")
        files: dict[Path, Any] = {Path(f"{out}.json"): lambda file: file.write(data)}
        written = write_all(files | {Path(f"{out}.png"): partial(sheet.save, format="PNG")})
        written.append(write_choice(Path(f"{out}.html"), (names[0], names[1]), records, results, methods))
        Path(f"{out}.part").unlink()
    _tell((names[0], names[1]), right, results)
    for file in written:
        console.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)


def _tell(names: tuple[str, str], right: list[Any], results: list[Any]) -> None:
    """The tables on the terminal."""
    from mmcam.diagnosis.choice.run import FIGURES, verdict

    both = results[0].of["matters"][0].n
    console.print(
        f"{escape(names[0])} is right on {100 * right[0].value:.0f} %, {escape(names[1])} on "
        f"{100 * right[1].value:.0f} % of {right[0].n} pictures; compared on the {both} that both get right",
        highlight=False,
        soft_wrap=True,
    )
    for result in results:
        table = Table("", *map(escape, names), "lead of the first", "better", title=result.method)
        for name, told in FIGURES.items():
            if name in result.lead:
                lead, means = result.lead[name], result.of[name]
                table.add_row(told, *(f"{each.value:.2f}" for each in means), _of(lead), escape(verdict(lead, names)))
        if result.rating is not None:
            counts = "/".join(map(str, result.preferred))
            table.add_row("raters, −2 to 2", "", "", _of(result.rating), escape(verdict(result.rating, names)))
            table.add_row("  pictures for the first/none/second", "", "", counts, "")
        console.print(table)


def _of(interval: Any) -> str:
    bounds = "" if isnan(interval.low) else f" ({interval.low:+.2f} to {interval.high:+.2f})"
    return f"{interval.value:+.2f}{bounds}".replace("-", "−")
