"""A data set that is read several times, perhaps by several runs, and has to give the same pictures each time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcam.datasets.concepts import ConceptData, Labels
from mmcam.errors import ExplainError, PictureError

SAMPLE = 16
"""Pictures that are read once more when an interrupted run goes on."""


class SamePictures:
    """Another's pictures and labels, each told by a digest: another picture or label than the first time is an error.

    Args:
        data: what is read.
    """

    def __init__(self, data: ConceptData) -> None:
        self.data = data
        self.name, self.concepts = data.name, data.concepts
        self.digests = {kind: torch.zeros(len(data), dtype=torch.long) for kind in ("pictures", "labelled")}
        """By kind and index; 0 where nothing was read yet."""

    def __len__(self) -> int:
        return len(self.data)

    def picture(self, index: int) -> Image.Image:
        """As of the data set.

        Raises:
            PictureError: it cannot be read.
            ExplainError: it is another one than before.
        """
        picture = self.data.picture(index)
        self._check("pictures", index, [picture])
        return picture

    def labels(self, index: int) -> Sequence[Labels]:
        """As of the data set.

        Raises:
            PictureError: they cannot be read.
            ExplainError: they are others than before.
        """
        labels = self.data.labels(index)
        self._check("labelled", index, labels)
        return labels

    def go_on(self, digests: dict[str, Tensor]) -> None:
        """Take over what an earlier run has read, once some of it has been read again; the rest is, when it is read.

        Raises:
            ExplainError: it is not the same.
        """
        self.digests = digests
        known = digests["pictures"].nonzero()[:, 0].tolist()
        for place in np.linspace(0, len(known) - 1, min(SAMPLE, len(known))).round().astype(int).tolist():
            index = known[place]
            try:
                self.picture(index)
                if digests["labelled"][index]:
                    self.labels(index)
            except PictureError as error:
                raise _changed(self.name, index) from error

    def _check(self, kind: str, index: int, values: Sequence[Any]) -> None:
        known, digest = self.digests[kind], _digest(values)
        if known[index] not in (0, digest):
            raise _changed(self.name, index)
        known[index] = digest


def _changed(name: str, index: int) -> ExplainError:
    return ExplainError(
        f"Picture {index} of {name}, or its labels, are others than when the dissection began; delete the file of "
        "resume= and begin anew, with pictures that stay as they are."
    )


def _digest(values: Sequence[Any]) -> int:
    """A number of 63 bits that hardly two contents share; never 0."""
    digest = hashlib.blake2b(digest_size=8)
    for value in values:
        array = np.ascontiguousarray(value)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return int.from_bytes(digest.digest(), "big") >> 1 or 1
