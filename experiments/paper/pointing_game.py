"""The pointing game on VOC, COCO and vignettes: does the maximum of a category's map lie on the category?

The game as Zhang et al. play it (arXiv 1608.00507, section 4.2): a map of every category that is in the picture, a hit
if its maximum lies in an annotated instance or within 15 pixels of one, the accuracy of each category, and their mean;
once over all, once over difficult ones, which cover less than a quarter of a picture that shows other categories, too.
And the modified game of the Grad-CAM paper: maps of the five surest categories, of which a method may reject faint
ones. Maps go into runs/pointing_game, a line a picture and method, and a run that was stopped goes on there.

    python -m experiments.paper.pointing_game --data vignettes
    MMCAM_REAL_DATA=… python -m experiments.paper.pointing_game --data coco
    python -m experiments.paper.pointing_game --data coco --root COCO --network resnet50=resnet50-coco.pth
    python -m experiments.paper.pointing_game --data voc --root VOCdevkit/VOC2007 --network vgg16=vgg16-voc07.pth
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from experiments.lib.boxes import PAPERS_METHODS, SMOOTHING
from experiments.lib.category_networks import nets_of
from experiments.lib.modified_game import RESAMPLES, SEED, modified, spread
from experiments.lib.pointing_records import BASELINES, path_of, play
from experiments.lib.pointing_subjects import Game, coco_game, vignette_game, voc_game
from experiments.lib.records import Record, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import Offered, class_mean

SMALL: Final = 0.25
"""A category that covers less of a picture than this is difficult if it is not alone there."""
DATA: Final = ("vignettes", "coco", "voc")
VIGNETTES: Final = 200
"""Pictures, if no limit is given."""

PUBLISHED: Final = {
    # network, method, all %, difficult %
    "voc": (
        ("VGG-16", "gradcam", "86.6", "74.0"),
        ("VGG-16", "c_mwp", "79.9", "66.5"),
        ("VGG-16", "guided_backprop", "75.9", "53.0"),
        ("VGG-16", "deconvnet", "67.5", "44.2"),
        ("VGG-16", "gradient", "76.3", "56.9"),
        ("VGG-16", "(centre)", "69.6", "42.4"),
        ("ResNet-50", "gradcam", "90.4", "82.3"),
        ("ResNet-50", "c_mwp", "90.7", "82.1"),
    ),
    "coco": (
        ("VGG-16", "gradcam", "54.2", "49.0"),
        ("VGG-16", "c_mwp", "49.7", "44.3"),
        ("ResNet-50", "gradcam", "57.3", "52.3"),
        ("ResNet-50", "c_mwp", "58.5", "53.6"),
    ),
    "vignettes": (),
}
"""TorchRay's, of networks finetuned on the data set: VOC07 test, COCO val2014."""
PUBLISHED_MODIFIED: Final = (("VGG-16", "gradcam", "70.58"), ("VGG-16", "c_mwp", "60.30"))
"""The Grad-CAM paper's, on COCO."""


