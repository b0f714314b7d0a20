"""From labelled pictures to a network that segments; each step is kept as it is done."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from mmcam.diagnosis.labelled import Labelled, LabelledPicture
from mmcam.diagnosis.records import Record, Tell, checksum
from mmcam.diagnosis.segmentation.learning import Schedule, Seeded, learn, masks, rows_of, sec
from mmcam.diagnosis.segmentation.masks import Trained
from mmcam.diagnosis.segmentation.network import Segmenter
from mmcam.diagnosis.segmentation.predict import colours
from mmcam.diagnosis.segmentation.sowing import Subject, layers_of, sown
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.files import is_file, json_text, write_whole
from mmcam.image import Preprocess, load_image
from mmcam.preparation import preparation_of

SEEDS, CHECKPOINT, WEIGHTS = "seeds.jsonl", "checkpoint.pt", "segmenter.safetensors"
"""Files of a run."""


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
    layer, earlier = layers_of(subject, data)
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
    seeds = sown(subject, data, classes, folder / SEEDS, of, tell)
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

    network.calibrate(batch(0).x)
    learn(network, batch, masks if supervised else sec, schedule, folder / CHECKPOINT, tell=tell)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(path, lambda file: file.write(safetensors.torch.save(state, {"card": json_text(card)})))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return Trained(network, classes, squashed)


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
