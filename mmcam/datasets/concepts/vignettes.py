"""Vignettes as pictures with concepts: what every pixel shows is known exactly, of as many pictures as one likes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from mmcam.datasets.concepts import Concept, Labels
from mmcam.datasets.vignettes import COLOURS, KINDS, SCENES, TEXTURES, World, describe, image, render, seed
from mmcam.datasets.vignettes.shapes import SHAPES
from mmcam.datasets.vignettes.world import SPLIT_SIZE


def _concepts() -> tuple[Concept, ...]:
    parts = dict.fromkeys(part for s in SHAPES.values() for part in (*s.parts, s.optional) if part)
    textures = [texture for texture in TEXTURES if texture != "plain"]  # to be plain is to have none
    words = {"object": KINDS, "part": parts, "colour": COLOURS, "texture": textures, "scene": SCENES}
    return tuple(Concept(word, category) for category, names in words.items() for word in names)


CONCEPTS = _concepts()
"""The kinds of things, their parts (a bus's wheel and a car's are one concept), colours, textures and scenes."""

_NUMBERS = {(concept.category, concept.name): number for number, concept in enumerate(CONCEPTS, start=1)}


class VignetteConcepts:
    """The first `size` vignettes of a split.

    A thing's colour and texture are where it is painted with them, not its windows or wheels; the scene is where no
    thing is. See the masks of `mmcam.datasets.vignettes.Vignette`, of which label maps have every second pixel.

    Args:
        split: "train", "val", "test" or "heldout".
        size: number of pictures.
        world: the rules.

    Raises:
        ValueError: the split is unknown, or has fewer pictures.
    """

    concepts: Sequence[Concept] = CONCEPTS

    def __init__(self, split: str = "val", size: int = 1000, world: World = World()) -> None:  # noqa: B008 - frozen
        if not 0 < size <= SPLIT_SIZE:
            raise ValueError(f"A split has 1 … {SPLIT_SIZE} pictures, not {size}.")
        self._first, self._size, self._world = seed(split, 0), size, world
        rules = "".join(f", {kind} only in {scene}" for kind, scene in world.bias)
        self.name = f"vignettes ({split}, {size:,} pictures{rules})"

    def __len__(self) -> int:
        return self._size

    def picture(self, index: int) -> Image.Image:
        """A vignette, 224×224 RGB.

        Raises:
            IndexError: there is no such picture.
        """
        return Image.fromarray(image(self._seed(index), self._world))

    def labels(self, index: int) -> list[Labels]:
        """Four label maps, 112×112: kinds and the scene, parts, colours, textures. The picture is not drawn for them.

        Raises:
            IndexError: there is no such picture.
        """
        truth = describe(self._seed(index), self._world)
        meaning = np.zeros((4, 256), np.int32)  # what each code of a pixel says in each of the maps
        meaning[0, 0] = _NUMBERS["scene", truth.scene]
        for i, thing in enumerate(truth.things):
            painted = SHAPES[thing.kind].coloured_parts
            colour, texture = _NUMBERS["colour", thing.colour], _NUMBERS.get(("texture", thing.texture), 0)
            for j, part in enumerate(thing.parts):
                paint = (colour, texture) if part in painted else (0, 0)
                meaning[:, render.code(i, j)] = (_NUMBERS["object", thing.kind], _NUMBERS["part", part], *paint)
        return list(meaning[:, render.codes(truth)[::2, ::2]])

    def _seed(self, index: int) -> int:
        if not 0 <= index < self._size:
            raise IndexError(f"Picture {index} is outside 0 … {self._size - 1}.")
        return self._first + index
