"""What each step of Grad-CAM is worth: the paper's ablations and earlier layers, on vignettes or on photographs.

    python -m experiments.paper.ablations                                     # vignettes; goes on where it was stopped
    MMCAM_REAL_DATA=… python -m experiments.paper.ablations --data real  # ILSVRC validation photographs, four networks

The ablations are those of the Grad-CAM paper's appendix (arXiv 1610.02391): no ReLU, |gradient|, the gradient's maximum
in place of its mean, and the guided and deconvnet rules between score and layer. Without the ReLU a map is scaled from
its minimum to its maximum, as any map is before it is cut; negative values cannot reach 15 % of the maximum otherwise,
and the box would be the same. A box is that of the largest segment above 15 % of the map's maximum; it localises a
class if its intersection over union with one box of that class is 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

import models
from experiments.lib.ablated import WHOLE, Subject, Truth, examine, figures
from experiments.lib.memory import keep_freed_memory
from experiments.lib.photographs import Network, networks, validation
from experiments.lib.sheets import keep_plot
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.datasets import vignettes
from mmcam.evaluation import Mean
from mmcam.evaluation.localisation import covered, inclusive

DATA: Final = {"vignettes": 200, "real": None}
"""What is measured on, and how many pictures unless told otherwise; None: all there are."""


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
            truth: dict[str | int, Truth] = {photo.label: (photo.boxes, covered(photo.boxes, photo.size))}
            yield Subject(str(i), photo.open, photo.size, truth)


def vignette(i: int) -> Subject:
    """A test vignette; a thing's box is around all of it, also what something hides."""
    scene = vignettes.draw(vignettes.seed("test", i))
    kinds = sorted({thing.kind for thing in scene.truth.things})
    boxes = {kind: [inclusive(thing.box) for thing in scene.truth.things if thing.kind == kind] for kind in kinds}
    truth: dict[str | int, Truth] = {kind: (boxes[kind], scene.kind_mask(kind)) for kind in kinds}
    return Subject(str(i), lambda preprocess: scene.image, scene.image.size, truth)


def table(data: str, rows: Sequence[Mapping[str, Any]], pictures: Mapping[str, int], command: str, path: Path) -> None:
    """Print and write the figures."""
    head = ["network", "", "maps", "localisation error %", "difference", "pointing error %"]
    head.append("published: ILSVRC-15 top-1 error % (difference)")
    cells = []
    for row in rows:
        error, change, miss = (row[key] for key in ("localisation error", "difference", "pointing error"))
        known = row["published localisation error"]
        published = "" if known is None else f"~{known:.2f} ({row['published difference']:+.2f})"
        cells.append(
            [
                row["network"],
                row["name"],
                str(error.n),
                with_error(error),
                with_error(change, sign="+"),
                with_error(miss),
                published,
            ]
        )
    counted = ", ".join(f"{name} {number} pictures" for name, number in pictures.items())
    what = {
        "vignettes": "Each kind in the first test vignettes; boxes around all of a thing.",
        "real": "The true class of ILSVRC validation photographs that have boxes, in original pixels, an easier subset "
        "of the whole set. The paper's error counts wrong classes, too; here the class is given. Behind the last layer "
        "MobileNetV2 and EfficientNet-Lite have no ReLU and SqueezeNet one that positive gradients alone reach, so the "
        "rules change nothing there.",
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
    keep_plot(path, figure)


if __name__ == "__main__":
    typer.run(main)
