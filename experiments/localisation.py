"""Do boxes drawn from maps find the thing, and do maxima point at it? ILSVRC's localisation error, the pointing game.

For each of the five surest classes of a picture: the map, cut at a share of its maximum (the Grad-CAM paper's 15 %),
and the box of the largest connected segment. The error is ILSVRC's: one of the first k boxes has the right class and an
IoU of at least .5 with a box of it, in the pixels of the original picture. The pointing game asks the same maps, and
that of the true class, where their maximum lies; the modified game may reject maps that are faint. Boxes and maxima go
into runs/localisation, a line a picture and method, and a run that was stopped goes on there.

    python -m experiments.localisation --data real --root $MMCAM_REAL_DATA
    python -m experiments.localisation --data vignettes --limit 200
    python -m experiments.localisation --data ilsvrc --root DIR --network vgg16=FILE
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
import typer
from PIL import Image
from rich.progress import track
from scipy import ndimage
from torch import nn
from torchvision import models as zoo

import mmcam
import models
from experiments.modified_game import RESAMPLES, SEED, halves, interval, modified, spread
from experiments.real_photos import networks
from experiments.records import Record, add, read
from experiments.tables import show
from mmcam.datasets import imagenet, vignettes
from mmcam.evaluation.localisation import Box, Located, errors, inclusive, share
from mmcam.evaluation.pointing import Offered, centre, class_mean, inside
from mmcam.model_spec import read_state

METHODS: Final = (
    "gradcam", "layercam", "hirescam", "gradcam++", "gradient", "guided_backprop", "guided_gradcam", "c_mwp",
)  # fmt: skip
WHOLE: Final = "(whole picture, its centre)"
SHARES: Final = (0.05, 0.15, 0.3, 0.5)
"""Of the maximum, at which a map is cut; the paper's is the second."""
PAPERS: Final = 0.15
SMOOTHING: Final = 0.02
"""Pixel maps are speckled, so they are blurred first: the Gaussian's σ as a share of the input's side."""
TOLERANCE: Final = {"real": 15, "ilsvrc": 15, "vignettes": 0}
"""Pixels around a maximum that count as the maximum: 15 is the game's on photographs."""
SMALL: Final = 0.25
"""A class whose boxes cover less of the picture than this is small: the centre does not lie on it so often."""

PUBLISHED: Final = (
    # net, method, classification error top-1, top-5, localisation error top-1, top-5; ~ as remembered, not re-read
    ("VGG-16", "backprop", "~30.38", "~10.89", "~61.12", "~51.46"),
    ("VGG-16", "c-MWP", "~30.38", "~10.89", "~70.92", "~63.04"),
    ("VGG-16", "Grad-CAM", "30.38", "10.89", "56.51", "46.41"),
    ("VGG-16-GAP", "CAM", "~33.40", "~12.20", "57.20", "~45.14"),
    ("AlexNet", "c-MWP", "~44.2", "~20.8", "~92.6", "~89.2"),
    ("AlexNet", "Grad-CAM", "44.2", "20.8", "68.3", "56.6"),
    ("GoogLeNet", "Grad-CAM", "31.9", "11.3", "60.09", "49.34"),
    ("GoogLeNet", "CAM", "~31.9", "~11.3", "~60.09", "~49.34"),
)
"""On the whole ILSVRC validation set."""
PUBLISHED_POINTING: Final = (
    "Published, modified game, all predictions, VGG-16 on COCO: Grad-CAM 70.58, c-MWP 60.30.",
    "Published, game with 15 pixels of tolerance, mean over classes (all/difficult), VOC07 test, VGG-16: Grad-CAM "
    "86.6/74.0, c-MWP 79.9/66.5, guided backprop 75.9/53.0, gradient 76.3/56.9, centre 69.6/42.4; ResNet-50: Grad-CAM "
    "90.4/82.3, c-MWP 90.7/82.1.",
)

Data = Literal["real", "ilsvrc", "vignettes"]


