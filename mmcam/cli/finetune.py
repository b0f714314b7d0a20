"""The command that finetunes a network on a folder and reports what it finds."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mmcam.cli.pictures import pictures_of
from mmcam.cli.shared import Device, Json, app, complaints, console, one_sentence
from mmcam.files import json_text


@app.command()
def finetune(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A folder with a folder for each class, or a .csv: picture, class, group, mask."
        ),
    ],
    backbone: Annotated[
        str,
        typer.Option(help="tf_efficientnet_lite0, mobilenet_v2, resnet50, inception_v3, timm:NAME, torchvision:NAME."),
    ] = "tf_efficientnet_lite0",
    weights: Annotated[
        Path | None, typer.Option(help="Its weights (.safetensors, .pth); tf_efficientnet_lite0 brings its own.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run's folder; one that was begun goes on.")] = Path("runs/finetuned"),
    sound: Annotated[str | None, typer.Option(help="The class of pictures without a defect, if there is one.")] = None,
    inspect: Annotated[
        list[Path] | None,
        typer.Option(help="Photographs to report on, files or folders; default the run's test pictures."),
    ] = None,
    epochs: Annotated[
        int, typer.Option(min=0, help="At most, with the network's last layers; 0: the head alone.")
    ] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and of all that is random.")] = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Finetune a network on labelled pictures, measure it, and report what it finds, as a page and a PDF."""
    from mmcam.diagnosis.transfer import Asked, Settings
    from mmcam.diagnosis.transfer import finetune as run

    def say(line: str) -> None:
        (complaints if as_json else console).print(escape(line), highlight=False, soft_wrap=True)

    with one_sentence():
        photos = tuple(pictures_of(inspect or []))
        command = shlex.join(["mmcam", *sys.argv[1:]])
        asked = Asked(source, out, backbone, weights, sound, photos, device, command)
        card = run(asked, Settings(seed=seed, tune_epochs=epochs), say)
    if as_json:
        typer.echo(json_text(card, indent=2))
        return
    test = card["scores"]["test"]
    table = Table("class", "pictures", "precision", "recall", "F1", "specificity", title="Test pictures, %")
    for name, figures in test["classes"].items():
        cells = (_range(figures[key]) for key in ("precision", "recall", "f1", "specificity"))
        table.add_row(escape(name), str(figures["pictures"]), *cells)
    console.print(table)
    console.print(
        f"balanced accuracy {_range(test['balanced_accuracy'])} %, calibration error "
        f"{_range(test['calibration_error'])} % (before: {100 * card['uncalibrated_error']:.1f})",
        highlight=False,
    )
    console.print(f"mmcam explain PHOTO --model {escape(shlex.quote(str(out)))}", highlight=False, soft_wrap=True)


def _range(figure: dict[str, Any]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None or value != value:
        return ""
    known = low is not None and low == low
    return f"{100 * value:.0f}" + (f" ({100 * low:.0f}–{100 * high:.0f})" if known else "")
