"""Segmentation learnt from labels alone: SEC on seeds of CAM and of Grad-CAM (Grad-CAM, section 4.2; arXiv 1603.06098).

Five ways to masks of held-out vignettes, by their mIoU over the kinds and background: seeds of CAM and of Grad-CAM,
where they are told what is in the picture; networks that learnt from such seeds by SEC's three losses, which are told
nothing; and the same network learnt from exact masks, which is what can be had at most.

    python -m experiments.paper.segmentation
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import track

import models
from experiments.lib.records import add, read
from experiments.lib.segmented import CAM_PICTURES, KINDS, folder_of, pooled
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.segmentation.learning import Schedule
from mmcam.diagnosis.segmentation.masks import Trained, measure
from mmcam.diagnosis.segmentation.palette import in_palette
from mmcam.diagnosis.segmentation.pictures import to_learn, to_measure, truth
from mmcam.diagnosis.segmentation.predict import classes_of_pixels
from mmcam.diagnosis.segmentation.run import segment
from mmcam.diagnosis.segmentation.scores import Counts, counts, ious, miou_interval
from mmcam.diagnosis.segmentation.seeds import earlier_layer, seeds_of
from mmcam.diagnosis.segmentation.sowing import Subject
from mmcam.drawing.strip import draw_strip
from mmcam.image import load_image

GRID = 41
FIRST = 200
"""The first test vignette that is measured: those before were looked at while the short schedule was chosen."""
PUBLISHED = {"CAM": "44.6", "Grad-CAM": "49.6"}


def main(
    train: Annotated[int, typer.Option(min=2, help="Train vignettes.")] = 300,
    test: Annotated[int, typer.Option(min=2, help="Test vignettes.")] = 60,
    steps: Annotated[int, typer.Option(min=1, help="SEC's are 8,000.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="SEC's is 15.")] = 8,
    size: Annotated[int, typer.Option(min=32, help="SEC's is 321.")] = 161,
    rate: Annotated[float, typer.Option(help="SEC's is 0.001.")] = 2e-4,
    fall: Annotated[float, typer.Option(help="SEC's is 0.1.")] = 0.5,
    width: Annotated[int, typer.Option(min=1, help="Channels of the head; SEC's is 1024.")] = 128,
    out: Annotated[Path, typer.Option(help="Folder for table and picture.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for pictures, networks and records.")] = Path("runs/segmentation"),
) -> None:
    """Write segmentation (.json, .md, .webp)."""
    classifier = models.load("vignette-classifier")
    subjects = {
        "CAM": Subject(pooled(classifier, work / f"cam-{CAM_PICTURES}.safetensors"), "cam"),
        "Grad-CAM": Subject(classifier),
    }
    data = to_learn(folder_of(work, "train", train))
    schedule = Schedule(
        steps=steps, batch=batch, size=size, rate=rate, fall=fall, width=width, adaptive=True, alone=steps // 2
    )
    pictures = to_measure(folder_of(work, "test", test, FIRST), data.classes)
    runs = {"masks": (Subject(classifier), True)} | {name: (subject, False) for name, subject in subjects.items()}
    trained: dict[str, Trained] = {}
    rows: list[dict[str, Any]] = []
    for name, (subject, supervised) in runs.items():
        folder = work / f"{name}-{train}-{steps}x{batch}-{size}-{width}-{rate:g}-{fall:g}"
        trained[name] = segment(subject, data, folder, schedule, supervised=supervised, tell=print)
        records = measure(trained[name], pictures, folder / f"test-{test}-from-{FIRST}.jsonl", tell=print)
        rows.append(
            figures("exact masks" if supervised else f"SEC from seeds of {name}", [r["counts"] for r in records])
        )
    for name, subject in subjects.items():
        rows.append(
            figures(
                f"seeds of {name}",
                of_seeds(subject, pictures, data.classes, work / f"seeds-{name}-{test}-from-{FIRST}.jsonl"),
            )
        )
    told = ("steps", "batch", "size", "rate", "fall", "width")
    size_of = {name: value for name, value in vars(schedule).items() if name in told}
    command = "python -m experiments.paper.segmentation " + " ".join(
        f"--{name} {value:g}" for name, value in {"train": train, "test": test, **size_of}.items()
    )
    table(rows, {**stamp(command, pictures=test, seed=schedule.seed), "schedule": vars(schedule), "train": train}, out)
    keep_sheet(out / "segmentation.webp", drawn(subjects, trained, pictures[:6], data.classes))


def figures(name: str, records: list[Counts]) -> dict[str, Any]:
    """A row: mIoU with its interval, the IoU of background and the mean of the things."""
    each = ious(records)
    by_class = dict(zip(("background", *KINDS_SORTED), each, strict=True))
    return {"masks": name, "miou": vars(miou_interval(records)), "iou": by_class, "things": float(np.nanmean(each[1:]))}


KINDS_SORTED = tuple(sorted(KINDS))


def of_seeds(subject: Subject, pictures: list[LabelledPicture], classes: tuple[str, ...], path: Path) -> list[Counts]:
    """Counts of seeds read as masks: what has no seed is background. The labels of each picture are told."""
    done = {record["picture"]: record for record in read(path)}
    for picture in track(pictures, f"seeds by {subject.method}"):
        if str(picture.path) not in done:
            image = load_image(picture.path)
            said = np.maximum(seeds(subject, picture, classes), 0)
            true = truth(picture, classes, image.size)
            record = {
                "picture": str(picture.path),
                "counts": counts(enlarged(said, image.size), true, len(classes) + 1),
            }
            add(path, [record])
            done[record["picture"]] = record
    return [done[str(picture.path)]["counts"] for picture in pictures]


def seeds(subject: Subject, picture: LabelledPicture, classes: tuple[str, ...]) -> np.ndarray:
    """Of a picture, on SEC's grid."""
    model: Any = subject.model
    x, geometry = model.preprocess(load_image(picture.path))
    targets = [list(model.classes).index(label) for label in picture.labels]
    own = [classes.index(label) for label in picture.labels]
    earlier = earlier_layer(model, x[None])
    return seeds_of(model, x[None], geometry, targets, own, earlier=earlier, method=subject.method, grid=GRID)


