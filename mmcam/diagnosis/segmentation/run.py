"""From labelled pictures to a network that segments, and from that to masks: each step kept as it is done."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.class_names import classes_of
from mmcam.diagnosis.labelled import Labelled, LabelledPicture
from mmcam.diagnosis.meant import meant
from mmcam.diagnosis.records import Record, add, checksum, kept
from mmcam.diagnosis.segmentation.learning import Schedule, Seeded, learn, masks, rows_of, sec
from mmcam.diagnosis.segmentation.network import Segmenter
from mmcam.diagnosis.segmentation.pictures import truth
from mmcam.diagnosis.segmentation.predict import FieldOver, classes_of_pixels, colours
from mmcam.diagnosis.segmentation.scores import counts
from mmcam.diagnosis.segmentation.seeds import earlier_layer, seeds_of
from mmcam.engine.as_found import as_found
from mmcam.engine.calling import called
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, json_text, write_whole
from mmcam.image import Preprocess, load_image
from mmcam.places.find import find_layer
from mmcam.preparation import batch_of, preparation_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of
from mmcam.tasks.classification import check_classifier
from mmcam.tasks.logits import finder
from mmcam.tasks.names import Names, named

Tell = Callable[[str], object]

SEEDS, CHECKPOINT, WEIGHTS = "seeds.jsonl", "checkpoint.pt", "segmenter.safetensors"
"""Files of a run."""
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


@dataclass(frozen=True)
class Trained:
    """A network that segments.

    Attributes:
        network: in eval mode.
        classes: in the order of its outputs 1, 2, …; output 0 is background.
        preprocess: how a picture becomes its input.
    """

    network: Segmenter
    classes: tuple[str, ...]
    preprocess: Preprocess


def segment(
    subject: Subject,
    data: Labelled,
    out: str | os.PathLike[str],
    schedule: Schedule = Schedule(),  # noqa: B008 - frozen
    *,
    supervised: bool = False,
    tell: Tell = lambda text: None,
) -> Trained:
    """Learn to segment from labels alone: seeds of all pictures, then SEC's training (arXiv 1603.06098).

    Everything is kept in a folder as it is done; a run that was stopped goes on there, and one that is done is read.

    Args:
        subject: the classifier whose maps seed, and on whose convolutions the network stands.
        data: labelled pictures (`mmcam.diagnosis.segmentation.pictures.to_learn`).
        out: the folder.
        schedule: how the network learns.
        supervised: learn from the masks of `data` instead; what seeds can be held against.
        tell: is told what a run that was stopped had done, and how the terms of the loss stand.

    Raises:
        ExplainError: labels that are none of the model's classes; no picture that can be used; a network that cannot be
            made to segment; other work in the folder.
    """
    folder, module = Path(out), unwrap(subject.model)
    classes = data.classes
    layer, earlier = _layers(subject, data)
    prepared = preparation_of(module, subject.preprocess)[0]
    squashed = Preprocess(
        (schedule.size, schedule.size), "squash", mean=prepared.mean, std=prepared.std, resample=prepared.resample
    )
    with torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        network = Segmenter(module, layer, len(classes) + 1, schedule.size, schedule.width)
    network.to(next(module.parameters()).device)
    of = {
        "source": str(data.source), "weights": checksum(module), "classes": list(classes), "layer": layer,
        "earlier": earlier, "method": subject.method, "supervised": supervised, "cells": network.cells,
        "preprocess": str(prepared),
    }  # fmt: skip
    seeds = _seeded(subject, data, classes, folder / SEEDS, of, tell)
    path, card = folder / WEIGHTS, {**of, "schedule": asdict(schedule), "pictures": len(seeds)}
    if is_file(path):
        _read(path, network, card)
        tell(f"The network in {folder} is trained already; nothing is left to learn.")
        return Trained(network, classes, squashed)
    _begin(folder / "schedule.json", card)
    pictures = [picture for picture in data.pictures if str(picture.path) in seeds]

    def batch(step: int) -> Seeded:
        chosen = [pictures[row] for row in rows_of(step, len(pictures), schedule)]
        return _batch(chosen, [seeds[str(each.path)] for each in chosen], classes, squashed, network)

    learn(network, batch, masks if supervised else sec, schedule, folder / CHECKPOINT, tell=tell)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(path, lambda file: file.write(safetensors.torch.save(state, {"card": json_text(card)})))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return Trained(network, classes, squashed)


def write_masks(
    trained: Trained, pictures: Sequence[Path], folder: Path, field: FieldOver = "grid", *, tell: Tell = lambda text: None
) -> list[tuple[Path, str]]:
    """Write NAME.png for each picture, a palette PNG as VOC's: index 0 is background, n the n-th class.

    A mask that is there is kept, so a run that was stopped goes on.

    Returns:
        The pictures that cannot be used, and why.

    Raises:
        ExplainError: two pictures of one name.
    """
    names = [picture.stem for picture in pictures]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ExplainError(f"Two pictures are called {twice}, so their masks would be, too; segment them one by one.")
    todo = [picture for picture in pictures if not is_file(folder / f"{picture.stem}.png")]
    if len(todo) < len(pictures):
        tell(f"{len(pictures) - len(todo)} of {len(pictures)} masks are there already, {len(todo)} are left.")
    skipped = []
    for picture in with_progress(todo, "Segmenting"):
        try:
            found = classes_of_pixels(trained.network, load_image(picture), trained.preprocess, field)
        except PictureError as error:
            skipped.append((picture, str(error)))
            continue
        mask = in_palette(found)
        write_whole(folder / f"{picture.stem}.png", lambda file, mask=mask: mask.save(file, "PNG"))  # type: ignore[misc]
    return skipped


def measure(
    trained: Trained,
    pictures: Sequence[LabelledPicture],
    path: Path,
    field: FieldOver = "grid",
    *,
    tell: Tell = lambda text: None,
) -> list[Record]:
    """Hold masks against the truth; kept in a file as it is done.

    Returns:
        Of each picture {"picture", "counts"} (see `scores`), or {"picture", "skipped"}.

    Raises:
        ExplainError: no picture can be used, or the file is of other work.
    """
    done = kept(path, {"weights": checksum(trained.network), "field": field})
    todo = [picture for picture in pictures if str(picture.path) not in done]
    if len(todo) < len(pictures):
        tell(f"{len(pictures) - len(todo)} of {len(pictures)} are measured already, {len(todo)} are left.")
    for picture in with_progress(todo, "Measuring"):
        record: Record = {"picture": str(picture.path)}
        try:
            image = load_image(picture.path)
            true = truth(picture, trained.classes, image.size)
            said = classes_of_pixels(trained.network, image, trained.preprocess, field)
            record["counts"] = counts(said, true, len(trained.classes) + 1)
        except PictureError as error:
            record["skipped"] = str(error)
        add(path, [record])
        done[record["picture"]] = record
    records = [done[str(picture.path)] for picture in pictures]
    if all("skipped" in record for record in records):
        raise ExplainError(f"None of the {len(records)} pictures can be measured: {records[0]['skipped']}")
    return records


def in_palette(classes: NDArray[np.integer]) -> Image.Image:
    """Classes (H, W) as a palette PNG in VOC's colours, which follow from the bits of an index."""
    image = Image.fromarray(classes.astype(np.uint8), "P")
    image.putpalette([value for index in range(256) for value in colour(index)])
    return image


