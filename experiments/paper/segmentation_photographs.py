"""The same of photographs: learnt from Flickr8k, whose labels are read from its captions, measured on COCO's masks.

The categories are those of COCO's that ImageNet's classes know by a wider word, and that enough photographs show. Seeds
are of `photo-classifier`; behind its mean and one linear layer, CAM's are the same.

    MMCAM_REAL_DATA=DIR python -m experiments.paper.segmentation_photographs
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from pycocotools.coco import COCO

import models
from experiments.lib.segmented_photographs import known_categories, labelled, test_table, train_table
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets.captioned import flickr8k
from mmcam.diagnosis.segmentation.learning import Schedule
from mmcam.diagnosis.segmentation.masks import measure
from mmcam.diagnosis.segmentation.pictures import to_learn, to_measure
from mmcam.diagnosis.segmentation.run import segment
from mmcam.diagnosis.segmentation.scores import Counts, ious, miou_interval
from mmcam.diagnosis.segmentation.sowing import Subject

COLOURS = frozenset({"orange"})
"""Names of categories that captions mostly use for a colour: "an orange shirt"."""


def main(
    least: Annotated[int, typer.Option(min=1, help="Photographs that a category needs.")] = 60,
    most: Annotated[int, typer.Option(min=1, help="Photographs of a category at most.")] = 200,
    steps: Annotated[int, typer.Option(min=1, help="SEC's are 8,000.")] = 500,
    batch: Annotated[int, typer.Option(min=1, help="SEC's is 15.")] = 8,
    size: Annotated[int, typer.Option(min=32, help="SEC's is 321.")] = 161,
    width: Annotated[int, typer.Option(min=1, help="Channels of the head; SEC's is 1024.")] = 256,
    rate: Annotated[float, typer.Option(help="SEC's is 0.001, of plain gradients; this is Adam's.")] = 2e-4,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for networks and records.")] = Path("runs/segmentation"),
) -> None:
    """Write segmentation-photographs (.json, .md)."""
    if "MMCAM_REAL_DATA" not in os.environ:
        raise typer.BadParameter("set MMCAM_REAL_DATA to the folder with flickr8k/ and coco/")
    real = Path(os.environ["MMCAM_REAL_DATA"])
    classifier = models.load("photo-classifier")
    coco = COCO(str(real / "coco" / "instances.json"))
    labels = labelled(flickr8k(real / "flickr8k")["train"])
    often = Counter(name for names in labels.values() for name in names)
    there = {each["name"] for each in coco.loadCats({a["category_id"] for a in coco.dataset["annotations"]})}
    wanted = sorted(name for name, count in often.items() if count >= least and name in there and name not in COLOURS)
    categories = known_categories(classifier, wanted)
    data = to_learn(train_table(work, labels, categories, most))
    pictures = to_measure(test_table(work, coco, real / "coco" / "images", data.classes), data.classes)
    schedule = Schedule(
        steps=steps, batch=batch, size=size, rate=rate, fall=0.5, width=width, adaptive=True, alone=steps // 2
    )
    folder = work / f"photographs-{most}-{steps}x{batch}-{size}-{width}-{rate:g}"
    trained = segment(Subject(classifier), data, folder, schedule, tell=print)
    records = [r for r in measure(trained, pictures, folder / "test.jsonl", tell=print) if "counts" in r]
    counted = [record["counts"] for record in records]
    rows = [
        row("SEC from seeds of Grad-CAM", counted, data.classes),
        row("background everywhere", [nothing_said(each) for each in counted], data.classes),
    ]
    head = ("masks", "mIoU %", "background", *data.classes)
    cells = [
        [each["masks"], with_error(each["miou"], 100), *(f"{100 * iou:.1f}" for iou in each["iou"].values())]
        for each in rows
    ]
    command = (
        f"python -m experiments.paper.segmentation_photographs --least {least} --most {most} --steps {steps} "
        f"--batch {batch} --size {size} --width {width} --rate {rate:g}"
    )
    report = {**stamp(command, pictures=len(counted), seed=schedule.seed), "schedule": vars(schedule), "rows": rows}
    below = [
        "",
        f"Learnt from {len(data.pictures):,} of Flickr8k's train photographs, labelled with what at least two of "
        f"their captions name, in {steps} steps of Adam of {batch} at {size}², the boundary term counting "
        f"from the middle on; "
        "measured on the COCO photographs that show one "
        "of these categories, at their own size. In brackets 95 % intervals, 500 resamplings of the photographs.",
    ]
    show(out / "segmentation-photographs", report, head, cells, [f"`{command}`"], below)


def row(name: str, counted: list[Counts], classes: tuple[str, ...]) -> dict[str, Any]:
    """Of the table."""
    each = dict(zip(("background", *classes), ious(counted), strict=True))
    return {"masks": name, "miou": vars(miou_interval(counted)), "iou": each}


def nothing_said(counted: Counts) -> Counts:
    """The counts of a picture all of which is taken for background."""
    everything = sum(true for _, _, true in counted)
    (_, _, around), *things = counted
    return [[around, everything, around], *([0, 0, true] for _, _, true in things)]


if __name__ == "__main__":
    typer.run(main)
