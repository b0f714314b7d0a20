"""The command that shows what a model gets wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mmcam.cli.asking import names_in
from mmcam.cli.page import check_replaceable
from mmcam.cli.shared import MODELS, Device, Weights, app, console, one_sentence
from mmcam.models.specification import load_model

SOURCE = (
    "Pictures and what they show: a folder with a folder for each class, a .csv (picture, class, group, mask), or "
    "ILSVRC's folder"
)

Pictured = Annotated[
    Path,
    typer.Argument(help=f"{SOURCE}; for captions a .csv (picture, caption), for answers (picture, question, answer)."),
]
Asked = Annotated[str, typer.Option("--model", help=MODELS)]
ClassNames = Annotated[Path | None, typer.Option(help="Names of the model's classes: a file with one a line, or JSON.")]
Method = Annotated[str, typer.Option(help="How maps are made; `mmcam methods` lists them.")]
Layer = Annotated[str | None, typer.Option(help="Where to read activations; `mmcam layers` lists them.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many pictures.")]
Batch = Annotated[int, typer.Option(min=1, help="Pictures at a time.")]

_PAGE = b'<meta name="generator" content="mmcam failures'


@app.command()
def failures(
    source: Pictured,
    model: Asked,
    out: Annotated[Path, typer.Option(help="The page; one that is there is replaced.")] = Path("out/failures.html"),
    names: ClassNames = None,
    dissection: Annotated[
        str | None,
        typer.Option(help="Names of the layer's units, for sentences: what `mmcam dissect` wrote, for example."),
    ] = None,
    method: Method = "gradcam",
    layer: Layer = None,
    limit: Limit = None,
    batch: Batch = 16,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Show what a model gets wrong, with the maps of the truth and of what it said; goes on where interrupted."""
    from mmcam.cli.neurons import names_of
    from mmcam.diagnosis.explainer import Explainer
    from mmcam.diagnosis.failures.run import find_failures
    from mmcam.diagnosis.failures.summary import PLACES

    with one_sentence():
        check_replaceable(out, _PAGE)
        loaded, preprocess = load_model(model, weights, device)
        units = None if dissection is None else names_of(dissection)
        how = {"method": method, "layer": layer, "preprocess": preprocess}
        found = find_failures(
            source, Explainer(loaded, how, names_in(names), units), out, limit=limit, batch=batch,
            tell=lambda text: console.print(escape(text), highlight=False),
        )  # fmt: skip
    console.print(
        f"[bold]{found.sides['wrong'].n} of {found.wrong.n} wrong[/] ({100 * found.wrong.value:.1f} %)", highlight=False
    )
    for place, count in found.places.items():
        console.print(f"  {count:4d}  {PLACES[place]}", highlight=False)
    for truth, said, count in found.confusions[:5]:
        console.print(f"  {count:4d}  {escape(truth)} → {escape(said)}", highlight=False)
    if found.skipped:
        console.print(f"[yellow]{len(found.skipped)} left out;[/] the first: {escape(found.skipped[0][1])}")
    console.print(f"  {escape(str(out))}", highlight=False, soft_wrap=True)
