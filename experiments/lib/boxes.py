"""Boxes and maxima of the maps of many pictures, for the tables of `localisation`: what is looked at, and what is kept.

Every map leaves a record: where its maximum lies, how high it is, and its box at each share of the maximum. They go
into a folder, a line a picture and method, and a run that was stopped goes on there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from scipy import ndimage
from torch import nn

import mmcam
import models
from experiments.lib.given_network import given_network
from experiments.lib.photographs import networks, spread, validation
from experiments.lib.protocol import OPTIONS
from experiments.lib.records import Record, add, checksum, read
from mmcam.datasets import imagenet, vignettes
from mmcam.evaluation.grabcut import grabcut_box
from mmcam.evaluation.localisation import Box, inclusive
from mmcam.evaluation.pointing import centre

PAPERS_METHODS: Final = (
    "gradcam", "layercam", "hirescam", "gradcam++", "gradient", "guided_backprop", "guided_gradcam", "c_mwp",
)  # fmt: skip
GRABCUT: Final = "gradient, GrabCut"
"""The box of Simonyan et al., which the Grad-CAM paper's "backprop" is; `gradient` alone is cut like the others."""
WHOLE: Final = "(whole picture, its centre)"
"""What a method finds that looks at nothing."""
SHARES: Final = (0.05, 0.15, 0.3, 0.5)
"""Of the maximum, at which a map is cut; the papers' is the second."""
SMOOTHING: Final = 0.02
"""Pixel maps are speckled, so they are blurred first: the Gaussian's σ as a share of the input's side."""
LAYERS: Final = {("vgg16", "c_mwp"): "features.23", ("resnet50", "c_mwp"): "layer3"}
"""Layers that the papers read where they are not the default: c-MWP's at pool4 of VGG-16 (Zhang et al., section 4)."""


@dataclass(frozen=True)
class Subject:
    """A picture and the boxes, right and bottom inclusive, of each class in it.

    Attributes:
        name: no other picture has it.
        open: opens it for a network's preparation.
        truth: the boxes by class.
        blacklisted: left out of localisation.
        size: (width, height) of the picture that the boxes are of; None: that of the one that is opened.
    """

    name: str
    open: Callable[[mmcam.Preprocess], Image.Image]
    truth: dict[int, list[Box]]
    blacklisted: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Net:
    """A network, how its pictures are made, and the outputs that are classes of things (None: all)."""

    name: str
    model: nn.Module
    preprocess: mmcam.Preprocess
    classes: tuple[int, ...] | None = None


def nets_of(data: str, root: Path | None, given: Sequence[str]) -> list[Net]:
    """The bundled classifier for vignettes; for photographs those given, else those whose weights are at hand."""
    if data == "vignettes":
        model = models.load("vignette-classifier")
        kinds = tuple(i for i, name in enumerate(model.classes) if name in vignettes.KINDS)
        return [Net("vignette-classifier", model, model.preprocess, kinds)]
    if given:
        return [Net(*given_network(text)) for text in given]
    assert root is not None
    return [Net(found.name, found.model, found.preprocess) for found in networks(root)]


def subjects(data: str, root: Path | None, limit: int | None) -> Iterator[Subject]:
    """The pictures, or the first `limit` of them."""
    if data == "vignettes":
        return map(partial(vignette, models.load("vignette-classifier").classes), range(limit or 0))
    assert root is not None
    return islice(photographs(root) if data == "real" else official(root), limit)


def photographs(root: Path) -> Iterator[Subject]:
    """The validation photographs of the folder of real pictures."""
    for photo in validation(root):
        yield Subject(photo.name, photo.open, {photo.label: list(photo.boxes)}, size=photo.size)


def official(root: Path) -> Iterator[Subject]:
    """ILSVRC's validation photographs, where the official files are."""
    for photo in imagenet.validation(root):
        truth: dict[int, list[Box]] = {photo.label: list(photo.boxes)}
        yield Subject(photo.path.name, partial(_as_it_is, photo.path), truth, photo.blacklisted)


def _as_it_is(path: Path, preprocess: mmcam.Preprocess) -> Image.Image:
    return mmcam.load_image(path)


def vignette(classes: Sequence[str], i: int) -> Subject:
    """A test vignette; the boxes are those of what is visible of each thing."""
    scene = vignettes.draw(vignettes.seed("test", i))
    truth: dict[int, list[Box]] = defaultdict(list)
    for thing, mask in zip(scene.truth.things, scene.instances, strict=True):
        if mask.any():
            ys, xs = np.nonzero(mask)
            truth[classes.index(thing.kind)].append((int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())))
    image = scene.image  # the masks are not kept with it
    return Subject(str(i), lambda preprocess: image, dict(truth))