@dataclass(frozen=True)
class Subject:
    """A picture and the boxes, right and bottom inclusive, of each class in it."""

    name: str
    open: Callable[[], Image.Image]
    truth: dict[int, list[Box]]
    blacklisted: bool = False


@dataclass(frozen=True)
class Net:
    """A network, how its pictures are made, and the outputs that are classes of things (None: all)."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess
    classes: tuple[int, ...] | None = None


def main(
    data: Annotated[str, typer.Option(help="real, ilsvrc or vignettes.")] = "real",
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of photographs, weights.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures; vignettes: default 200.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help=f"Default {', '.join(METHODS)}.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="torchvision's NAME=FILE of a state dict, in place of the two at hand.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/localisation"),
) -> None:
    """Measure, and write localisation-DATA.json and .md."""
    if data not in TOLERANCE:
        raise typer.BadParameter(f"There is no data {data!r}; choose one of {', '.join(TOLERANCE)}.")
    if data != "vignettes" and root is None:
        raise typer.BadParameter("--root names the folder of the photographs, or set MMCAM_REAL_DATA.")
    if data == "vignettes":
        limit = limit or 200
    nets = nets_of(data, root, network or ())
    chosen = tuple(methods or METHODS)
    for net in nets:
        examine(net, subjects(data, root, limit), chosen, work, data, limit)
    names = {subject.name for subject in subjects(data, root, limit)}
    rows = []
    for net in nets:
        for method in (*chosen, WHOLE):
            records = [r for r in read(path_of(work, data, net, method)) if r["picture"] in names]
            rows.append({"network": net.name, "method": method, **figures(records, TOLERANCE[data])})
    command = f"python -m experiments.localisation --data {data}"
    command += " --root …" * (data == "ilsvrc") + (f" --limit {limit}" if limit else "")
    command += "".join(f" --methods {name}" for name in methods or ())
    command += "".join(f" --network {name.partition('=')[0]}=…" for name in network or ())
    report = {
        "command": "MMCAM_REAL_DATA=… " * (data == "real") + command,
        "versions": {"mmcam": mmcam.__version__, "torch": torch.__version__},
        "pictures": len(names),
        "seed of the bootstrap": SEED,
        "share of the maximum": PAPERS,
        "tolerance": TOLERANCE[data],
        "smoothing of pixel maps": SMOOTHING,
        "rows": rows,
    }
    table(report, data, out / f"localisation-{data}")


def nets_of(data: str, root: Path | None, given: Sequence[str]) -> list[Net]:
    """The bundled classifier for vignettes; for photographs those given, else the two whose weights lie in the root."""
    if data == "vignettes":
        model = models.load("vignette-classifier")
        kinds = tuple(i for i, name in enumerate(model.classes) if name in vignettes.KINDS)
        return [Net("vignette-classifier", model, model.preprocess, kinds)]
    if given:
        return [torchvision_net(*text.partition("=")[::2]) for text in given]
    assert root is not None
    return [Net(found.name, found.model, found.preprocess) for found in networks(root)]


def torchvision_net(name: str, file: str) -> Net:
    """A torchvision network as published: shorter side 256, centre crop 224."""
    if name not in zoo.list_models(module=zoo) or not file:
        raise typer.BadParameter(f"--network is NAME=FILE, as vgg16=vgg16.pth; {name!r} with {file!r} is not.")
    model = zoo.get_model(name, weights=None)
    model.load_state_dict(read_state(Path(file)))
    return Net(name, model.eval(), mmcam.Preprocess(size=(224, 224), mode="crop", resize=256))


def subjects(data: str, root: Path | None, limit: int | None) -> Iterator[Subject]:
    """The pictures, or the first `limit` of them."""
    if data == "vignettes":
        return map(partial(vignette, models.load("vignette-classifier").classes), range(limit or 0))
    assert root is not None
    return islice(photographs(root) if data == "real" else official(root), limit)


def photographs(root: Path) -> Iterator[Subject]:
    """The validation photographs of the folder of real pictures, brought back to their original size."""
    folder = root / "imagenet_val"
    boxes: dict[str, list[Box]] = defaultdict(list)
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            left, top, right, bottom = (int(row[f"orig_{side}"]) for side in ("x0", "y0", "x1", "y1"))
            boxes[row["file"]].append((left, top, right, bottom))
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            size = int(row["orig_width"]), int(row["orig_height"])
            path = folder / "images" / row["file"]
            yield Subject(row["file"], partial(restored, path, size), {int(row["class_index"]): boxes[row["file"]]})


def restored(path: Path, size: tuple[int, int]) -> Image.Image:
    """A squashed photograph at its original (width, height)."""
    return mmcam.load_image(path).resize(size, Image.Resampling.BICUBIC)


def official(root: Path) -> Iterator[Subject]:
    """ILSVRC's validation photographs, where the official files are."""
    for photo in imagenet.validation(root):
        truth: dict[int, list[Box]] = {photo.label: list(photo.boxes)}
        yield Subject(photo.path.name, partial(mmcam.load_image, photo.path), truth, photo.blacklisted)


