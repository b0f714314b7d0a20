"""A picture that a model has looked at, and what its encoder gave: both take a picture's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image
from torch import Tensor, nn

from mmcam.engine.kept import keep
from mmcam.engine.modules import layer_name
from mmcam.errors import ExplainError
from mmcam.image import Batch, PictureLike, joined
from mmcam.image.batch import AS_GIVEN
from mmcam.places.find import remembered
from mmcam.preparation import batch_of, placed


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture that a model has looked at; it stands in a picture's place in the explain functions.

    What is kept: the output of the model's encoder at one layer and, of what came before it, only what is still read
    behind it; and the prepared picture. It is kept on the model's device as long as this is, the model with it, and is
    right as long as the encoder has the weights it had.

    Attributes:
        image: what the picture looks like, RGB.
        layer: dotted name of the layer up to which the encoder need not run again.
    """

    image: Image.Image = field(repr=False)
    layer: str
    _batch: Batch = field(repr=False)
    _preprocess: Any = field(repr=False)

    def as_input(self, model: nn.Module, preprocess: Any) -> Batch:
        """It as a model takes it, with what is kept if it was this model that looked, prepared alike.

        Raises:
            ExplainError: the model's encoder has other weights now.
        """
        (kept,) = self._batch.kept
        if kept.model is not model or not (preprocess is None or _alike(preprocess, self._preprocess)):
            prepared = self._batch.preparations[0] == AS_GIVEN or self._batch.x.shape[1] not in (1, 3)
            return batch_of(model, [self._batch.x[0] if prepared else self.image], preprocess)
        if kept.stale:
            raise ExplainError(
                f"The weights of {type(model).__name__} have changed since it looked at the picture; look again, with "
                "mmcam.look."
            )
        return self._batch


Pictured = PictureLike | Looked
"""What the explain functions take for a picture."""


def opened(model: nn.Module, picture: Any, preprocess: Any) -> Batch:
    """A picture as a model takes it; a `Batch` was prepared before, in another process for example.

    Raises:
        PictureError: it cannot be used.
        ExplainError: it was looked at with other weights.
    """
    if isinstance(picture, Looked):
        return picture.as_input(model, preprocess)
    if isinstance(picture, Batch):
        return placed(model, picture)
    return batch_of(model, [picture], preprocess)


def batch_with(model: nn.Module, images: Any, preprocess: Any) -> Batch:
    """The same as `mmcam.preparation.batch_of`, also of pictures that were looked at or prepared before.

    Raises:
        PictureError, ExplainError: as `opened`.
    """
    listed = isinstance(images, Sequence) and not isinstance(images, str)
    if not any(isinstance(each, (Looked, Batch)) for each in (images if listed else [images])):
        return batch_of(model, images, preprocess)
    if not listed:
        return replace(opened(model, images, preprocess), single=True)
    return joined([opened(model, each, preprocess).rows([0]) for each in images])


def with_kept(model: nn.Module, batch: Batch, layer: Any, forward: Callable[[Tensor], Any]) -> Batch:
    """A batch whose encoder's outputs are kept for all that is asked of it, if they can be.

    Args:
        model: says in ``picture_encoder`` which module sees the pictures alone; else nothing is kept.
        batch: the pictures; what is kept of them already stays.
        layer: that will be explained. Where the default one is not known yet, the encoder's last output is kept, from
            which texts are written.
        forward: runs the model on them.
    """
    encoder = getattr(model, "picture_encoder", None)
    # A module of that name is no declaration.
    if batch.kept or not isinstance(encoder, str) or isinstance(layer, (list, tuple)):
        return batch
    name = (remembered(model, batch.x) or encoder) if layer is None else layer_name(model, layer)
    kept = keep(model, forward, batch.x, encoder, name)
    return batch if kept is None else replace(batch, kept=(kept,))


def _alike(one: Any, other: Any) -> bool:
    """Whether two preparations are one."""
    return one is other or bool(one == other)
