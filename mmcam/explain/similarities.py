"""Which part of a picture made it fit a text?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import Explanation
from mmcam.image import PictureLike
from mmcam.methods.registry import Fusion
from mmcam.preparation import batch_of
from mmcam.tasks import similarity


@overload
def explain_similarity(
    model: nn.Module,
    images: PictureLike,
    text: str,
    *,
    contrast: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Sequence[PictureLike],
    text: str | Sequence[str],
    *,
    contrast: str | Sequence[str] | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> list[Explanation]: ...
@torch.inference_mode(False)
def explain_similarity(
    model: Any,
    images: Any,
    text: str | Sequence[str],
    *,
    contrast: str | Sequence[str] | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made it fit a text.

    Args:
        model: compares pictures and texts (see `mmcam.SimilarityModel`), e.g. a wrapped CLIP.
        images: a picture or a list of them (see `mmcam.image.prepare`).
        text: one for all pictures, or one each.
        contrast: another text; the score becomes the difference, "why rather this than that".
        layer, fuse, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation; a list of them for a list of pictures.

    Raises:
        ExplainError: no such model; not one text a picture; a contrast that is the text itself.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    similarity.check_similarity(module)
    batch = batch_of(module, images, preprocess)
    asked = similarity.ask(module, batch, text, contrast)
    return explanations(asked, How(layer, method, call, options, fuse)).as_listed()