def colour(index: int) -> tuple[int, int, int]:
    """The colour of a class in VOC's palette: its bits 0, 1, 2 are red's, green's, blue's highest, and so on."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]


def _layers(subject: Subject, data: Labelled) -> tuple[str, str]:
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


def _seeded(
    subject: Subject, data: Labelled, classes: Sequence[str], path: Path, of: Record, tell: Tell
) -> dict[str, NDArray[np.int8]]:
    """Seeds of every picture that can be opened, (cells, cells) by its path."""
    done = kept(path, of)
    todo = [picture for picture in data.pictures if str(picture.path) not in done]
    if len(todo) < len(data.pictures):
        tell(f"{len(data.pictures) - len(todo)} of {len(data.pictures)} are seeded already, {len(todo)} are left.")
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
        raise ExplainError(f"None of the {len(data.pictures)} pictures of {data.source} can be used: {skipped[0]['skipped']}")
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


def _batch(
    pictures: Sequence[LabelledPicture],
    seeds: Sequence[NDArray[np.int8]],
    classes: Sequence[str],
    preprocess: Preprocess,
    network: Segmenter,
) -> Seeded:
    images = [load_image(picture.path) for picture in pictures]
    like = next(network.parameters())
    cells = (network.cells, network.cells)
    small = [colours(image.resize(cells, Image.Resampling.BOX)) for image in images]
    present = [[True, *(name in picture.labels for name in classes)] for picture in pictures]
    return Seeded(
        torch.stack([preprocess(image)[0] for image in images]).to(like),
        torch.from_numpy(np.stack(seeds)).long().to(like.device),
        torch.tensor(present, device=like.device),
        torch.stack(small).to(like),
    )


def _packed(seeds: NDArray[np.int8]) -> str:
    return base64.b64encode(zlib.compress(seeds.tobytes())).decode()


def _unpacked(text: str, cells: int) -> NDArray[np.int8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.int8).reshape(cells, cells)


def _begin(path: Path, card: Record) -> None:
    """Say what a folder is trained as.

    Raises:
        ExplainError: it was begun otherwise.
    """
    text = json_text(card, indent=1)
    if is_file(path) and path.read_text(encoding="utf-8") != text:
        raise _other(path.parent)
    write_whole(path, lambda file: file.write(text.encode()))


def _read(path: Path, network: Segmenter, card: Record) -> None:
    try:
        with safetensors.safe_open(path, "pt") as file:
            known = json.loads(file.metadata()["card"])
        if known == json.loads(json_text(card)):
            state: dict[str, Tensor] = safetensors.torch.load_file(path)
            network.load_state_dict(state)
            return
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ExplainError(f"{path} holds no network of this run ({error}); remove it to train anew.") from error
    raise _other(path.parent)


def _other(folder: Path) -> ExplainError:
    return ExplainError(
        f"{folder} holds another schedule's network; name another place with --out, or remove it to begin anew."
    )


