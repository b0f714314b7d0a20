"""Categories in COCO's photographs: their masks, the words of captions that name them, and where else they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.lib.text_prior import Grid, Tally, on_grid
from mmcam.datasets import visual_words
from mmcam.datasets.captioned import read_text


def references(file: Path) -> dict[int, list[str]]:
    """What people wrote about each photograph: COCO's captions by the picture's id."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for entry in json.loads(read_text(file))["annotations"]:
        found[entry["image_id"]].append(entry["caption"])
    return dict(found)


def usual_places(coco: Any) -> Tally:
    """The sums of the masks of each category, one mask a photograph, on a common grid."""
    usual = Tally()
    for entry in coco.loadImgs(coco.getImgIds()):
        for category, grid in grids_of(coco, entry).items():
            usual.add("thing", category, grid)
    return usual


def grids_of(coco: Any, entry: dict[str, Any]) -> dict[str, Grid]:
    """The mask of each category of a photograph on the grid."""
    present = {annotation["category_id"] for annotation in coco.loadAnns(coco.getAnnIds(entry["id"]))}
    masks = {category["name"]: mask_of(coco, entry, category["name"]) for category in coco.loadCats(sorted(present))}
    return {name: on_grid(mask) for name, mask in masks.items() if mask is not None}


def elsewhere(usual: Tally, own: Mapping[str, Grid], category: str) -> Grid:
    """Where a category is in the other photographs, as a sum of masks.

    Where no other one shows it, the sum of all of their things: a map that has only read the word knows no more.
    """
    others = usual.sums[f"thing/{category}"] - own[category]
    if usual.counts[f"thing/{category}"] > 1:
        return others
    return usual.sums["thing"] - np.sum(list(own.values()), axis=0)


def named(caption: str, coco: Any, entry: dict[str, Any], size: tuple[int, int]) -> Iterator[tuple[int, str, NDArray]]:
    """Position, category and mask (H, W) of the words of a caption that name a category which is there."""
    for word in visual_words.named(caption.split()):
        mask = mask_of(coco, entry, word.category)
        if mask is not None and mask.shape == size[::-1]:
            yield word.position, word.category, mask


def mask_of(coco: Any, entry: dict[str, Any], category: str) -> NDArray[np.bool_] | None:
    """The pixels (H, W) of all instances of a category in a photograph, crowds included; None where it is not there."""
    if not (known := coco.getCatIds([category])):  # pycocotools takes no category for all
        return None
    annotations = coco.loadAnns(coco.getAnnIds(entry["id"], known))
    if not annotations:
        return None
    mask: NDArray[np.bool_] = np.any([coco.annToMask(each).astype(bool) for each in annotations], axis=0)
    return mask if mask.any() else None
