"""A world of small scenes in which everything is known: what is where, of which colour, and what is true to say.

>>> from mmcam.datasets import vignettes
>>> vignette = vignettes.draw(vignettes.seed("val", 3))
>>> vignette.image.size, len(vignette.captions)
((224, 224), 5)

One picture follows from one seed. `describe` says what it shows without drawing it, `draw` gives the picture
with captions, questions and masks, `image` only its pixels. ``dataset`` feeds them to PyTorch, ``export``
writes them in the formats of COCO and VQA, ``sheet`` puts many on one page.
"""

from mmcam.datasets.vignettes import captions, questions
from mmcam.datasets.vignettes.captions import Caption, Checked, Mark
from mmcam.datasets.vignettes.questions import Question
from mmcam.datasets.vignettes.truth import SIZE, Thing, Truth
from mmcam.datasets.vignettes.vignette import Vignette, draw, image
from mmcam.datasets.vignettes.world import (
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_SCENES,
    KINDS,
    OPTIONAL_PARTS,
    SCALES,
    SCENES,
    SPLITS,
    TEXTURES,
    World,
    describe,
    seed,
)

__all__ = [
    "COLOURS",
    "HELD_OUT_COLOURS",
    "HELD_OUT_SCENES",
    "KINDS",
    "OPTIONAL_PARTS",
    "SCALES",
    "SCENES",
    "SIZE",
    "SPLITS",
    "TEXTURES",
    "Caption",
    "Checked",
    "Mark",
    "Question",
    "Thing",
    "Truth",
    "Vignette",
    "World",
    "captions",
    "describe",
    "draw",
    "image",
    "questions",
    "seed",
]
