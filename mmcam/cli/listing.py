"""Commands that list: layers and methods."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

import mmcam
from mmcam.cli.shared import MODELS, Json, Weights, app, complaints, console, one_sentence
from mmcam.datasets import vignettes
from mmcam.engine.outputs import picture_of
from mmcam.files import json_text
from mmcam.models.specification import load_model, untrained_model
from mmcam.places.find import find_layer, spatial
from mmcam.preparation import batch_of
from mmcam.tasks.anything import forward_of

SEED = 20000123
"""Of the drawn picture that is sent through a model to see its layers, 224×224."""


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help=MODELS)],
    weights: Weights = None,
    random: Annotated[
        bool, typer.Option("--random", help="torchvision, timm: random weights, nothing to download.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the layers a map can be drawn at, with their shapes for a square picture; the default is marked."""
    with one_sentence():
        loaded: Any
        loaded, preprocess = (untrained_model(model), None) if random else load_model(model, weights)
        # A picture as the model's own preparation makes it: some sizes and some blanks no picture of it ever has.
        x = batch_of(loaded, vignettes.draw(SEED).image, preprocess).x
        forward = forward_of(loaded)
        size = picture_of(x)
        found = spatial(loaded, forward, x)
        try:
            default, problem = find_layer(loaded, forward, x), ""
        except mmcam.ExplainError as error:
            if not found:
                raise
            default, problem = "", str(error)  # the layers are there all the same
    if problem:
        complaints.print(f"[yellow]No default:[/] {escape(problem)}", highlight=False, soft_wrap=True)
    if as_json:
        rows = [
            {
                "name": spot.call.name,
                "kind": spot.call.kind,
                "shape": spot.map,
                "form": spot.form,
                "cells": spot.layer.cells,
                "default": spot.call.name == default,
            }
            for spot in found
        ]
        typer.echo(json_text(rows, indent=2))
        return
    # Names are what the list is for, so they are broken rather than cut.
    caption = f"of an input of {size[0]}×{size[1]} pixels"
    table = Table(Column("layer", overflow="fold"), "kind", "K × h × w", "cells", "", caption=caption)
    for spot in found:
        mark = "← default" if spot.call.name == default else ""
        form = "" if spot.form == "a map" else f"  [dim]{spot.form}[/]"
        table.add_row(spot.call.name, spot.call.kind, " × ".join(map(str, spot.map)) + form, spot.layer.cells, mark)
    console.print(table)


@app.command()
def methods(
    as_json: Json = False,
) -> None:
    """List the methods with their options, cost, needs and source."""
    if as_json:
        rows = [
            {"name": m.name, "family": m.family, "options": dict(m.options), "cost": m.cost, "needs": m.needs,
             "source": m.source}
            for m in mmcam.METHODS.values()
        ]  # fmt: skip
        typer.echo(json_text(rows, indent=2))
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
