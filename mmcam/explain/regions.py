"""Why are these pixels of this class?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from torch import nn

from mmcam.adapters.segmenters import segmenter_classes, segmenter_preprocess
from mmcam.engine.modules import unwrap
from mmcam.explain.chunks import Errors, Way, at_a_time, explain_each
from mmcam.explain.explained import How, Layers
from mmcam.explain.placed import Places, explain_places
from mmcam.explanation import Explanation, Explanations
from mmcam.image import Batch, preprocess_of
from mmcam.looked import Pictured, opened
from mmcam.methods.registry import Fusion
from mmcam.preparation import as_assumed, by_channels
from mmcam.tasks import segmentation
from mmcam.tasks.asked import Asked
from mmcam.tasks.names import Names
from mmcam.tasks.region import RegionLike, read_regions
from mmcam.tasks.segmentation import Wanted


@overload
def explain_region(
    model: nn.Module,
    images: Pictured,
    region: RegionLike,
    target: int | str | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation: ...
@overload
def explain_region(
    model: nn.Module,
    images: Sequence[Pictured],
    region: RegionLike,
    target: int | str | Sequence[int | str | None] | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_region(
    model: nn.Module,
    images: Iterable[Any],
    region: RegionLike,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[Explanation]: ...
@overload
def explain_region(
    model: nn.Module,
    images: Any,
    region: RegionLike,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any: ...
def explain_region(
    model: Any,
    images: Any,
    region: Any,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture made a network say what it says of a region of it.

    The score is the mean of the class's scores over the region's pixels, after Vinogradova et al. (SEG-Grad-CAM, arXiv
    2002.11434); of a network that answers by queries, each a class and a mask, the class's logit of the query that
    holds the region (see `mmcam.tasks.segmentation`).

    Args:
        model: any module from pictures to scores of places (N,C,h,w), also in a mapping or tuple, as torchvision's and
            segmentation_models_pytorch's; a SegFormer, Mask2Former, DPT … of transformers by `mmcam.wrap`.
        images: a picture, a list or a stream of them, as in `explain_class`.
        region: in pixels of the original picture: a mask bool (H,W), as an array, a tensor, a picture or its path; a
            box (left, top, right, bottom); or a click (x, y). For one picture, a list asks for several regions; for a
            list of pictures, a list holds one entry a picture, each a region or a list of them.
        target: a class by index or name; default the one that most of the region's pixels got. For one picture, a list
            holds one for each of its regions, or asks for several of its one region.
        contrast: a second class; the score becomes the difference.
        names: of the classes, as in `explain_class`; default what the model or torchvision says.
        layer, fuse, method, call, options: as in `attribute`. By default the end of the network's encoder: later maps
            show where the class is, not what it was seen by.
        preprocess: as in `explain_class`; default the model's own or torchvision's, else the whole picture, its shorter
            side at most 520, both sides multiples of 32.
        batch_size, errors: as in `explain_class`.

    Returns:
        An Explanation, whose ``region`` is outlined in what is drawn; lists as in `explain_class`.

    Raises:
        ExplainError: a region that is none, is empty, or lies outside of the picture or of what the model is shown; an
            unknown class; a model that gives no scores of places; a contrast that is the target itself.
        PictureError: a picture that cannot be used.

    Example:
        >>> mmcam.explain_region(deeplab, "photo.jpg", (120, 80)).save("why-this-pixel.png")
    """
    module = unwrap(model)
    regions = read_regions(region)
    classes, how = segmenter_classes(module, names), How(layer, method, call, options, fuse)
    made, assumed = segmenter_preprocess(module) if preprocess is None else (preprocess_of(preprocess), False)
    made = by_channels(module, made) if preprocess is None else made

    def ask(some: Batch, rows: list[Places], listed: list[bool]) -> Asked:
        wanted = [[Wanted(*each) for each in row] for row in rows]
        return segmentation.ask(module, some, wanted, listed, contrast, classes)

    way = Way(
        lambda picture: as_assumed(opened(module, picture, made), assumed),
        explain_places(module, "region", ask, how),
        at_a_time(module, batch_size, made),
        errors,
    )
    return explain_each(images, {"region": regions, "target": target}, way)
