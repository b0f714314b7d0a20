"""What each step of Grad-CAM is worth: the paper's ablations and earlier layers, on vignettes or on photographs.

    python -m experiments.paper.ablations                                     # vignettes; goes on where it was stopped
    MMCAM_REAL_DATA=… python -m experiments.paper.ablations --data real  # ILSVRC validation photographs, two networks

The ablations are those of the Grad-CAM paper's appendix (arXiv 1610.02391): no ReLU, |gradient|, the gradient's maximum
in place of its mean, and the guided and deconvnet rules between score and layer. Without the ReLU a map is scaled from
its minimum to its maximum, as any map is before it is cut; negative values cannot reach 15 % of the maximum otherwise,
and the box would be the same. A box is that of the largest segment above 15 % of the map's maximum; it localises a
class if its intersection over union with one box of that class is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from PIL import Image
from rich.progress import track

import mmcam
import models
from experiments.lib.memory import keep_freed_memory
from experiments.lib.photographs import Network, networks, validation
from experiments.lib.records import add, checksum, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.datasets import vignettes
from mmcam.evaluation import Mean, mean
from mmcam.evaluation.localisation import Box, Located, covered, inclusive, localised
from mmcam.evaluation.pointing import inside
from mmcam.files import write_whole

WHOLE: Final = "Grad-CAM"
PUBLISHED: Final = {  # top-1 localisation error on ILSVRC-15, remembered, not read again
    WHOLE: 59.65,
    "no ReLU": 74.98,
    "absolute gradients": 58.19,
    "global max pooling": 59.96,
    "deconvnet ReLUs": 83.95,
    "guided ReLUs": 59.14,
}
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    WHOLE: {},
    "no ReLU": {"relu": False},
    "absolute gradients": {"absolute": True},
    "global max pooling": {"pooling": "max"},
    "deconvnet ReLUs": {"relu_rule": "deconv"},
    "guided ReLUs": {"relu_rule": "guided"},
}
LAYERS: Final[dict[str, tuple[str, ...]]] = {
    "vignette-classifier": ("encoder.features.6", "encoder.features.13", "encoder.features.19", "encoder.features.26"),
    "MobileNetV2": ("features.3", "features.6", "features.13", "features.17"),
    "SqueezeNet 1.0": ("features.3", "features.5", "features.7", "features.10"),
}
"""Layers before the last; of the photographs' networks the last at each resolution, or near it."""
DATA: Final = {"vignettes": 200, "real": None}
"""What is measured on, and how many pictures unless told otherwise; None: all there are."""


@dataclass(frozen=True)
class Subject:
    """A picture, and of each class that is explained the boxes, right and bottom inclusive, and the mask (H,W)."""

    name: str
    picture: Image.Image
    truth: Mapping[str | int, tuple[Sequence[Box], np.ndarray]]


