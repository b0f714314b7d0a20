"""Where does a network look when it is wrong? Failure modes (Grad-CAM, section 6.1).

Of every photograph that a network misclassifies, the map of the true class and that of the predicted one: does the
first still point at the thing, and does the second? If both do, the network saw the right thing and gave it a wrong
name; if only the first does, it answered about something else. Made from the records of
`experiments.paper.localisation`, which has to be run before; a sheet of failures, with both maps, is drawn to look at.

    MMCAM_REAL_DATA=… python -m experiments.paper.localisation --data real
    MMCAM_REAL_DATA=… python -m experiments.paper.failure_modes --data real
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import mmcam
from experiments.lib.boxes import Net, nets_of, path_of, subjects
from experiments.lib.maxima import TOLERANCE, hit, mask_of
from experiments.lib.photographs import CLASSES
from experiments.lib.records import Record, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation.localisation import iou
from mmcam.evaluation.uncertainty import mean
from mmcam.files import write_whole

METHODS = ("gradcam", "layercam", "guided_gradcam")
FIGURES = {
    "true points": "map of the true class points at the thing %",
    "predicted points": "of the predicted one %",
    "both": "both: right thing, wrong name %",
    "elsewhere": "only the true one: looked elsewhere %",
    "overlap": "IoU of their boxes %",
}


def main(
    data: Annotated[str, typer.Option(help="real or ilsvrc.")] = "real",
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="torchvision's NAME=FILE, as for localisation.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures.")] = None,
    sheet: Annotated[int, typer.Option(help="Failures on the sheet.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    pictures: Annotated[Path, typer.Option(help="Folder for the sheets, which may not be shared.")] = Path("out"),
    work: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("runs/localisation"),
) -> None:
    """Write failure-modes-DATA (.json, .md), and a sheet for each network."""
    if data not in ("real", "ilsvrc") or root is None:
        raise typer.BadParameter("Failures are of photographs: --data real or ilsvrc, with --root or MMCAM_REAL_DATA.")
    names = {subject.name for subject in subjects(data, root, limit)}
    rows: list[dict[str, Any]] = []
    for net in nets_of(data, root, network or ()):
        for method in METHODS:
            records = [r for r in read(path_of(work, data, net, method)) if r["picture"] in names]
            if {r["picture"] for r in records} != names:
                raise typer.BadParameter(
                    f"{work} holds {len(records)} of {len(names)} pictures for {net.name} and {method}; run python -m "
                    f"experiments.paper.localisation --data {data} first, or pass the same --limit as it got."
                )
            rows += [{"network": net.name, "method": method, **row} for row in rows_of(records, TOLERANCE[data])]
        wrong = [r["picture"] for r in records if str(r["top"][0]) not in r["truth"]][:sheet]
        picture = failures(net, data, root, wrong)
        write_whole(pictures / f"failure-modes-{net.name}.jpg".replace(" ", "-"), partial(picture.save, format="JPEG"))
    command = f"python -m experiments.paper.failure_modes --data {data}" + (f" --limit {limit}" if limit else "")
    command = "MMCAM_REAL_DATA=… " * (data == "real") + command
    table(rows, TOLERANCE[data], stamp(command, pictures=len(names)), out / f"failure-modes-{data}")


def table(rows: Sequence[dict[str, Any]], tolerance: int, stamped: dict[str, Any], path: Path) -> None:
    """Print and write the table."""
    head = ("network", "method", "pictures", "n", *FIGURES.values())
    cells = [
        [row["network"], row["method"], row["pictures"], str(row["n"])]
        + [with_error(row[name], 100) for name in FIGURES]
        for row in rows
    ]
    below = [
        "",
        f"A hit: the maximum lies in a box of the true class, tolerance {tolerance} pixels. Boxes are those at "
        "15 % of the maximum. Wrong, near: the true class is among the five surest. ± standard error over pictures. "
        "The paper shows such pictures and gives no figures.",
    ]
    show(path, {**stamped, "rows": rows}, head, cells, [f"`{stamped['command']}`"], below)


def rows_of(records: Sequence[Record], tolerance: int) -> list[dict[str, Any]]:
    """The figures of the pictures classified wrongly, and beside them of those classified rightly."""
    groups: dict[str, list[Record]] = {"wrong": [], "wrong, near": [], "right": []}
    for record in records:
        right = str(record["top"][0]) in record["truth"]
        groups["right" if right else "wrong"].append(record)
        if not right and any(str(label) in record["truth"] for label in record["top"]):
            groups["wrong, near"].append(record)
    rows = []
    for name, own in groups.items():
        judged = [judge(record, tolerance) for record in own]
        figures = {key: vars(mean([each[key] for each in judged])) for key in FIGURES}
        rows.append({"pictures": name, "n": len(own), **figures})
    return rows


def judge(record: Record, tolerance: int) -> dict[str, float]:
    """The figures of one picture."""
    maps = {found["label"]: found for found in record["maps"]}
    true, predicted = maps[int(next(iter(record["truth"])))], maps[record["top"][0]]
    mask = mask_of(record, true["label"])
    assert mask is not None
    first, second = (hit(found, mask, tolerance) for found in (true, predicted))
    boxes = [found["boxes"]["0.15"] for found in (true, predicted)]
    overlap = 0.0 if None in boxes else iou(*map(tuple, boxes))
    return {
        "true points": first, "predicted points": second, "both": first and second,
        "elsewhere": first and not second, "overlap": overlap,
    }  # fmt: skip


def failures(net: Net, data: str, root: Path, names: Sequence[str]) -> Any:
    """Misclassified photographs, with Grad-CAM of the true and of the predicted class."""
    panels, notes = [], []
    for subject in subjects(data, root, None):
        if subject.name not in names:
            continue
        picture = subject.open(net.preprocess)
        x, _ = net.preprocess(picture)
        predicted = int(net.model(x[None]).argmax())
        true = next(iter(subject.truth))
        maps = mmcam.explain_class(net.model, picture, [true, predicted], preprocess=net.preprocess)
        panels.append((picture, ""))
        notes.append("")
        for exp, label, what in zip(maps, (true, predicted), ("true", "predicted"), strict=True):
            panels.append((exp.overlay(), CLASSES[label]))
            notes.append(what)
    return draw_strip(panels, notes, columns=6)


if __name__ == "__main__":
    typer.run(main)