def vignette(classes: Sequence[str], i: int) -> Subject:
    """A test vignette; the boxes are those of what is visible of each thing."""
    scene = vignettes.draw(vignettes.seed("test", i))
    truth: dict[int, list[Box]] = defaultdict(list)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        if mask.any():
            ys, xs = np.nonzero(mask)
            truth[classes.index(thing.kind)].append((int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())))
    return Subject(str(i), lambda: scene.image, dict(truth))


def path_of(work: Path, data: str, net: Net, method: str) -> Path:
    """Where the records of a network and method lie."""
    return work / f"{data}-{net.name}-{method}.jsonl".replace(" ", "-")


def examine(
    net: Net, pictures: Iterator[Subject], methods: Sequence[str], work: Path, data: str, limit: int | None
) -> None:
    """Write what is missing of a network's records."""
    paths = {method: path_of(work, data, net, method) for method in (*methods, WHOLE)}
    done = {method: {record["picture"] for record in read(path)} for method, path in paths.items()}
    for subject in track(pictures, net.name, total=limit):
        todo = [method for method in paths if subject.name not in done[method]]
        if not todo:
            continue
        picture = subject.open()
        top = surest(net, picture)
        for method in todo:
            labels = top + [label for label in subject.truth if label not in top]
            maps = whole(picture, labels) if method == WHOLE else marks(net, picture, labels, method)
            record = {
                "picture": subject.name, "size": picture.size, "top": top, "blacklisted": subject.blacklisted,
                "truth": {str(label): boxes for label, boxes in subject.truth.items()}, "maps": maps,
            }  # fmt: skip
            add(paths[method], [record])


def surest(net: Net, picture: Image.Image) -> list[int]:
    """The five classes of the highest logits."""
    x, _ = net.preprocess(picture)
    with torch.no_grad():
        logits = net.model(x[None])[0]
    if net.classes is None:
        return [int(i) for i in logits.topk(5).indices]
    return [net.classes[int(i)] for i in logits[list(net.classes)].topk(5).indices]


def marks(net: Net, picture: Image.Image, labels: list[int], method: str) -> list[Record]:
    """Of the map of each class: where its maximum lies, how high it is, and a box at each share of it."""
    found = []
    for label, exp in zip(
        labels,
        mmcam.explain_class(net.model, picture, labels, method=method, preprocess=net.preprocess),
        strict=True,
    ):
        exp = blurred(exp) if exp.values.ndim == 3 else exp
        boxes = {str(cut): None if exp.empty else inclusive(exp.box(cut) or ()) for cut in SHARES}
        found.append({"label": label, "peak": exp.peak(), "maximum": float(exp.heatmap.max()), "boxes": boxes})
    return found


