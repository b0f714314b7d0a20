"""Damage to buildings, told and shown by a finetuned network. (Bahrami & Albadvi, arXiv 2302.14354.)

Their system freezes a published network, trains a head, trains on from a middle layer, and shows the defects by
Grad-CAM. Here the same is done by `mmcam finetune` on drawn houses whose every damaged pixel is known, so that it can
be asked what the paper could not: whether the maps show the damage, and which layer and method show small damage best.
And on photographs whose classes their captions tell. One split, disjoint, with whole buildings on one side.

    MMCAM_REAL_DATA=… python -m experiments.paper.heritage --network mobilenet_v2=$MMCAM_REAL_DATA/weights/…
    MMCAM_REAL_DATA=… python -m experiments.paper.heritage --data photographs …
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from experiments.lib.labelled_by_captions import write_labels
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts, with_error
from mmcam.datasets import buildings
from mmcam.diagnosis.transfer import Asked, Settings, finetune

OWN = "tf_efficientnet_lite0"
"""Its weights come with mmcam."""
HOUSES, VIEWS, EPOCHS, SEED = 160, 2, 10, 0
FIGURES = ("precision", "recall", "f1", "specificity")


def main(
    data: Annotated[Literal["houses", "photographs"], typer.Option(help="Drawn houses, or Flickr8k.")] = "houses",
    network: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE, a further backbone and its weights. May be repeated.")
    ] = None,
    houses: Annotated[int, typer.Option(min=12, help="How many are drawn, each from two sides.")] = HOUSES,
    epochs: Annotated[int, typer.Option(min=0, help="Of the second phase, at most.")] = EPOCHS,
    root: Annotated[Path | None, typer.Option(help="Flickr8k; default that of MMCAM_REAL_DATA.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/heritage"),
) -> None:
    """Write heritage-houses or heritage-photographs (.json, .md)."""
    source = _houses(work, houses) if data == "houses" else _photographs(work, root)
    given = dict(entry.split("=", 1) for entry in network or [])
    cards = []
    for name, weights in {OWN: None, **given}.items():
        asked = Asked(
            source,
            work / f"{data}-{name}",
            name,
            None if weights is None else Path(weights),
            sound=buildings.SOUND if data == "houses" else None,
            command=f"mmcam finetune {source.name} --backbone {name}",
        )
        cards.append(finetune(asked, Settings(seed=SEED, tune_epochs=epochs)))
    options = f" --data {data} --epochs {epochs}" + (f" --houses {houses}" if data == "houses" else "")
    files = "".join(f" --network {name}={Path(file).name}" for name, file in given.items())
    command = f"python -m experiments.paper.heritage{options}{files}"
    pictures = sum(cards[0]["data"]["parts"].values())
    report = {**stamp(command, pictures=pictures, seed=SEED, libraries=("timm",)), "rows": _rows(cards)}
    show_parts(out / f"heritage-{data}", report, _parts(cards), _above(data, cards, command), _below(data))


def _houses(work: Path, houses: int) -> Path:
    folder = work / f"houses-{houses}"
    return folder / "labels.csv" if folder.exists() else buildings.export(folder, houses, VIEWS, SEED)


def _photographs(work: Path, root: Path | None) -> Path:
    real = os.environ.get("MMCAM_REAL_DATA")
    if root is None and real is None:
        raise typer.BadParameter("--data photographs needs Flickr8k: give --root, or set MMCAM_REAL_DATA.")
    return write_labels(Path(str(real)) / "flickr8k" if root is None else root, work / "flickr8k.csv", SEED)


def _rows(cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each network what it scores on the test pictures, and how it was made."""
    return [
        {
            "backbone": card["backbone"],
            "weights": card["weights"],
            "parts": card["data"]["parts"],
            "groups": card["scores"]["test"]["groups"],
            "epochs": {
                phase: sum(line["phase"] == phase for line in card["history"])
                for phase in dict.fromkeys(line["phase"] for line in card["history"])
            },
            **card["scores"]["test"],
            "uncalibrated_error": card["uncalibrated_error"],
            "temperature": card["temperature"],
            "layer": card["layer"],
            "method": card["method"],
            "localisation": card["localisation"],
        }
        for card in cards
    ]


