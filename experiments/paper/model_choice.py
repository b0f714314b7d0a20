"""Which of two models do maps make one trust more, where both are right? (Grad-CAM, section 5.2, without people.)

People saw a picture, the class that AlexNet and VGG-16 both gave it, and a visualisation of each, and said which model
seemed more reasonable: Guided Grad-CAM made them prefer VGG-16, the more accurate one, more than guided backpropagation
did (+1.27 against +1.00 of −2 to 2). Here simulated raters, who see the maps and where the thing is, answer in their
place (`mmcam.diagnosis.choice.rater`); beside it stands what can be measured of the maps.

* vignettes: two last layers on one frozen encoder, one from the world as it is, one from a world in which boats are
  only at sea and cars only in the street.
* real: photographs, and of the networks at hand the most and the least accurate.

    python -m experiments.paper.model_choice                  # vignettes
    MMCAM_REAL_DATA=… python -m experiments.paper.model_choice --data real
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from PIL import Image

import mmcam
from experiments.lib.neurons.bias import BIAS, head_of, there
from experiments.lib.photographs import Photo, named, validation
from experiments.lib.protocol import OPTIONS
from experiments.lib.stamp import stamp
from experiments.lib.tables import binomial, show, signed, with_error
from mmcam.datasets import vignettes
from mmcam.diagnosis.choice.run import FIGURES, Candidate, Compared, accuracy, choose, compared
from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.records import Record

METHODS: Final = ("guided_backprop", "guided_gradcam", "gradcam")
PUBLISHED: Final = {"guided_backprop": "+1.00", "guided_gradcam": "+1.27"}
"""The mean answers of people to AlexNet and VGG-16."""
NETWORKS: Final = ("EfficientNet-Lite0", "SqueezeNet 1.0")
SHORTER: Final = 256
"""Pixels of the shorter side of a photograph, which is stored squashed."""


def main(
    data: Annotated[str, typer.Option(help="vignettes or real.")] = "vignettes",
    pictures: Annotated[int, typer.Option(min=2, help="That both networks are asked about.")] = 60,
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    learn: Annotated[int, typer.Option(help="Vignettes that the two last layers learn from.")] = 1000,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for pictures and records.")] = Path("runs/model-choice"),
) -> None:
    """Compare, and write model-choice-DATA (.json, .md)."""
    if data not in ("vignettes", "real"):
        raise typer.BadParameter(f"There is no data {data!r}; choose vignettes or real.")
    if data == "vignettes":
        both, own = heads(learn, work), drawn(pictures, work)
    elif root is not None:
        both, own = networks(root), photographs(root, pictures, work)
    else:
        raise typer.BadParameter("--root names the folder of the photographs, or set MMCAM_REAL_DATA.")
    records = choose(both, data, own, work / data, methods=METHODS, tell=print)
    found = [compared(records, method) for method in METHODS]
    command = f"python -m experiments.paper.model_choice --data {data} --pictures {pictures}"
    command = "MMCAM_REAL_DATA=… " * (data == "real") + command
    table(both, records, found, stamp(command, pictures=len(own), seed=0), out / f"model-choice-{data}")


def table(
    both: tuple[Candidate, Candidate],
    records: Sequence[Record],
    found: Sequence[Compared],
    stamped: dict[str, Any],
    path: Path,
) -> None:
    """Print and write the table."""
    n = sum(all(record.get("right", [False])) for record in records)
    head = (
        "method", "rating by raters, −2 to 2", "of people (AlexNet, VGG-16)", "pictures for the first / none / second",
        *(f"{told}: first, second" for told in FIGURES.values()), *(f"lead: {told}" for told in FIGURES.values()),
    )  # fmt: skip
    cells = []
    for each in found:
        row = [each.method, signed(each.rating), PUBLISHED.get(each.method, "–")]
        row.append(" / ".join(map(str, each.preferred or ())))
        row += [f"{with_error(a, digits=2)}, {with_error(b, digits=2)}" for a, b in (each.of[name] for name in FIGURES)]
        cells.append(row + [signed(each.lead[name]) for name in FIGURES])
    right = [accuracy(records, place) for place in range(2)]
    shares = [with_error(binomial(each.value, each.n), 100) for each in right]
    below = [
        "",
        f"First: {both[0].name}, right on {shares[0]} % of {right[0].n} pictures. Second: {both[1].name}, "
        f"{shares[1]} %. Compared on the {n} that both get right. Above 0 the first is rated, or measured, the better "
        "one; in brackets 95 % intervals over pictures. Raters see the maps and where the thing is, and are no people: "
        "of the published study only the order of the two visualisations can be compared.",
    ]
    rows = [
        {
            "method": each.method,
            "rating": None if each.rating is None else vars(each.rating),
            "preferred": each.preferred,
            "of": {name: [vars(one) for one in pair] for name, pair in each.of.items()},
            "lead": {name: vars(one) for name, one in each.lead.items()},
        }
        for each in found
    ]
    models = [{"name": one.name, "accuracy": vars(share)} for one, share in zip(both, right, strict=True)]
    report = {**stamped, "models": models, "compared": n, "rows": rows}
    show(path, report, head, cells, [f"`{stamped['command']}`"], below)


def heads(learn: int, work: Path) -> tuple[Candidate, Candidate]:
    """Two last layers on one encoder: of the world as it is, and of one in which things go along with scenes."""
    worlds = {"as it is": vignettes.World(), "biased": vignettes.World(bias=BIAS)}
    first, second = (Candidate(name, head_of(world, learn, work), options=OPTIONS) for name, world in worlds.items())
    return first, second


def networks(root: Path) -> tuple[Candidate, Candidate]:
    """The most and the least accurate of the networks at hand."""
    first, second = (named(root, name) for name in NETWORKS)
    return tuple(Candidate(one.name, one.model, one.preprocess, options=OPTIONS) for one in (first, second))  # type: ignore[return-value]


def drawn(count: int, work: Path) -> list[LabelledPicture]:
    """Test vignettes with one of the biased kinds, wherever it is, as files with its mask."""
    found = []
    for i in range(40 * count):
        scene = vignettes.draw(vignettes.seed("test", i))
        kind = next((kind for kind, _ in BIAS if there(scene, kind)), None)
        if kind is None:
            continue
        path, mask = work / "vignettes" / f"{i}.png", work / "vignettes" / f"{i}-{kind}.png"
        if not mask.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            scene.image.save(path)
            Image.fromarray(scene.kind_mask(kind).astype(np.uint8) * 255).save(mask)
        found.append(LabelledPicture(path, (kind,), masks={kind: (mask,)}))
        if len(found) == count:
            break
    return found


def photographs(root: Path, count: int, work: Path) -> list[LabelledPicture]:
    """The first validation photographs in their own proportions, as files, with the boxes of their class."""
    return [unsquashed(photo, work / "photographs") for photo in islice(validation(root), count)]


def unsquashed(photo: Photo, folder: Path) -> LabelledPicture:
    """A photograph in its original's proportions."""
    width, height = photo.size
    share = SHORTER / min(width, height)
    size = round(width * share), round(height * share)
    path = folder / f"{Path(photo.name).stem}.png"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        mmcam.load_image(photo.path).resize(size, Image.Resampling.BICUBIC).save(path)
    boxes = tuple(
        (
            int(left * share),
            int(top * share),
            min(size[0] - 1, int(right * share)),
            min(size[1] - 1, int(bottom * share)),
        )
        for left, top, right, bottom in photo.boxes
    )
    return LabelledPicture(path, (str(photo.label),), boxes={str(photo.label): boxes})


if __name__ == "__main__":
    typer.run(main)
