"""Seeds of many pictures, kept as they are made."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.labelled import Labelled, LabelledPicture
from mmcam.diagnosis.meant import meant
from mmcam.diagnosis.records import Record, Tell, add, kept, left, path_of
from mmcam.diagnosis.segmentation.pictures import truth
from mmcam.diagnosis.segmentation.seeds import earlier_layer, seeds_of
from mmcam.engine.as_found import as_found
from mmcam.engine.calling import called
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.image import load_image
from mmcam.places.find import find_layer
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of
from mmcam.tasks.classification import check_classifier
from mmcam.tasks.logits import finder
from mmcam.tasks.names import Names, named

_SAVED_AT_ONCE: Final = 10


@dataclass(frozen=True)
class Subject:
    """A classifier and how it is asked for seeds.

    Attributes:
        model: left as found.
        method, layer: of the maps.
        names: of its classes, if not its own.
        preprocess: how its pictures are made, if not its own.
    """

    model: nn.Module
    method: str = "gradcam"
    layer: str | None = None
    names: Names | None = None
    preprocess: Any = None


def layers_of(subject: Subject, data: Labelled) -> tuple[str, str]:
    """The layer of the maps, and the one that background is read from; from the first picture that can be opened."""
    module, why = unwrap(subject.model), ""
    for picture in data.pictures:
        try:
            x = batch_of(module, [picture.path], subject.preprocess).x
        except PictureError as error:
            why = str(error)
            continue
        layer = find_layer(module, forward_of(module), x) if subject.layer is None else subject.layer
        return layer, earlier_layer(module, x)
    raise ExplainError(f"None of the {len(data.pictures)} pictures of {data.source} can be opened: {why}")


def sown(
    subject: Subject, data: Labelled, classes: Sequence[str], path: Path, of: Record, tell: Tell
) -> dict[str, NDArray[np.int8]]:
    """Seeds of every picture that can be opened, (cells, cells) by its path."""
    done = kept(path, of)
    todo = left(data.pictures, done, path_of, tell, "seeded")
    waiting: list[Record] = []
    for picture in with_progress(todo, "Seeding"):
        record: Record = {"picture": str(picture.path)}
        try:
            record["seeds"] = _packed(_seeds_of(subject, picture, classes, of))
        except PictureError as error:
            record["skipped"] = str(error)
        waiting.append(record)
        done[record["picture"]] = record
        if len(waiting) == _SAVED_AT_ONCE or picture is todo[-1]:
            add(path, waiting)
            waiting = []
    skipped = [record for record in done.values() if "skipped" in record]
    if skipped:
        tell(f"{len(skipped)} of {len(data.pictures)} are left out; the first: {skipped[0]['skipped']}")
    seeds = {str(each.path): done[str(each.path)] for each in data.pictures}
    usable = {name: _unpacked(record["seeds"], of["cells"]) for name, record in seeds.items() if "seeds" in record}
    if not usable:
        raise ExplainError(
            f"None of the {len(data.pictures)} pictures of {data.source} can be used: {skipped[0]['skipped']}"
        )
    return usable


def _seeds_of(subject: Subject, picture: LabelledPicture, classes: Sequence[str], of: Record) -> NDArray[np.int8]:
    if of["supervised"]:
        size = load_image(picture.path).size
        return at_middles(truth(picture, classes, size), of["cells"])
    module = unwrap(subject.model)
    batch = batch_of(module, [picture.path], subject.preprocess)
    labels = classes_of(module, subject.names)
    check_classifier(module, [None], labels.names)
    with as_found(module):
        logits = finder(named(labels.names))(called(module, batch.x))[0]
    means = meant(picture.labels, labels, len(logits))
    # Of a wider word, as "dog", the class that the model is surest of.
    targets = [max(means[label], key=lambda index: float(logits[index])) for label in picture.labels]
    return seeds_of(
        module, batch.x, batch.geometries[0], targets, [classes.index(label) for label in picture.labels],
        earlier=of["earlier"], method=subject.method, layer=subject.layer, grid=of["cells"],
    )  # fmt: skip


def at_middles(classes: NDArray[np.uint8], cells: int) -> NDArray[np.int8]:
    """What a map (H, W) shows at the middle of each of cells×cells; where nothing counts, no seed."""
    rows, columns = (((np.arange(cells) + 0.5) * side / cells).astype(int) for side in classes.shape)
    return classes[np.ix_(rows, columns)].astype(np.int8)  # VOID, 255, is -1


def _packed(seeds: NDArray[np.int8]) -> str:
    return base64.b64encode(zlib.compress(seeds.tobytes())).decode()


def _unpacked(text: str, cells: int) -> NDArray[np.int8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.int8).reshape(cells, cells)
