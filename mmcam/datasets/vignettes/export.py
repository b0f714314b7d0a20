"""Vignettes on disk, in the formats of COCO (captions, instances) and VQA v1 (questions, annotations).

::

    images/00000000.png           the picture; its number is its seed
    masks/instances/00000000.png  0 where the scene shows, else 1 + index of the thing
    masks/parts/00000000.png      0 where the scene shows, else 1 + 16 · index of the thing + index of the part
    masks/legend.json             the names of the parts of every kind, by index
    captions.json instances.json  COCO
    questions.json annotations.json  VQA v1
    truth.jsonl                   one truth a line
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.datasets.vignettes.questions import ANSWERS
from mmcam.datasets.vignettes.render import CODES_PER_THING
from mmcam.datasets.vignettes.shapes import SHAPES
from mmcam.datasets.vignettes.truth import SIZE, Truth
from mmcam.datasets.vignettes.vignette import Vignette, draw
from mmcam.datasets.vignettes.world import KINDS, SPLIT_SIZE, World, seed
from mmcam.image import open_raster

Progress = Callable[[int, int], object]

_FAMILIES = {
    "animal": ("dog", "cat", "bird", "fish"),
    "vehicle": ("car", "bus", "boat", "plane"),
    "plant": ("tree", "flower"),
    "person": ("person",),
    "object": ("house", "ball", "umbrella"),
}
_FOR_A_POOL = 64  # fewer pictures are drawn before a second process has started
_QUESTIONS_PER_IMAGE = 100


def export(
    out: str | os.PathLike[str],
    split: str,
    n: int,
    progress: Progress | None = None,
    world: World = World(),  # noqa: B008 - frozen
) -> Path:
    """Write the first `n` pictures of a split into the folder `out`.

    Two processes draw; a script that calls this needs the usual ``if __name__ == "__main__":``. The folder
    appears when everything is in it; after an error nothing is left.

    Args:
        out: a folder that does not exist or is empty.
        split: ``"train"``, ``"val"``, ``"test"`` or ``"heldout"``.
        n: number of pictures.
        progress: called with the number of pictures written and `n`.
        world: the rules.

    Returns:
        The folder.

    Raises:
        ValueError: for an unknown split or a number of pictures it does not have.
        FileExistsError: if `out` is a file or a folder with something in it.
    """
    out = Path(out)
    first = seed(split, 0)
    if not 0 < n <= SPLIT_SIZE:
        raise ValueError(f"A split has 1 … {SPLIT_SIZE} pictures, not {n}.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out} is not an empty folder; name a new one or empty it first.")
    out.parent.mkdir(parents=True, exist_ok=True)
    partly = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        for folder in ("images", "masks/instances", "masks/parts"):
            (partly / folder).mkdir(parents=True)
        records = []
        for record in _records(partial(_write_one, partly, world), range(first, first + n)):
            records.append(record)
            if progress is not None:
                progress(len(records), n)
        _write_tables(partly, split, world, records)
        if out.exists():
            out.rmdir()
        partly.rename(out)
    except BaseException:
        shutil.rmtree(partly, ignore_errors=True)
        raise
    return out


def read(folder: str | os.PathLike[str]) -> Iterator[Vignette]:
    """The vignettes of an exported folder, one after the other, with captions, questions and masks.

    Raises:
        FileNotFoundError: if the folder has no ``truth.jsonl`` or lacks a picture or mask.
        ValueError: if a line of ``truth.jsonl`` is no truth.
    """
    folder = Path(folder)
    table = folder / "truth.jsonl"
    if not table.is_file():
        raise FileNotFoundError(f"{folder} has no truth.jsonl; name a folder that export() wrote.")
    return _read(folder, table)


def rle(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """A mask (H, W) as COCO's uncompressed run lengths: down the columns, beginning with zeros."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def _read(folder: Path, table: Path) -> Iterator[Vignette]:
    with table.open(encoding="utf-8") as lines:
        for line in lines:
            truth = Truth.from_json(json.loads(line))
            image = open_raster(folder / "images" / _file(truth.seed)).convert("RGB")
            codes = np.array(open_raster(folder / "masks/parts" / _file(truth.seed)))
            yield Vignette(image, truth, codes)


def _file(image_id: int) -> str:
    return f"{image_id:08d}.png"