def enlarged(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cells → pixels, each of the cell that it lies in."""
    return np.asarray(Image.fromarray(cells.astype(np.uint8)).resize(size, Image.Resampling.NEAREST))


def table(rows: list[dict[str, Any]], stamped: dict[str, Any], out: Path) -> None:
    """Print and write the table, the published figures in it."""
    order = ("seeds of CAM", "SEC from seeds of CAM", "seeds of Grad-CAM", "SEC from seeds of Grad-CAM", "exact masks")
    rows = sorted(rows, key=lambda row: order.index(row["masks"]))
    told = {f"SEC from seeds of {name}": figure for name, figure in PUBLISHED.items()}
    cells = [
        [
            row["masks"], with_error(row["miou"], 100), f"{100 * row['things']:.1f}",
            f"{100 * row['iou']['background']:.1f}", told.get(row["masks"], ""),
        ]
        for row in rows
    ]  # fmt: skip
    plan = stamped["schedule"]
    head = ("masks", "mIoU %", "of things", "of background", "published, VOC12")
    below = [
        "",
        f"{stamped['pictures']} test vignettes, from number {FIRST} on, {len(KINDS)} kinds and background, at 224×224. "
        "Learnt from the "
        f"labels of {stamped['train']} train vignettes (exact masks: from those) in {plan['steps']} steps of "
        f"{plan['batch']} at {plan['size']}² by Adam, rate {plan['rate']:g} and after each quarter "
        f"{plan['fall']:g} of it, the boundary "
        f"term counting from step {plan['alone']} on, a head of {plan['width']} channels on vignette-classifier. "
        "Published are 8,000 steps of 15 at 321² by plain gradients, rate 0.001 and a tenth, all terms from the first "
        "step, 1,024 channels on VGG-16. The field smooths on 41 cells. Seeds are read as masks on 41×41 cells, what "
        "has no seed being background, and are told what is in the picture; the networks are not. CAM is of the same "
        f"convolutions with a linear layer on their mean, learnt from {CAM_PICTURES} vignettes. In brackets 95 % "
        "intervals, 500 resamplings of the test pictures; how much another seed of the training would change is not "
        "in them.",
        "",
        "![Pictures, seeds, masks learnt from them, truth](segmentation.webp)",
    ]
    show(out / "segmentation", {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def drawn(
    subjects: dict[str, Subject], trained: dict[str, Trained], pictures: list[LabelledPicture], classes: tuple[str, ...]
) -> Image.Image:
    """A row a picture: itself, seeds of Grad-CAM, SEC from CAM's and Grad-CAM's seeds, from masks, and the truth."""
    panels: list[tuple[Image.Image, str]] = []
    for picture in pictures:
        image = load_image(picture.path)
        own = seeds(subjects["Grad-CAM"], picture, classes)
        sown = in_palette(np.maximum(enlarged(own + 1, image.size).astype(int) - 1, 0)).convert("RGB")
        sown.paste((150, 150, 150), mask=Image.fromarray(enlarged(own + 1, image.size) == 0))
        panels += [(image, ""), (sown, "seeds of Grad-CAM")]
        for name, title in (
            ("CAM", "SEC, seeds of CAM"),
            ("Grad-CAM", "SEC, of Grad-CAM"),
            ("masks", "from exact masks"),
        ):
            one = trained[name]
            panels.append((in_palette(classes_of_pixels(one.network, image, one.preprocess)).convert("RGB"), title))
        panels.append((in_palette(truth(picture, classes, image.size)).convert("RGB"), "truth"))
    return draw_strip(panels, [""] * len(panels), columns=6)


if __name__ == "__main__":
    typer.run(main)
