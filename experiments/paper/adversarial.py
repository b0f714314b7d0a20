"""Do maps still find what is there when a network is fooled? Adversarial noise (Grad-CAM, section 6.2).

A picture is changed by a little noise until the network is sure, with a probability above 0.9999, of a class that is
not in it, and gives next to nothing to those that are. The maps of the true classes should fall where they fell before.
The noise is found by the iterated targeted sign gradient (Kurakin et al., arXiv 1607.02533, section 2.3), in steps of
one 255th, so that the picture that fools is one a file can hold; the Grad-CAM paper does not say how its was found.
With `--noise pgd` it begins at random and stays within 8 of 255 (Madry et al., arXiv 1706.06083).

    python -m experiments.paper.adversarial                    # vignettes
    MMCAM_REAL_DATA=… python -m experiments.paper.adversarial --data real
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from PIL import Image
from rich.progress import track
from torch import Tensor

import mmcam
import models
from experiments.lib.boxes import Net, nets_of, subjects
from experiments.lib.boxes import Subject as Pictured
from experiments.lib.photographs import over
from experiments.lib.protocol import OPTIONS
from experiments.lib.records import add, checksum, read
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.diagnosis.attack.asks import input_of, of_class, pixels_of
from mmcam.diagnosis.attack.figure import figure
from mmcam.diagnosis.attack.noise import NOISES, STEPS, SURE
from mmcam.diagnosis.attack.study import Maps, Subject, noisy, study
from mmcam.evaluation.localisation import covered
from mmcam.evaluation.uncertainty import mean
from mmcam.image import Geometry

METHODS: Final = ("gradcam", "layercam", "gradient", "guided_backprop", "guided_gradcam", "c_mwp")
TOLERANCE: Final = {"vignettes": 0, "real": 15}
CAT_AND_DOG: Final = ("photos/jacobgil_both.png", {243: "bull mastiff", 282: "tiger cat"}, {404: "airliner"})
"""The photograph of both animals, the classes that are there, and what the Grad-CAM paper makes it look like."""


CREDIT: Final = "Photograph: examples of pytorch-grad-cam, © 2021 Jacob Gildenblat, MIT licence."


def main(
    data: Annotated[str, typer.Option(help="vignettes or real.")] = "vignettes",
    pictures: Annotated[int, typer.Option(min=2, help="That the network classifies rightly, for each network.")] = 60,
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for table and picture.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/adversarial"),
    noise: Annotated[str, typer.Option(help="sign, or pgd with a random start.")] = "sign",
) -> None:
    """Fool, explain, and write adversarial-DATA (.json, .md, .webp)."""
    if data not in TOLERANCE:
        raise typer.BadParameter(f"There is no data {data!r}; choose vignettes or real.")
    if data == "real" and root is None:
        raise typer.BadParameter("--root names the folder of the photographs, or set MMCAM_REAL_DATA.")
    if noise not in NOISES:
        raise typer.BadParameter(f"There is no noise {noise!r}; choose {' or '.join(NOISES)}.")
    rows, kind = [], "" if noise == "sign" else f"-{noise}"
    nets = nets_of(data, root, ())
    for net in nets:
        read_as = data + "-stored" * (data == "real")  # once the photographs were enlarged first
        path = work / f"{read_as}-{net.name}-{checksum(net.model)}{kind}.jsonl".replace(" ", "-")
        records = examined(net, data, root, pictures, path, noise)
        rows += [summary(net.name, method, records) for method in METHODS]
    command = f"python -m experiments.paper.adversarial --data {data} --pictures {pictures}"
    command += f" --noise {noise}" * (noise != "sign")
    command = "MMCAM_REAL_DATA=… " * (data == "real") + command
    table(rows, data, nets[-1].name, stamp(command, pictures=pictures), out / f"adversarial{kind}-{data}")
    keep_sheet(out / f"adversarial{kind}-{data}.webp", shown(nets[-1], data, root, noise))


def table(rows: Sequence[dict[str, Any]], data: str, drawn: str, stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table; below it stands the picture, of the network `drawn`."""
    head = (
        "network", "pictures", "fooled", "steps", "largest change /255", "p of the true class before", "after",
        "method", "n", "points at the true class before %", "after %", "rank correlation before, after", "centre %",
    )  # fmt: skip
    cells = []
    for row in rows:
        whole = [with_error(row[key]) for key in ("steps", "largest")] + [with_error(row["sure before"], digits=2)]
        whole.append(f"{row['sure after']['value']:.1e}")
        shares = [with_error(row[key], 100) for key in ("before", "after")]
        cells.append(
            [row["network"], str(row["pictures"]), str(row["fooled"]), *whole, row["method"], str(row["before"]["n"]),
             *shares, with_error(row["agreement"], digits=2), with_error(row["centre"], 100)]
        )  # fmt: skip
    below = [
        "",
        f"Fooled: p > {SURE} for an absent class drawn at random"
        + (", and p < 1e-4 for every kind that is there" if data == "vignettes" else "")
        + f", within {STEPS} steps. The maps are those of the classes that are there and were found in the clean "
        f"picture, {'all of a picture; without tolerance' if data == 'vignettes' else 'tolerance 15 pixels'}. ± is the "
        "standard error over pictures. The paper shows one such picture and gives no figures.",
        "",
        f"![A picture that fools a network, and the maps of what is in it]({path.name}.webp)",
        *(["", f"Above: {drawn}. {CREDIT}"] if data == "real" else []),
    ]
    show(path, {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def examined(net: Net, data: str, root: Path | None, count: int, path: Path, noise: str) -> list[dict[str, Any]]:
    """The records of the first `count` pictures of which the network finds a class that is there."""
    records = {record["picture"]: record for record in read(path)}
    found: list[dict[str, Any]] = []
    for subject in track(subjects(data, root, 100 * count), net.name, total=count):
        if subject.name not in records:
            record = judged(net, data, subject, noise)
            add(path, [record])
            records[subject.name] = record
        if records[subject.name]["labels"]:
            found.append(records[subject.name])
        if len(found) == count:
            break
    return found


def judged(net: Net, data: str, pictured: Pictured, noise: str) -> dict[str, Any]:
    """Fool the network with a picture, and see where the maps of the classes that are there point before and after."""
    name, truth, picture = pictured.name, pictured.truth, pictured.open(net.preprocess)
    size = pictured.size or picture.size
    x, geometry = net.preprocess(picture)[0], over(net.preprocess, size)
    with torch.no_grad():
        logits = net.model(x[None])[0]
    top = int(logits.argmax())
    labels = [label for label in truth if (logits[label] > 0 if net.classes else label == top)]
    record: dict[str, Any] = {"picture": name, "labels": labels}
    if not labels:
        return record
    absent = [label for label in (net.classes or range(logits.numel())) if label not in truth]
    wrong = int(np.random.default_rng(zlib.crc32(name.encode())).choice(absent))
    masks = {label: covered(truth[label], size) for label in labels}
    there = {label: str(label) for label in labels}
    subject = subject_of(net, x, geometry, there, {wrong: str(wrong)})
    subject = replace(subject, picture=name, regions=tuple(masks.values()))
    found, _ = study(net.model, subject, NOISES[noise], METHODS, TOLERANCE[data])
    kept = {key: found[key] for key in ("steps", "largest", "p true", "centre")}
    methods = {
        method: [[before, after, agreement] for before, after, agreement in rows]
        for method, rows in found["methods"].items()
    }
    return record | kept | {"wrong": wrong, "p wrong": found["p wrong"][1], "methods": methods}


def subject_of(net: Net, x: Tensor, geometry: Geometry, there: dict[int, str], wrong: dict[int, str]) -> Subject:
    """A picture's input with the classes that are there, by index and name, and the one that is to be seen."""
    ((target, name),) = wrong.items()
    ask = of_class(net.model, lambda output: output, target, list(there), bool(net.classes))
    return Subject(
        "", x, geometry, net.preprocess, tuple(there.values()), name, (None,) * len(there), ask,
        maps_of(net, list(there)), maps_of(net, [target]),
    )  # fmt: skip


def maps_of(net: Net, labels: list[int]) -> Maps:
    """The maps of some classes, at the layer of all methods."""

    def of(x: Tensor, method: str) -> Sequence[Sequence[Tensor]]:
        maps = mmcam.attribute(net.model, x, labels, method=method, **OPTIONS.get(method, {}))
        return [list(row) if row.ndim == 3 else list(row.abs().amax(1)) for row in maps]

    return of


def summary(network: str, method: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One row: of the pictures that fool the network, what is measured on each and on each map."""
    sure = [r for r in records if r["p wrong"] > SURE and r["steps"] <= STEPS]
    fooled = [r for r in sure if len(r["p true"]) == 1 or fooled_all(r)]
    pictures = [r["picture"] for r in fooled for _ in r["labels"]]
    maps = [found for r in fooled for found in r["methods"][method]]
    figures = {
        "steps": mean([r["steps"] for r in fooled]),
        "largest": mean([r["largest"] for r in fooled]),
        "sure before": mean([p[0] for r in fooled for p in r["p true"]], pictures),
        "sure after": mean([p[1] for r in fooled for p in r["p true"]], pictures),
        "before": mean([float(found[0]) for found in maps], pictures),
        "after": mean([float(found[1]) for found in maps], pictures),
        "agreement": mean([np.nan if found[2] is None else found[2] for found in maps], pictures),
        "centre": mean([float(hit) for r in fooled for hit in r["centre"]], pictures),
    }
    row = {"network": network, "method": method, "pictures": len(records), "fooled": len(fooled)}
    return row | {name: vars(figure) for name, figure in figures.items()}


def fooled_all(record: dict[str, Any]) -> bool:
    """None of several classes that are there is seen any more."""
    return all(after < 1 - SURE for _, after in record["p true"])


def shown(net: Net, data: str, root: Path | None, noise: str) -> Image.Image:
    """A clean picture and one that fools, with Grad-CAM of what is there and of what is not, a row each."""
    if data == "real" and root is not None:
        file, there, wrong = CAT_AND_DOG
        picture = mmcam.load_image(root / file)
    else:
        subject = next(subject for subject in subjects(data, root, 100) if len(subject.truth) > 1)
        names = models.load("vignette-classifier").classes
        picture, there = subject.open(net.preprocess), {label: names[label] for label in subject.truth}
        absent = next(label for label in net.classes or () if label not in there)
        wrong = {absent: names[absent]}
    x, geometry = net.preprocess(picture)
    drawn = subject_of(net, x, geometry, there, wrong)
    made = noisy(net.model, drawn, NOISES[noise])
    largest = int((made.pixels - pixels_of(x, net.preprocess)).abs().max())
    return figure(net.model, drawn, input_of(made.pixels, net.preprocess)[0], largest)


if __name__ == "__main__":
    typer.run(main)
