"""Pictures whose pixels are labelled with concepts: what neurons are compared with to find their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.integer] | int
"""Which concept every place of a picture shows: (h,w), spanning the picture at any resolution; or one number for the
whole picture, as of a scene. A number n means ``concepts[n - 1]``; 0 means none."""


@dataclass(frozen=True)
class Concept:
    """A name with masks.

    Attributes:
        name: "ear", "striped"; two concepts may share it if their categories differ.
        category: "object", "part", "colour", "texture", "scene", …
    """

    name: str
    category: str


class ConceptData(Protocol):
    """What `mmcam.dissect` reads; any object that has these will do."""

    @property
    def name(self) -> str:
        """What a dissection says it was made with, e.g. "Broden (broden1_224)"."""

    @property
    def concepts(self) -> Sequence[Concept]:
        """All concepts, each once."""

    def __len__(self) -> int:
        """Number of pictures."""

    def picture(self, index: int) -> Image.Image:
        """A picture as RGB.

        Raises:
            PictureError: it cannot be read; a dissection notes this and goes on.
        """

    def labels(self, index: int) -> Sequence[Labels]:
        """Everything that is labelled in a picture; several label maps where concepts overlap.

        Raises:
            PictureError: they cannot be read.
        """