def _parts(cards: Sequence[dict[str, Any]]) -> list[Part]:
    """The tables: by network, by class, and how well maps show the damage."""
    whole, classes = [], []
    for card in cards:
        test = card["scores"]["test"]
        whole.append(
            [
                _short(card),
                _percent(test["balanced_accuracy"]),
                _percent(test["accuracy"]),
                _percent(test["calibration_error"]),
                f"{100 * card['uncalibrated_error']:.1f}",
                f"{card['temperature']:.2f}",
            ]
        )
        for name, own in test["classes"].items():
            classes.append([_short(card), name, str(own["pictures"]), *(_percent(own[key]) for key in FIGURES)])
    parts = [
        Part(
            "Test pictures",
            ("backbone", "balanced accuracy %", "accuracy %", "calibration error %", "before it", "temperature"),
            whole,
        ),
        Part("By class", ("backbone", "class", "n", "precision %", "recall %", "F1 %", "specificity %"), classes),
    ]
    if all(card["localisation"] for card in cards):
        parts += _localised(cards)
    return parts


def _localised(cards: Sequence[dict[str, Any]]) -> list[Part]:
    ways, damages = [], []
    for card in cards:
        found = card["localisation"]
        for row in sorted(found["test_all"], key=lambda row: (-row["cells"][0], row["method"])):
            own = (row["layer"], row["method"]) == (card["layer"], card["method"])
            ways.append(
                [
                    _short(card),
                    f"{row['cells'][1]}×{row['cells'][0]}",
                    row["method"] + (" ← chosen" if own else ""),
                    *(_percent(row[key]) for key in ("pointing", "pointing_small", "iou", "iou_small", "mass")),
                ]
            )
        base = found["baselines"]
        ways.append([_short(card), "", "(centre)", f"{100 * base['centre']:.1f}", "", "", "", ""])
        ways.append([_short(card), "", "(any pixel)", f"{100 * base['chance']:.1f}", "", "", "", ""])
        for name, own in found["test"]["classes"].items():
            n = str(own["pointing"]["n"])
            damages.append([_short(card), name, n, _percent(own["pointing"]), _percent(own["iou"])])
    head = ("backbone", "cells", "method", "pointing %", "of small damage", "IoU %", "of small damage", "mass %")
    return [
        Part("Do maps show the damage? Test pictures", head, ways),
        Part("By damage, the chosen way", ("backbone", "damage", "n", "pointing %", "IoU %"), damages),
    ]


def _above(data: str, cards: Sequence[dict[str, Any]], command: str) -> list[str]:
    parts = cards[0]["data"]["parts"]
    what = (
        "Drawn houses, sound or with a crack, missing tiles or damp; the views of a house are on one side of the split."
        if data == "houses"
        else "Flickr8k's photographs whose captions agree on one of four classes "
        "(`experiments/lib/labelled_by_captions.py`)."
    )
    return [
        f"`{command}`",
        "",
        f"{what} {parts['train']} to train, {parts['val']} to choose by, {parts['test']} to test. Brackets hold "
        "95 %: Wilson's interval of as many outcomes as there are houses or photographs, and for balanced accuracy, F1 "
        "and calibration error 1,000 resamples of them; ± is a standard error over houses.",
    ]


def _below(data: str) -> list[str]:
    lines = [""]
    if data == "houses":
        lines += [
            "Layer, method and the share of the maximum from which on a map counts as damage (for IoU) are chosen on "
            "the validation pictures. Small is damage below the median area. IoU is of exact pixels; a crack is two of "
            "them wide, so no coarse map can have much.",
            "",
        ]
    return [
        *lines,
        "The paper (arXiv 2302.14354) gives MobileNetV2 94 % precision, recall and F1 on photographs of its own, two "
        "classes, of which the one confusion matrix that can be read (tp 1313, fp 116, tn 99, fn 40) has a specificity "
        "of 46 %. Its photographs are others, so its figures stand beside these and are not to be reached. Weights of "
        "ImageNet for its ResNet-50 and Inception v3 are not to be had here; with them, `--network resnet50=FILE "
        "--network inception_v3=FILE` adds their rows.",
    ]


def _short(card: dict[str, Any]) -> str:
    return str(card["backbone"]).partition(":")[2]


def _percent(figure: Any) -> str:
    return with_error(figure, 100, 1, bounds=0)


if __name__ == "__main__":
    typer.run(main)