def _records(write: Callable[[int], dict[str, Any]], seeds: range) -> Iterator[dict[str, Any]]:
    if len(seeds) < _FOR_A_POOL:
        yield from map(write, seeds)
        return
    # Spawned, since a forked copy of a process in which PyTorch has threads may hang.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(write, seeds, chunksize=16)


def _write_one(folder: Path, world: World, seed: int) -> dict[str, Any]:
    """Write picture and masks; give back everything the tables need."""
    vignette = draw(seed, world)
    vignette.image.save(folder / "images" / _file(seed))
    Image.fromarray(vignette.codes).save(folder / "masks/parts" / _file(seed))
    owner = np.where(vignette.codes > 0, (vignette.codes - 1) // CODES_PER_THING + 1, 0).astype(np.uint8)
    Image.fromarray(owner).save(folder / "masks/instances" / _file(seed))
    return {
        "truth": vignette.truth.to_json(),
        "captions": [
            {"caption": caption.text, "marks": [vars(mark) for mark in caption.marks]} for caption in vignette.captions
        ],
        "questions": [vars(question) for question in vignette.questions],
        "instances": [_instance(vignette, i) for i in range(len(vignette.truth.things))],
    }


def _instance(vignette: Vignette, index: int) -> dict[str, Any]:
    thing, mask = vignette.truth.things[index], vignette.instances[index]
    ys, xs = np.nonzero(mask)
    x, y = int(xs.min()), int(ys.min())
    return {
        "category_id": KINDS.index(thing.kind) + 1,
        "segmentation": rle(mask),
        "area": int(mask.sum()),
        "bbox": [x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y],
        "iscrowd": 0,
        "attributes": {"colour": thing.colour, "texture": thing.texture, "scale": thing.scale},
        "parts": list(thing.parts),
    }


def _write_tables(folder: Path, split: str, world: World, records: list[dict[str, Any]]) -> None:
    info = {"description": f"mmcam vignettes, split {split}", "version": "1", "bias": world.bias}
    ids = [record["truth"]["seed"] for record in records]
    images = [{"id": i, "file_name": _file(i), "width": SIZE, "height": SIZE} for i in ids]
    categories = [
        {"id": i, "name": kind, "supercategory": next(f for f, kinds in _FAMILIES.items() if kind in kinds)}
        for i, kind in enumerate(KINDS, start=1)
    ]
    coco = {"info": info, "licenses": [], "images": images}
    captions = [{"image_id": i, **c} for i, r in zip(ids, records, strict=True) for c in r["captions"]]
    instances = [{"image_id": i, **a} for i, r in zip(ids, records, strict=True) for a in r["instances"]]
    _save(folder / "captions.json", {**coco, "annotations": _numbered(captions)})
    _save(folder / "instances.json", {**coco, "categories": categories, "annotations": _numbered(instances)})

    asked = [
        (i, _QUESTIONS_PER_IMAGE * i + k, question)
        for i, record in zip(ids, records, strict=True)
        for k, question in enumerate(record["questions"])
    ]
    vqa = {"info": info, "license": {}, "data_type": "vignettes", "data_subtype": split}
    questions = [{"image_id": i, "question": q["text"], "question_id": number} for i, number, q in asked]
    answers = [_annotation(i, number, q) for i, number, q in asked]
    _save(folder / "questions.json", {**vqa, "task_type": "Open-Ended", "questions": questions})
    _save(folder / "annotations.json", {**vqa, "annotations": answers})

    parts = {kind: [*shape.parts, *filter(None, [shape.optional])] for kind, shape in SHAPES.items()}
    code = f"1 + {CODES_PER_THING} * index of the thing + index of the part in the list of its kind"
    _save(folder / "masks/legend.json", {"instances": "1 + index of the thing", "parts": code, "kinds": parts})
    lines = [json.dumps(record["truth"]) + "\n" for record in records]
    (folder / "truth.jsonl").write_text("".join(lines), encoding="utf-8")


def _annotation(image_id: int, question_id: int, question: dict[str, Any]) -> dict[str, Any]:
    answer = question["answer"]
    return {
        "image_id": image_id,
        "question_id": question_id,
        "question_type": question["type"],
        "answer_type": "yes/no" if answer in ANSWERS[:2] else "number" if answer.isdigit() else "other",
        "multiple_choice_answer": answer,
        "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i in range(1, 11)],
        "things": question["things"],
    }


def _numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": i, **record} for i, record in enumerate(records, start=1)]


def _save(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
