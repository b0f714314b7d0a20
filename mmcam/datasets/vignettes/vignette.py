"""One picture with everything that is true of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcam.datasets.vignettes import captions as _captions
from mmcam.datasets.vignettes import questions as _questions
from mmcam.datasets.vignettes import render
from mmcam.datasets.vignettes.captions import Caption, Mark
from mmcam.datasets.vignettes.questions import Question
from mmcam.datasets.vignettes.shapes import SHAPES
from mmcam.datasets.vignettes.truth import Thing, Truth
from mmcam.datasets.vignettes.world import World, describe

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Vignette:
    """A picture, its truth, and masks of what is visible in it.

    Attributes:
        image: 224×224, RGB.
        truth: the scene and the things.
        codes: (224, 224) uint8, which part of which thing every pixel shows; see ``render.codes``.
    """

    image: Image.Image
    truth: Truth
    codes: NDArray[np.uint8]

    @cached_property
    def captions(self) -> list[Caption]:
        """Five true captions."""
        return _captions.write(self.truth)

    @cached_property
    def questions(self) -> list[Question]:
        """About twelve questions, all types in turn; ``questions.ask`` has more."""
        return _questions.ask(self.truth)

    @cached_property
    def instances(self) -> Mask:
        """(n, 224, 224): the visible pixels of every thing, outline included."""
        return np.equal(self._owner[None], np.arange(len(self.truth.things))[:, None, None])

    @property
    def scene_mask(self) -> Mask:
        """(224, 224): the pixels of no thing."""
        return np.equal(self.codes, 0)

    def mask(self, things: Iterable[int]) -> Mask:
        """(224, 224): the visible pixels of these things together."""
        return np.isin(self._owner, list(things))

    def mark_mask(self, mark: Mark) -> Mask:
        """(224, 224): what a word of a caption is about; for a scene word the pixels of no thing."""
        return self.scene_mask if mark.category == "scene" else self.mask(mark.things)

    def part_mask(self, thing: int, part: str) -> Mask:
        """(224, 224): the visible pixels of one part of a thing; none where the thing lacks it."""
        parts = self.truth.things[thing].parts
        if part not in parts:
            return np.zeros(self.codes.shape, dtype=bool)
        return np.equal(self.codes, render.code(thing, parts.index(part)))

    def kind_mask(self, kind: str) -> Mask:
        """(224, 224): the visible pixels of all things of a kind."""
        return self.mask(self._where(lambda thing: thing.kind == kind))

    def scale_mask(self, scale: str) -> Mask:
        """(224, 224): the visible pixels of all things of a scale."""
        return self.mask(self._where(lambda thing: thing.scale == scale))

    def colour_mask(self, colour: str) -> Mask:
        """(224, 224): the parts that have this colour, of all things of this colour (not a red car's wheels)."""
        return self._coloured(self._where(lambda thing: thing.colour == colour))

    def texture_mask(self, texture: str) -> Mask:
        """(224, 224): the parts that have this texture, of all things of this texture."""
        return self._coloured(self._where(lambda thing: thing.texture == texture))

    @cached_property
    def _owner(self) -> NDArray[np.int16]:
        """(224, 224): the index of the thing, below 0 where there is none."""
        return (self.codes.astype(np.int16) - 1) // render.CODES_PER_THING

    def _where(self, true: Callable[[Thing], bool]) -> list[int]:
        return [i for i, thing in enumerate(self.truth.things) if true(thing)]

    def _coloured(self, things: Iterable[int]) -> Mask:
        mask = np.zeros(self.codes.shape, dtype=bool)
        for i in things:
            for part in SHAPES[self.truth.things[i].kind].coloured_parts:
                mask |= self.part_mask(i, part)
        return mask


def draw(seed: int, world: World = World()) -> Vignette:  # noqa: B008 - frozen
    """The picture with this seed; the same seed gives the same bytes.

    Raises:
        ValueError: if the seed belongs to no split.
    """
    truth = describe(seed, world)
    return Vignette(Image.fromarray(render.picture(truth)), truth, render.codes(truth))


def image(seed: int, world: World = World()) -> NDArray[np.uint8]:  # noqa: B008 - frozen
    """(224, 224, 3) uint8: the pixels of ``draw(seed, world).image`` without masks, faster.

    Raises:
        ValueError: if the seed belongs to no split.
    """
    return render.picture(describe(seed, world))
