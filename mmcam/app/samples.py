"""Pictures to begin with: photographs that ship, and scenes that are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from PIL import Image

from mmcam.datasets import vignettes
from mmcam.datasets.photographs import Photograph, photographs
from mmcam.errors import ExplainError
from mmcam.image import load_image

SEEDS = (20000123, 20000007, 20000019)
"""Of the drawn scenes, all of the test split."""


@dataclass(frozen=True)
class Sample:
    """A picture that ships.

    Attributes:
        name: in links.
        told: what it shows, for those who do not see it.
        credit: whose it is.
        question: one about it.
        drawn: it is a vignette, which other models know than photographs.
        code: Python that gives the picture.
        open: gives it.
    """

    name: str
    told: str
    credit: str
    question: str
    drawn: bool
    code: str
    open: Callable[[], Image.Image]


@cache
def samples() -> dict[str, Sample]:
    """All by name, photographs first."""
    both = [*(_photograph(one) for one in photographs()), *(_vignette(seed) for seed in SEEDS)]
    return {sample.name: sample for sample in both}


def sample(name: str) -> Sample:
    """One by name.

    Raises:
        ExplainError: there is none of that name.
    """
    if name not in samples():
        raise ExplainError(f"There is no sample {name[:60]!r}; there are {', '.join(samples())}.")
    return samples()[name]


def _photograph(one: Photograph) -> Sample:
    return Sample(
        one.path.stem, one.told, f"Photograph: {one.credit}", one.question, False,
        f"mmcam.datasets.photographs.FOLDER / {one.path.name!r}", lambda: load_image(one.path),
    )  # fmt: skip


def _vignette(seed: int) -> Sample:
    scene = vignettes.draw(seed)
    about = next((q for q in scene.questions if q.things and q.type in ("colour", "kind")), scene.questions[0])
    return Sample(
        f"vignette-{seed}", scene.captions[0].text, f"A scene drawn by mmcam, seed {seed}", about.text, True,
        f"mmcam.datasets.vignettes.draw({seed}).image", lambda: vignettes.draw(seed).image,
    )  # fmt: skip
