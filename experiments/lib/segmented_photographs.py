"""Photographs with labels read from their captions, and COCO's with masks, as tables to learn and measure on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from rich.progress import track

from experiments.lib.coco_categories import mask_of
from experiments.lib.picture_tables import save_png, write_table
from mmcam.adapters.class_names import classes_of
from mmcam.datasets import visual_words
from mmcam.datasets.captioned import Captioned
from mmcam.diagnosis.meant import meant
from mmcam.errors import ExplainError

AGREE = 2
"""Captions of a photograph that have to name a category."""


def labelled(photographs: Sequence[Captioned]) -> dict[Path, list[str]]:
    """The categories that at least `AGREE` captions of each photograph name."""
    found = {}
    for photograph in track(photographs, "captions"):
        each = [{word.category for word in visual_words.named(text.split())} for text in photograph.captions]
        counts = Counter(name for names in each for name in names)
        found[photograph.path] = sorted(name for name, count in counts.items() if count >= AGREE)
    return found


def known_categories(model: Any, names: Iterable[str]) -> list[str]:
    """Those that mean classes of a model of ImageNet's."""
    classes = classes_of(model)
    known = []
    for name in names:
        try:
            meant([name], classes, len(classes.names or ()))
            known.append(name)
        except ExplainError:
            continue
    return known


def train_table(work: Path, labels: dict[Path, list[str]], categories: Sequence[str], most: int) -> Path:
    """A table of the photographs that show some of the categories, of each at most so many."""
    taken: Counter[str] = Counter()
    rows = []
    for path, own in labels.items():
        shown = [name for name in own if name in categories]
        if shown and any(taken[name] < most for name in shown):
            taken.update(shown)
            rows += [{"picture": str(path.absolute()), "class": name} for name in shown]
    return write_table(work / "photographs-train.csv", ("picture", "class"), rows)


def test_table(work: Path, coco: Any, pictures: Path, categories: Sequence[str]) -> Path:
    """A table of COCO's photographs that show some of the categories, with their masks, crowds included."""
    rows = []
    for entry in track(coco.loadImgs(coco.getImgIds()), "masks"):
        for name in categories:
            mask = mask_of(coco, entry, name)
            if mask is None:
                continue
            own = work / "coco" / f"{entry['id']}-{name.replace(' ', '-')}.png"
            save_png(own, Image.fromarray(mask))
            path = (pictures / entry["file_name"]).absolute()
            rows.append({"picture": str(path), "class": name, "mask": str(own.absolute())})
    return write_table(work / "photographs-test.csv", ("picture", "class", "mask"), rows)