def blurred(exp: mmcam.Explanation) -> mmcam.Explanation:
    """A pixel map as a smooth one: the largest magnitude over the channels, blurred."""
    cam = exp.cam.float().cpu().numpy()
    smooth = ndimage.gaussian_filter(cam, SMOOTHING * max(cam.shape))
    return replace(exp, values=torch.from_numpy(smooth))


def whole(picture: Image.Image, labels: list[int]) -> list[Record]:
    """What a method finds that looks at nothing: the whole picture, and its centre."""
    box = (0, 0, picture.width - 1, picture.height - 1)
    middle = centre(np.zeros(picture.size[::-1], dtype=bool))
    return [
        {"label": label, "peak": middle, "maximum": 1.0, "boxes": dict.fromkeys(map(str, SHARES), box)}
        for label in labels
    ]


def figures(records: list[Record], tolerance: int) -> dict[str, Any]:
    """All figures of a network and a method."""
    row: dict[str, Any] = {"pictures": len(records)}
    for name, error in errors([located(record, PAPERS) for record in records]).items():
        row[name] = {"value": error.value, "standard_error": error.standard_error, "pictures": error.pictures}
    row["own share"] = own_share(records)
    trials = [pointed(record, tolerance) for record in records]
    row["pointing"] = spread(trials, lambda own: mean_of(own, small=False))
    row["pointing small"] = spread(trials, lambda own: mean_of(own, small=True))
    offers = [offered(record, tolerance) for record in records]
    row["modified"] = modified(offers, balanced=False)
    row["modified balanced"] = modified(offers, balanced=True)
    return row


def located(record: Record, cut: float) -> Located:
    """A record's five predictions with their boxes at a share of the maximum."""
    boxes = {found["label"]: found["boxes"][str(cut)] for found in record["maps"]}
    predictions = [(None if boxes[label] is None else tuple(boxes[label]), label) for label in record["top"]]
    truth = {int(label): own for label, own in record["truth"].items()}
    return Located(predictions, truth, record["blacklisted"])


def own_share(records: list[Record]) -> dict[str, Any]:
    """Localisation error top-1 when each half is cut at the share that is best for the other one."""
    outcomes: list[bool] = []
    cuts = []
    first, second = halves([record for record in records if not record["blacklisted"]])
    for held_out, judged in ((second, first), (first, second)):
        cut = min(SHARES, key=lambda cut: errors([located(r, cut) for r in held_out], (1,))["localisation top-1"].value)
        cuts.append(cut)
        outcomes += [errors([located(record, cut)], (1,))["localisation top-1"].value == 1 for record in judged]
    error = share(outcomes)
    return {"shares": cuts, "value": error.value, "standard_error": error.standard_error}


def pointed(record: Record, tolerance: int) -> list[tuple[int, bool, bool]]:
    """(class, whether the maximum hits it, whether it is small) for each class in a picture."""
    found = []
    for each in record["maps"]:
        mask = mask_of(record, each["label"])
        if mask is not None:
            found.append((each["label"], hit(each, mask, tolerance), bool(mask.mean() < SMALL)))
    return found


def offered(record: Record, tolerance: int) -> list[Offered]:
    """The maps of a record's five predictions, as the modified game takes them."""
    found = []
    for each in record["maps"]:
        if each["label"] in record["top"]:
            mask = mask_of(record, each["label"])
            there = mask is not None
            found.append(Offered(each["maximum"], there, mask is not None and hit(each, mask, tolerance)))
    return found


def hit(found: Record, mask: np.ndarray, tolerance: int) -> bool:
    """Whether a map's maximum lies in a box."""
    peak = found["peak"]
    return inside(None if peak is None else (peak[0], peak[1]), mask, tolerance)


def mask_of(record: Record, label: int) -> np.ndarray | None:
    """True in the boxes of a class; None where it is not in the picture."""
    if str(label) not in record["truth"]:
        return None
    mask = np.zeros(record["size"][::-1], dtype=bool)
    for left, top, right, bottom in record["truth"][str(label)]:
        mask[top : bottom + 1, left : right + 1] = True
    return mask