def main(
    data: Annotated[str, typer.Option(help=f"One of {', '.join(DATA)}.")] = "vignettes",
    root: Annotated[
        Path | None, typer.Option(help="COCO's folder or VOC's year; COCO: default coco/ in MMCAM_REAL_DATA.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="torchvision's NAME=FILE of a state dict with an output a category, or ImageNet's 1000."),
    ] = None,
    methods: Annotated[list[str] | None, typer.Option(help=f"Default {', '.join(PAPERS_METHODS)}.")] = None,
    limit: Annotated[int | None, typer.Option(help=f"Only the first pictures; vignettes: default {VIGNETTES}.")] = None,
    real: Annotated[
        Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of the two default networks' weights.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/pointing_game"),
) -> None:
    """Play, and write pointing-game-DATA.json and .md."""
    if data == "vignettes":
        limit = limit or VIGNETTES
    game = game_of(data, root, real, limit)
    nets = nets_of(data, game.categories, real, network or ())
    chosen = tuple(methods or PAPERS_METHODS)
    for net in nets:
        play(net, game.subjects(), chosen, work, data, limit)
    names = {subject.name for subject in game.subjects()}
    rows = []
    for net in nets:
        for method in (*chosen, *BASELINES):
            records = [record for record in read(path_of(work, data, net, method)) if record["picture"] in names]
            rows.append({"network": net.name, "method": method, **figures(records)})
    command = f"python -m experiments.paper.pointing_game --data {data}" + " --root …" * (root is not None)
    command += "".join(f" --network {name.partition('=')[0]}=…" for name in network or ())
    command += "".join(f" --methods {name}" for name in methods or ()) + (f" --limit {limit}" if limit else "")
    command = "MMCAM_REAL_DATA=… " * (data != "vignettes" and not network) + command
    report = {
        **stamp(command, pictures=len(names), seed=SEED),
        "categories of the data set": len(game.categories),
        "categories no network knows": sorted(set(game.categories) - {name for net in nets for name in net.outputs}),
        "smoothing of pixel maps": SMOOTHING,
        "rows": rows,
    }
    table(report, data, out / f"pointing-game-{data}")


def game_of(data: str, root: Path | None, real: Path | None, limit: int | None) -> Game:
    """The pictures, or the first `limit` of them.

    Raises:
        typer.BadParameter: there is no such data set, or no folder of it.
    """
    if data == "vignettes":
        return vignette_game(limit or VIGNETTES)
    if data == "voc" and root is not None:
        return voc_game(root, limit)
    if data == "coco" and (root is not None or real is not None):
        return coco_game(root or Path(real or ".") / "coco", limit)
    if data in DATA:
        raise typer.BadParameter(f"--root names {data}'s folder" + ", or set MMCAM_REAL_DATA." * (data == "coco"))
    raise typer.BadParameter(f"There is no data {data!r}; choose one of {', '.join(DATA)}.")


def figures(records: Sequence[Record]) -> dict[str, Any]:
    """All figures of a network and a method."""
    played = [record for record in records if record["maps"]]
    if not played:
        raise typer.BadParameter("None of the pictures shows a category that the network knows; use more of them.")
    every, difficult = [trials(record, False) for record in played], [trials(record, True) for record in played]
    offers = [offered(record) for record in played]
    return {
        "pictures": len(played),
        "maps": sum(map(len, every)),
        "categories": len({name for own in every for name, _ in own}),
        "pointing": spread(every, accuracy),
        "difficult maps": sum(map(len, difficult)),
        "pointing difficult": spread(difficult, accuracy),
        "offered": sum(map(len, offers)),
        "modified": modified(offers, balanced=False),
        "modified balanced": modified(offers, balanced=True),
    }


def trials(record: Record, difficult: bool) -> list[tuple[str, float]]:
    """(category, hit) for each category that is asked for; only difficult ones if asked."""
    hard = record["categories"] > 1
    return [
        (own["category"], own["hit"])
        for own in record["maps"]
        if own["asked"] and (not difficult or (hard and own["share"] < SMALL))
    ]


def accuracy(pictures: Sequence[Sequence[tuple[str, float]]]) -> float:
    """The mean over categories of their accuracies; nan where there is no map."""
    own = [trial for picture in pictures for trial in picture]
    return class_mean(*zip(*own, strict=True)) if own else math.nan


def offered(record: Record) -> list[Offered]:
    """The maps of the surest categories, as the modified game takes them."""
    return [Offered(own["maximum"], own["asked"], own["hit"]) for own in record["maps"] if own["top"]]


def table(report: dict[str, Any], data: str, path: Path) -> None:
    """Print the table with the published figures in it, and write it."""
    head = ("network", "method", "maps", "pointing %", "difficult maps", "difficult %", "modified %", "balanced %")
    cells = [
        [
            row["network"],
            row["method"],
            str(row["maps"]),
            with_error(row["pointing"], 100, bounds=0),
            str(row["difficult maps"]),
        ]
        + [with_error(row[name], 100, bounds=0) for name in ("pointing difficult", "modified", "modified balanced")]
        for row in report["rows"]
    ]
    for name, method, every, difficult in PUBLISHED[data]:
        cells.append([f"published: {name}", method, "", every, "", difficult, "", ""])
    for name, method, rejecting in PUBLISHED_MODIFIED if data == "coco" else ():
        cells.append([f"published: {name}", method, "", "", "", "", rejecting, ""])
    show(path, report, head, cells, [f"`{report['command']}`", "", legend(report, data)])


def legend(report: dict[str, Any], data: str) -> str:
    """What the pictures are and what the columns mean."""
    what = {
        "vignettes": "test vignettes; the masks are exact, and the very pixel has to be hit.",
        "coco": "COCO photographs; all instances of a category are one mask, crowds included, as in TorchRay; "
        "tolerance 15 pixels of the original photograph.",
        "voc": "VOC photographs; all boxes of a class are one mask, and a class that has difficult boxes only is left "
        "out; tolerance 15 pixels.",
    }[data]
    unknown = report["categories no network knows"]
    left_out = (
        f" A category's score is the log-sum-exp of the logits of its ImageNet classes (imagenet_categories.csv); no "
        f"network here has a class for {', '.join(unknown)}, which are left out, so the mean over categories is one "
        "over other categories than in the published figures."
        if unknown
        else ""
    )
    published = {
        "voc": " Published: TorchRay's, networks finetuned on VOC07.",
        "coco": " Published: TorchRay's on val2014, networks finetuned on COCO; of the modified game, the Grad-CAM "
        "paper's.",
        "vignettes": "",
    }[data]
    return (
        f"{report['pictures']} {what}{left_out} Pointing: the maximum of the un-normalised map of each category in the "
        "picture lies on it; accuracy of each category, then their mean. Difficult: the category covers less than "
        f"{SMALL:.0%} of a picture that shows another one, too. Pixel methods (gradient and guided ones): largest "
        f"magnitude over the channels, blurred with σ = {SMOOTHING:.0%} of the input's side. Modified: the maps of the "
        "five surest categories, of which faint ones are rejected; the threshold for each half of the pictures is the "
        "best of the other half; rejecting an absent category is a hit. Balanced: mean of the accuracies on present "
        "and on absent categories, 50 for rejecting everything. Networks see the whole picture, squashed. In brackets "
        f"95% intervals, {RESAMPLES} resamplings of the pictures, seed {SEED}.{published}"
    )


if __name__ == "__main__":
    typer.run(main)
