"""What a map would look like that read the text and saw no picture: where the things it names usually are.

For every word or question the mean, over training pictures, of the mask of what it is about. A map of a model's that
does not point better than the maximum of this mean shows nothing that the text did not already say. The means of
vignettes are made once and kept under runs/text-prior:

    prior = text_prior("word")
    peak_on(expected(prior, "colour", "red"), (224, 224))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.numpy import load_file, save
from torch.nn.functional import adaptive_avg_pool2d

from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, NOUNS
from mmcam.files import write_whole

Kind = Literal["class", "word", "given word", "answer", "question word"]
Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]

KEPT: Final = Path("runs/text-prior")
PICTURES: Final = 2000
"""Of the training split."""
DRAWS: Final = 3
"""How often about twelve questions are asked of each, so that more texts are met often."""
SIDE: Final = 56
RARE: Final = 5
"""What was met less often has no mean of its own, only that of its category."""


def text_prior(kind: Kind, pictures: int = PICTURES) -> dict[str, Grid]:
    """Mean masks (56,56) of what texts are about, made or read.

    Args:
        kind: "class": a kind of thing, about all of them; "word" or "given word": of a true caption, said truly, about
            what `vignettes.captions.check` says; "answer": a question, about its things or the scene; "question word":
            a kind, colour, texture or size in a question, about everything it is true of.
        pictures: the first so many of the training split.

    Returns:
        By "CATEGORY/TEXT", as "colour/red" or "count/how many dogs are there", of each text met five times or more; and
        by "CATEGORY", the mean over all its texts. The category is that of the word or the type of the question.
    """
    return _prior("word" if kind == "given word" else kind, pictures, KEPT)


def expected(prior: Mapping[str, Grid], category: str, text: str) -> Grid:
    """The mean mask of a text; of one met less than five times that of its category.

    Raises:
        KeyError: the category was never met.
    """
    return prior[f"{category}/{text}"] if f"{category}/{text}" in prior else prior[category]


def on_grid(mask: Mask, side: int = SIDE) -> Grid:
    """A mask (H,W) in relative coordinates: the share of each of side×side cells that it covers."""
    return adaptive_avg_pool2d(torch.from_numpy(mask.astype(np.float32))[None], side)[0].numpy()


def peak_on(grid: Grid, size: tuple[int, int]) -> tuple[int, int]:
    """(x, y) of the middle of the highest cell in a picture of (width, height); the first of several as high."""
    y, x = np.unravel_index(int(np.argmax(grid)), grid.shape)
    return int((x + 0.5) * size[0] / grid.shape[1]), int((y + 0.5) * size[1] / grid.shape[0])


class Tally:
    """Means of masks by their text, and by its category."""

    def __init__(self) -> None:
        self.sums: defaultdict[str, Grid] = defaultdict(lambda: np.zeros((SIDE, SIDE), np.float32))
        self.counts: defaultdict[str, int] = defaultdict(int)

    def add(self, category: str, text: str, grid: Grid) -> None:
        """Count one mask; an empty one is about nothing that could be seen, and is passed over."""
        if not grid.any():
            return
        for key in (category, f"{category}/{text}"):
            self.sums[key] += grid
            self.counts[key] += 1

    def means(self) -> dict[str, Grid]:
        """Of each category, and of each text met often enough."""
        often = [key for key, count in self.counts.items() if "/" not in key or count >= RARE]
        return {key: self.sums[key] / np.float32(self.counts[key]) for key in often}


@cache
def _prior(kind: Kind, pictures: int, kept: Path) -> dict[str, Grid]:
    path = kept / f"{kind.replace(' ', '-')}-{pictures}.safetensors"
    if not path.exists():
        tally = Tally()
        for i in track(range(pictures), f"text prior of {kind}", transient=True):
            scene = vignettes.draw(vignettes.seed("train", i))
            for category, text, mask in _MEANT[kind](scene):
                tally.add(category, text, on_grid(mask))
        means = tally.means()
        write_whole(path, lambda file: file.write(save(means)))
    return dict(load_file(path))


Meant = Iterator[tuple[str, str, Mask]]  # category, text, what it is about


def _classes(scene: vignettes.Vignette) -> Meant:
    for kind in sorted({thing.kind for thing in scene.truth.things}):
        yield "object", kind, scene.kind_mask(kind)


def _words(scene: vignettes.Vignette) -> Meant:
    for caption in scene.captions:
        for word in vignettes.captions.check(caption.text, scene.truth):
            if word.correct:
                yield (
                    word.category,
                    word.word,
                    scene.scene_mask if word.category == "scene" else scene.mask(word.things),
                )


def _questions(scene: vignettes.Vignette) -> Meant:
    asked = [question for draw in range(DRAWS) for question in vignettes.questions.ask(scene.truth, draw=draw)]
    for question in {question.text: question for question in asked}.values():
        if question.things or question.type == "scene":
            mask = scene.mask(question.things) if question.things else scene.scene_mask
            yield question.type, question.text, mask


def _question_words(scene: vignettes.Vignette) -> Meant:
    for question in scene.questions:
        if question.things:
            for word in question.text.split():
                if word in NOUNS or word in ADJECTIVES:
                    yield ADJECTIVES.get(word, "object"), word, scene.mask(alike(word, scene))


def alike(word: str, scene: vignettes.Vignette) -> set[int]:
    """The things of which a word or answer is true by itself: a kind, colour, texture or size."""
    kind = NOUNS.get(word, word)
    return {
        j
        for j, thing in enumerate(scene.truth.things)
        if kind == thing.kind or word in (thing.colour, thing.texture, thing.scale)
    }


_MEANT: Final[dict[Kind, Callable[[vignettes.Vignette], Meant]]] = {
    "class": _classes,
    "word": _words,
    "answer": _questions,
    "question word": _question_words,
}
