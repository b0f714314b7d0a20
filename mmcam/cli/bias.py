"""The command that shows what each class's maps lie on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmcam.cli.asking import names_in
from mmcam.cli.failures import SOURCE, Asked, Batch, ClassNames, Layer, Limit, Method
from mmcam.cli.page import check_replaceable
from mmcam.cli.shared import Device, Weights, app, console, one_sentence
from mmcam.models.specification import load_model

_MADE = b'<meta name="generator" content="mmcam bias'
_TABLE = b"class,concept,pictures,share"


@app.command()
def bias(
    source: Annotated[Path, typer.Argument(help=f"{SOURCE}.")],
    model: Asked,
    out: Annotated[
        Path, typer.Option(help="The page, an .html, or the table, a .csv; one that is there is replaced.")
    ] = Path("out/bias.html"),
    concepts: Annotated[
        Path | None,
        typer.Option(
            help="Masks of concepts in these pictures: a .csv (picture, mask, name), as `mmcam dissect` reads."
        ),
    ] = None,
    dissection: Annotated[
        str | None,
        typer.Option(help="Instead of masks, names of the layer's units: what `mmcam dissect` wrote, for example."),
    ] = None,
    names: ClassNames = None,
    method: Method = "gradcam",
    layer: Layer = None,
    limit: Limit = None,
    batch: Batch = 16,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Show on which concepts each class's maps lie more than those of others; goes on where interrupted."""
    from mmcam.cli.neurons import names_of
    from mmcam.diagnosis.bias.page import CLEAR, percent
    from mmcam.diagnosis.bias.run import find_bias
    from mmcam.diagnosis.explainer import Explainer

    with one_sentence():
        check_replaceable(out, _TABLE if out.suffix.lower() == ".csv" else _MADE)
        loaded, preprocess = load_model(model, weights, device)
        units = None if dissection is None else names_of(dissection)
        how = {"method": method, "layer": layer, "preprocess": preprocess}
        found = find_bias(
            source, Explainer(loaded, how, names_in(names), units), out, concepts=concepts, limit=limit, batch=batch,
            tell=lambda text: console.print(escape(text), highlight=False),
        )  # fmt: skip
    clear = [lean for lean in found.leans if lean.z >= CLEAR]
    console.print(
        f"[bold]{len(clear)} of {len(found.leans)} leanings[/] are clear ({found.pictures} pictures)", highlight=False
    )
    for lean in clear[:8]:
        more = f"{percent(lean.more)} ± {percent(lean.error)} more than other classes"
        console.print(f"  {escape(lean.label)} looks at {escape(lean.concept)}: {more}", highlight=False)
    if found.skipped:
        console.print(f"[yellow]{len(found.skipped)} left out;[/] the first: {escape(found.skipped[0][1])}")
    console.print(f"  {escape(str(out))}", highlight=False, soft_wrap=True)
