"""The command that learns to segment from labels alone, and segments."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mmcam.cli.asking import names_in
from mmcam.cli.failures import Asked, ClassNames, Layer, Method
from mmcam.cli.pictures import pictures_of
from mmcam.cli.shared import Device, Weights, app, console, one_sentence
from mmcam.files import json_text, write_whole
from mmcam.models.specification import load_model


@app.command()
def segment(
    source: Annotated[
        Path,
        typer.Argument(
            help="Pictures with labels: a folder with a folder for each class, a .csv (picture, class), or a year's "
            "folder of PASCAL VOC."
        ),
    ],
    model: Asked,
    out: Annotated[Path, typer.Option(help="Folder for seeds, network and masks.")] = Path("out/segment"),
    masks: Annotated[
        list[Path] | None, typer.Option(help="Pictures to segment, as `mmcam explain` takes them. May be repeated.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="What to measure on: a .csv (picture, class, mask), or VOC's folder.")
    ] = None,
    field: Annotated[
        str, typer.Option(help="What smooths masks: grid; dense, over all pixels (needs pydensecrf2); none.")
    ] = "grid",
    method: Method = "gradcam",
    layer: Layer = None,
    names: ClassNames = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of training; SEC's by default, as all of these.")] = 8000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 15,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Pixels of the network's input's sides.")] = 321,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate of what is not new.")] = 1e-3,
    fall: Annotated[
        float, typer.Option(min=0, max=1, help="Factor of the rate after each quarter of the steps.")
    ] = 0.1,
    width: Annotated[int, typer.Option(min=1, help="Channels of the new layers.")] = 1024,
    adaptive: Annotated[
        bool, typer.Option("--adaptive", help="Descend by Adam: for some hundred steps, with a --rate of 0.0002.")
    ] = False,
    alone: Annotated[
        int, typer.Option(min=0, help="Steps before edges count; for some hundred steps half of them.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 0,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Learn to segment from labels alone, with maps as seeds, and write masks; goes on where interrupted."""
    from mmcam.diagnosis.segmentation.learning import Schedule
    from mmcam.diagnosis.segmentation.masks import measure, write_masks
    from mmcam.diagnosis.segmentation.pictures import to_learn, to_measure
    from mmcam.diagnosis.segmentation.predict import check_field
    from mmcam.diagnosis.segmentation.run import segment as learn
    from mmcam.diagnosis.segmentation.sowing import Subject

    def tell(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    with one_sentence():
        over = check_field(field)
        data = to_learn(source)
        held_out = None if test is None else to_measure(test, data.classes)
        pictures = pictures_of(masks or [])
        loaded, preprocess = load_model(model, weights, device)
        subject = Subject(loaded, method, layer, names_in(names), preprocess)
        schedule = Schedule(steps, batch, size, rate, fall, width, adaptive=adaptive, alone=alone, seed=seed)
        trained = learn(subject, data, out, schedule, tell=tell)
        skipped = write_masks(trained, pictures, out / "masks", over, tell=tell)
        if held_out is not None:
            records = measure(trained, held_out, out / f"test-{over}.jsonl", over, tell=tell)
    for picture, why in skipped:
        console.print(f"[yellow]Left out:[/] {escape(str(picture))}: {escape(why)}", highlight=False, soft_wrap=True)
    if held_out is not None:
        with one_sentence():
            _tell_scores(records, trained.classes, out / f"test-{over}.json", asdict(schedule))
    if pictures:
        tell(f"  {out / 'masks'}: 0 is background, " + ", ".join(f"{n} {c}" for n, c in enumerate(trained.classes, 1)))


def _tell_scores(records: list[Any], classes: tuple[str, ...], path: Path, schedule: dict[str, Any]) -> None:
    """The table on the terminal, and as JSON."""
    from mmcam.diagnosis.segmentation.scores import ious, miou_interval

    counted = [record["counts"] for record in records if "counts" in record]
    skipped = [record for record in records if "skipped" in record]
    each = dict(zip(("background", *classes), ious(counted), strict=True))
    mean = miou_interval(counted)
    report = {"pictures": len(counted), "miou": vars(mean), "iou": each, "schedule": schedule, "skipped": skipped}
    write_whole(path, lambda file: file.write((json_text(report, indent=1) + "\n").encode()))
    table = Table("class", "IoU %")
    for name, iou in each.items():
        table.add_row(escape(name), "–" if isnan(iou) else f"{100 * iou:.1f}")
    console.print(table)
    bounds = "" if isnan(mean.low) else f" ({100 * mean.low:.1f}–{100 * mean.high:.1f})"
    console.print(f"[bold]mIoU {100 * mean.value:.1f}{bounds} %[/] on {len(counted)} pictures", highlight=False)
    if skipped:
        console.print(f"[yellow]{len(skipped)} left out;[/] the first: {escape(skipped[0]['skipped'])}")
    console.print(f"  {escape(str(path))}", highlight=False, soft_wrap=True)
