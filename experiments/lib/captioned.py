"""What a captioner is trained and tested on: pictures that are encoded once, their captions, and what is known of them.

Vignettes come rendered (`experiments.train.render`); photographs from the official files (`mmcam.datasets.captioned`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.lib.pictures import Pictures, photographs, rendered
from experiments.lib.rendered import read
from mmcam.datasets import captioned
from mmcam.image import Preprocess
from models.speaker import UNKNOWN, split_words

Data = Literal["vignettes", "flickr8k", "karpathy"]
RARE = 5  # words that occur less often in training become UNKNOWN, as in neuraltalk2
CAPTIONS = 5  # a picture


@dataclass(frozen=True)
class Split:
    """Pictures, five captions of each (lists of words), and, of vignettes, what they show."""

    pictures: Pictures
    captions: list[list[list[str]]]
    records: list[dict[str, Any]] | None = None


def vignette_split(folder: Path, split: str) -> Split:
    """A rendered split."""
    pixels, records = read(folder, split)
    return Split(rendered(pixels), [[text.split() for text in record["captions"]] for record in records], records)


def photo_splits(data: Data, root: Path, pictures: Path | None, preprocess: Preprocess) -> dict[str, Split]:
    """The three splits of a set of captioned photographs."""
    if data == "flickr8k":
        splits = captioned.flickr8k(root)
    else:
        splits = captioned.karpathy(root, root.parent if pictures is None else pictures)
    return {
        name: Split(
            photographs([item.path for item in items], preprocess),
            [[split_words(text) for text in item.captions[:CAPTIONS]] for item in items],
        )
        for name, items in splits.items()
    }


def vocabulary_of(captions: Iterable[list[list[str]]]) -> tuple[str, ...]:
    """The words that occur at least `RARE` times, in alphabetical order, and UNKNOWN."""
    counts = Counter(word for own in captions for words in own for word in words)
    return (*sorted(word for word, n in counts.items() if n >= RARE), UNKNOWN)