def main(
    data: Annotated[str, typer.Option(help="vignettes or real.")] = "vignettes",
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    pictures: Annotated[int | None, typer.Option(min=1, help="Default 200 vignettes, all photographs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/ablations"),
) -> None:
    """Measure, and write ablations-DATA.json, .md and .png."""
    keep_freed_memory()
    if data not in DATA:
        raise typer.BadParameter(f"There is no data {data!r}; choose of {', '.join(DATA)}.")
    if data == "real" and root is None:
        raise typer.BadParameter("--root names the folder of the photographs, or set MMCAM_REAL_DATA.")
    limit = pictures or DATA[data]
    found = {net.name: examine(net, partial(subjects, data, root, limit), work, limit) for net in nets(data, root)}
    command = "MMCAM_REAL_DATA=… " * (data == "real") + f"python -m experiments.paper.ablations --data {data}"
    command += f" --pictures {limit}" if limit else ""
    rows = [{"network": name, **row} for name, records in found.items() for row in figures(name, records)]
    table(data, rows, {name: len(records) for name, records in found.items()}, command, out / f"ablations-{data}")
    draw(rows, (out / f"ablations-{data}").with_suffix(".png"))


def nets(data: str, root: Path | None) -> list[Network]:
    """The networks that are taken apart."""
    if data == "vignettes":
        model = models.load("vignette-classifier")
        return [Network("vignette-classifier", model, model.preprocess)]
    assert root is not None
    return networks(root)


def subjects(data: str, root: Path | None, limit: int | None) -> Iterator[Subject]:
    """Vignettes with each of their kinds, or photographs with boxes and their class; the first `limit`."""
    if data == "vignettes":
        yield from map(vignette, range(limit or 0))
        return
    assert root is not None
    for i, photo in enumerate(islice(validation(root), limit)):
        if photo.boxes:
            picture = photo.open()
            yield Subject(str(i), picture, {photo.label: (photo.boxes, covered(photo.boxes, picture.size))})


def vignette(i: int) -> Subject:
    """A test vignette; a thing's box is around all of it, also what something hides."""
    scene = vignettes.draw(vignettes.seed("test", i))
    kinds = sorted({thing.kind for thing in scene.truth.things})
    boxes = {kind: [inclusive(thing.box) for thing in scene.truth.things if thing.kind == kind] for kind in kinds}
    return Subject(str(i), scene.image, {kind: (boxes[kind], scene.kind_mask(kind)) for kind in kinds})


def settings_of(name: str) -> dict[str, dict[str, Any]]:
    """The options of every row of a network."""
    return {**OPTIONS, **{at(layer): {"layer": layer} for layer in LAYERS[name]}}


def at(layer: str) -> str:
    """The row of a layer."""
    return f"at {layer}"


def examine(
    net: Network, pictures: Callable[[], Iterator[Subject]], work: Path, limit: int | None
) -> list[dict[str, Any]]:
    """A network's records, a line a picture; those that are missing are added."""
    path = work / f"{net.name}-{checksum(net.model)}.jsonl".replace(" ", "-")
    settings = settings_of(net.name)
    done = {record["picture"]: record for record in read(path) if record["settings"] == settings}
    records = []
    for subject in track(pictures(), net.name, total=limit):
        if subject.name not in done:
            maps = {name: list(judged(subject, explained(net, subject, options))) for name, options in settings.items()}
            done[subject.name] = {"picture": subject.name, "settings": settings, "maps": maps}
            add(path, [done[subject.name]])
        records.append(done[subject.name])
    return records


def explained(net: Network, subject: Subject, options: Mapping[str, Any]) -> list[mmcam.Explanation]:
    """The map of each class of a picture."""
    labels = list(subject.truth)
    return mmcam.explain_class(net.model, subject.picture, labels, preprocess=net.preprocess, **options)


def judged(subject: Subject, exps: Sequence[mmcam.Explanation]) -> Iterator[tuple[bool, bool]]:
    """Whether each map's box localises a thing of its class, and whether its maximum lies on one."""
    for (boxes, mask), exp in zip(subject.truth.values(), exps, strict=True):
        found = replace(exp, values=exp.values - exp.values.min().clamp(max=0)).box()
        box = None if found is None else inclusive(found)
        yield localised(Located([(box, "it")], {"it": boxes})), inside(exp.peak(), mask)


def figures(name: str, records: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Both errors of every row, and how much the first differs from that of the whole method, in percent."""
    pictures = [record["picture"] for record in records for _ in record["maps"][WHOLE]]
    hits = {
        row: np.array([each for record in records for each in record["maps"][row]], dtype=float)
        for row in settings_of(name)
    }
    for row, values in hits.items():
        published = PUBLISHED.get(row)
        yield {
            "name": row,
            "localisation error": mean(100 * (1 - values[:, 0]), pictures),
            # The same pictures and classes, so the difference to the whole method is far better known than either.
            "difference": mean(100 * (hits[WHOLE][:, 0] - values[:, 0]), pictures),
            "pointing error": mean(100 * (1 - values[:, 1]), pictures),
            "published localisation error": published,
            "published difference": None if published is None else published - PUBLISHED[WHOLE],
        }


def table(data: str, rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, int], command: str, path: Path) -> None:
    """Print and write the figures."""
    head = ["network", "", "maps", "localisation error %", "difference", "pointing error %"]
    head.append("published: ILSVRC-15 top-1 error % (difference)")
    cells = []
    for row in rows:
        error, change, miss = (row[key] for key in ("localisation error", "difference", "pointing error"))
        known = row["published localisation error"]
        published = "" if known is None else f"~{known:.2f} ({row['published difference']:+.2f})"
        cells.append([row["network"], row["name"], str(error.n), told(error), told(change, "+"), told(miss), published])
    counted = ", ".join(f"{name} {number} pictures" for name, number in pictures.items())
    what = {
        "vignettes": "Each kind in the first test vignettes; boxes around all of a thing.",
        "real": "The true class of ILSVRC validation photographs that have boxes, in original pixels, an easier subset "
        "of the whole set. The paper's error counts wrong classes, too; here the class is given. Behind the last layer "
        "MobileNetV2 has no ReLU and SqueezeNet one that positive gradients alone reach, so the rules change nothing "
        "there.",
    }[data]
    above = [
        f"`{command}`. {counted}.",
        "",
        f"{what} Mean ± standard error, maps of one picture counting as one source of error. Difference: to Grad-CAM "
        "on the same maps. Pointing without tolerance. The published figures are of other networks and pictures and "
        "remembered (~): only their differences compare.",
    ]
    below = ["", f"![Differences of the localisation error, beside the published ones]({path.name}.png)"]
    kept = [{key: vars(v) if isinstance(v, Mean) else v for key, v in row.items()} for row in rows]
    show(path, {**stamp(command, pictures=max(pictures.values()), seed=0), "rows": kept}, head, cells, above, below)


def told(figure: Mean, sign: str = "") -> str:
    """A figure in percent and its standard error."""
    return f"{figure.value:{sign}.1f} ± {figure.standard_error:.1f}"


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A panel a network: a bar for the difference of each row, with its standard error, beside the published one."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(6.4 * len(names), 4.6), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        mine = [row for row in rows if row["network"] == name and row["name"] != WHOLE]
        places = np.arange(len(mine))
        values = [row["difference"].value for row in mine]
        errors = [row["difference"].standard_error for row in mine]
        published = [row["published difference"] for row in mine]
        panel.barh(places - 0.2, values, 0.38, xerr=errors, color="C0", ecolor="0.3", capsize=2, label="here ± s.e.")
        panel.barh(places + 0.2, [p or 0 for p in published], 0.38, color="0.75", label="published (~), ILSVRC-15")
        panel.axvline(0, color="0.4", lw=0.8)
        panel.set_yticks(places, [row["name"] for row in mine])
        panel.invert_yaxis()
        panel.set_title(name)
        panel.set_xlabel("localisation error less Grad-CAM's, points")
        panel.legend(fontsize=8)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))


if __name__ == "__main__":
    typer.run(main)
