"""Photographs with classes that are read from what people wrote of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from experiments.lib.tables import keep
from mmcam.datasets.captioned import Captioned, flickr8k

CLASSES: Final = {
    "bicycle": "bicycle bicycles bicyclist bicyclists bike bikes biker cyclist cyclists",
    "climbing": "climbing climber climbers climbs",
    "football": "soccer football",
    "snow": "snow snowy ski skis skier skiers skiing snowboard snowboarder snowboarding",
}
"""Words of which one stands in a caption of the class."""
NEVER: Final = frozenset({"motorcycle", "motorcycles", "motorbike", "motocross", "dirt"})
"""Their pictures are left out: people call motorcycles bikes."""
AGREE: Final = 4
"""Of five captions have to name the class, and none another one."""
SIZES: Final = {"bicycle": 70, "climbing": 30, "football": 70, "snow": 80}
"""At most so many pictures of each: one class is rare, as damage is."""


def class_of(captions: Sequence[str]) -> str | None:
    """The class of a picture that its captions agree on; None if they do not."""
    words = [set(re.findall("[a-z]+", caption.lower())) for caption in captions]
    if any(own & NEVER for own in words):
        return None
    counts = {name: sum(bool(own & set(kinds.split())) for own in words) for name, kinds in CLASSES.items()}
    there = [name for name, count in counts.items() if count]
    return there[0] if len(there) == 1 and counts[there[0]] >= AGREE else None


def write_labels(root: Path, table: Path, seed: int = 0) -> Path:
    """A table of Flickr8k's photographs with a class, as `mmcam finetune` reads it.

    Args:
        root: Flickr8k's folder.
        table: where it goes, ``.csv``.
        seed: of which are taken where there are more.
    """
    photos: list[Captioned] = [photo for part in flickr8k(root).values() for photo in part]
    of: dict[str, list[Path]] = {name: [] for name in CLASSES}
    for photo in photos:
        found = class_of(photo.captions)
        if found is not None:
            of[found].append(photo.path)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("picture", "class"))
    for number, (name, paths) in enumerate(of.items()):
        order = np.random.default_rng((seed, number)).permutation(len(paths))[: SIZES[name]]
        rows.writerows((str(sorted(paths)[i].absolute()), name) for i in sorted(order))
    keep(table, text.getvalue())
    return table