def mean_of(trials: Sequence[Sequence[tuple[int, bool, bool]]], small: bool) -> float:
    """Pointing accuracy over classes, of small things only if asked; nan where there are none."""
    own = [(label, hit) for picture in trials for label, hit, is_small in picture if is_small or not small]
    return class_mean(*zip(*own, strict=True)) if own else float("nan")


def table(report: dict[str, Any], data: str, path: Path) -> None:
    """Print the table with the published figures in it, and write it as JSON and Markdown."""
    head = (
        "network", "method", "n", "cls error top-1", "top-5", "loc error top-1 ± s.e.", "top-5 ± s.e.",
        "top-1, own share", "pointing %", "small %", "modified %", "balanced %",
    )  # fmt: skip
    cells = []
    for row in report["rows"]:
        kinds = [f"{100 * row[f'classification top-{k}']['value']:.1f}" for k in (1, 5)]
        boxes = [both(row[f"localisation top-{k}"]) for k in (1, 5)]
        own = row["own share"]
        boxes.append(f"{both(own)} ({'/'.join(f'{cut:g}' for cut in own['shares'])})")
        games = [interval(row[name]) for name in GAMES]
        cells.append([row["network"], row["method"], str(row["pictures"]), *kinds, *boxes, *games])
    if data != "vignettes":
        for name, method, *published in PUBLISHED:
            start = [f"published: {name}", method, "50000", *published]
            cells.append([*start, *[""] * (len(head) - len(start))])
    above = [f"`{report['command']}`: mmcam {report['versions']['mmcam']}, torch {report['versions']['torch']}.", ""]
    show(path, report, head, cells, [*above, told(report, data)], ["", *(f"{line}\n" for line in PUBLISHED_POINTING)])


GAMES: Final = ("pointing", "pointing small", "modified", "modified balanced")


def both(error: dict[str, Any]) -> str:
    """An error and its standard error in percent."""
    return f"{100 * error['value']:.1f} ± {100 * error['standard_error']:.1f}"


def told(report: dict[str, Any], data: str) -> str:
    """What the columns mean."""
    what = {
        "real": f"The first {report['pictures']} of 638 ILSVRC validation photographs, brought back to their original "
        "aspect from 227×227: easier than the whole set that the published figures are of, and other networks. "
        "MobileNetV2 sees the centre crop, SqueezeNet the squashed whole.",
        "ilsvrc": f"{report['pictures']} ILSVRC validation photographs.",
        "vignettes": f"{report['pictures']} test vignettes; the boxes are those of what is visible of each thing, the "
        "five surest are kinds of things, and a picture shows several.",
    }[data]
    return (
        f"{what} Classification and localisation errors in percent; boxes at {PAPERS:.0%} of the maximum, blacklisted "
        "pictures left out of localisation only. Own share: each half of the pictures is cut at the share of "
        f"{', '.join(f'{cut:g}' for cut in SHARES)} that is best for the other half. Pixel methods (gradient and "
        f"guided ones): largest magnitude over the channels, blurred with σ = {SMOOTHING:.0%} of the input's side; the "
        "gradient's box is that of the same cut, not Simonyan's GrabCut. Pointing: maximum of the map of the true "
        f"class in a box of it, tolerance {report['tolerance']} pixels, mean over classes; small: classes whose boxes "
        f"cover less than {SMALL:.0%} of the picture. Modified: the maps of the five surest classes, of which faint "
        "ones are rejected; the threshold for each half is the best of the other half; rejecting an absent class is a "
        "hit. Balanced: mean of the accuracies on present and on absent classes, 50 for rejecting everything. In "
        f"brackets 95% intervals, {RESAMPLES} resamplings of the pictures, seed {SEED}."
    )


if __name__ == "__main__":
    typer.run(main)
