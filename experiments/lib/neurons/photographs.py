"""Photographs whose ImageNet class is known, as concepts: each class and each wider word over it is of the whole."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from mmcam.datasets.concepts import Concept, ConceptData, Labels
from mmcam.image import load_image


class ClassPhotographs:
    """The photographs of several folders, each with images/ and a labels.csv with the columns file and class_index.

    Words over the same classes ("dog", "domestic dog") are one concept, named by the shortest.

    Args:
        folders: of photographs.
        classes: names by index.
        wider: the classes under each wider word.
    """

    def __init__(self, folders: Sequence[Path], classes: Sequence[str], wider: Mapping[str, Sequence[int]]) -> None:
        self.name = f"photographs of {' and '.join(folder.name for folder in folders)}"
        words: dict[frozenset[int], str] = {frozenset([index]): name for index, name in enumerate(classes)}
        for word, under in wider.items():
            own = frozenset(under)
            if len(own) > 1:
                words[own] = min(words.get(own, word), word, key=lambda each: (len(each), each))
        self.concepts = tuple(Concept(word, "class") for word in words.values())
        self._of: list[list[Labels]] = [
            [number for number, own in enumerate(words, start=1) if index in own] for index in range(len(classes))
        ]
        self.rows = [
            (folder / "images" / row["file"], int(row["class_index"]))
            for folder in folders
            for row in csv.DictReader((folder / "labels.csv").read_text(encoding="utf-8").splitlines())
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, index: int) -> Image.Image:
        """A photograph."""
        return load_image(self.rows[index][0])

    def labels(self, index: int) -> Sequence[Labels]:
        """Its class and the wider words over it."""
        return self._of[self.rows[index][1]]


class Some:
    """Some of the pictures of another data set.

    Args:
        data: all of them.
        chosen: their indices.
        name: of the part.
    """

    def __init__(self, data: ConceptData, chosen: Sequence[int], name: str) -> None:
        self.data, self.chosen = data, chosen
        self.concepts, self.name = data.concepts, f"{data.name}, {name}"

    def __len__(self) -> int:
        return len(self.chosen)

    def picture(self, index: int) -> Image.Image:
        """Of the chosen."""
        return self.data.picture(self.chosen[index])

    def labels(self, index: int) -> Sequence[Labels]:
        """Of the chosen."""
        return self.data.labels(self.chosen[index])