def path_of(work: Path, data: str, net: Net, method: str) -> Path:
    """Where the records of a network and method lie; other weights have others."""
    read_as = {"real": "real-stored"}.get(data, data)  # once the photographs were enlarged first
    return work / f"{read_as}-{net.name}-{checksum(net.model)}-{method}.jsonl".replace(" ", "-")


def examine(net: Net, pictures: Sequence[Subject], methods: Sequence[str], work: Path, data: str) -> dict[str, str]:
    """Write what is missing of a network's records.

    Returns:
        The methods that do not fit the network, each with the sentence that says why; found on its first picture.
    """
    paths = {method: path_of(work, data, net, method) for method in methods}
    done = {method: {record["picture"] for record in read(path)} for method, path in paths.items()}
    unfit: dict[str, str] = {}
    for subject in track(pictures, net.name):
        todo = [method for method in paths if subject.name not in done[method] and method not in unfit]
        if not todo:
            continue
        picture = subject.open(net.preprocess)
        size = subject.size or picture.size
        top = surest(net, picture)
        labels = top + [label for label in subject.truth if label not in top]
        for method in todo:
            try:
                maps = whole(size, labels) if method == WHOLE else marks(net, picture, size, labels, method)
            except mmcam.ExplainError as error:
                if paths[method].exists():
                    raise  # it fits, so this is something else
                unfit[method] = str(error)
                continue
            record = {
                "picture": subject.name, "size": size, "top": top, "blacklisted": subject.blacklisted,
                "truth": {str(label): boxes for label, boxes in subject.truth.items()}, "maps": maps,
            }  # fmt: skip
            add(paths[method], [record])
    return unfit


def surest(net: Net, picture: Image.Image) -> list[int]:
    """The five classes of the highest logits."""
    x, _ = net.preprocess(picture)
    with torch.no_grad():
        logits = net.model(x[None])[0]
    if net.classes is None:
        return [int(i) for i in logits.topk(5).indices]
    return [net.classes[int(i)] for i in logits[list(net.classes)].topk(5).indices]


def marks(net: Net, picture: Image.Image, size: tuple[int, int], labels: list[int], method: str) -> list[Record]:
    """Of the map of each class: where its maximum lies, how high it is, and a box at each share of it.

    Args:
        net: the network.
        picture: as it was opened for it.
        size: (width, height) of the picture in whose pixels maxima and boxes are.
        labels: the classes.
        method: a name of a method, or `GRABCUT`.
    """
    named = "gradient" if method == GRABCUT else method
    how: dict[str, Any] = {"method": named, "layer": LAYERS.get((net.name, method)), **OPTIONS.get(named, {})}
    maps = mmcam.explain_class(net.model, picture, labels, preprocess=net.preprocess, **how)
    found = []
    for label, own in zip(labels, maps, strict=True):
        exp = spread(own, net.preprocess, size)
        smooth = blurred(exp) if exp.values.ndim == 3 else exp
        boxes: dict[str, Box | None]
        if method == GRABCUT:
            boxes = dict.fromkeys(map(str, SHARES), grown(net, picture, exp))
        else:
            boxes = {str(cut): None if smooth.empty else inclusive(smooth.box(cut) or ()) for cut in SHARES}
        maximum = float(smooth.heatmap.max())
        found.append({"label": label, "peak": smooth.peak(), "maximum": maximum, "boxes": boxes})
    return found


def grown(net: Net, picture: Image.Image, exp: mmcam.Explanation) -> Box | None:
    """GrabCut's box, found in what the network sees, which is small, and brought back to the picture's pixels."""
    x, _ = net.preprocess(picture)
    seen = np.asarray(net.preprocess.denormalise(x))
    box = grabcut_box(seen, exp.cam.cpu().numpy())
    if box is None:
        return None
    marked = torch.zeros(seen.shape[:2])
    left, top, right, bottom = map(int, box)
    marked[top : bottom + 1, left : right + 1] = 1
    rows, columns = np.nonzero(exp.geometry.to_original(marked).numpy() > 0.5)
    return (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())) if len(rows) else None


def blurred(exp: mmcam.Explanation) -> mmcam.Explanation:
    """A pixel map as a smooth one: the largest magnitude over the channels, blurred."""
    cam = exp.cam.float().cpu().numpy()
    smooth = ndimage.gaussian_filter(cam, SMOOTHING * max(cam.shape))
    return replace(exp, values=torch.from_numpy(smooth))


def whole(size: tuple[int, int], labels: list[int]) -> list[Record]:
    """What a method finds that looks at nothing: the whole picture of (width, height), and its centre."""
    box = (0, 0, size[0] - 1, size[1] - 1)
    middle = centre(np.zeros(size[::-1], dtype=bool))
    return [
        {"label": label, "peak": middle, "maximum": 1.0, "boxes": dict.fromkeys(map(str, SHARES), box)}
        for label in labels
    ]
