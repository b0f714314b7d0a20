"""Why is this box of this class, or why was nothing found here?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from torch import nn

from mmcam.adapters.detectors import detector_of, detector_preprocess
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.explain.chunks import Errors, Way, at_a_time, explain_each
from mmcam.explain.explained import How, Layers
from mmcam.explain.placed import Places, explain_places
from mmcam.explanation import Explanation, Explanations
from mmcam.image import Batch, preprocess_of
from mmcam.looked import Pictured, opened
from mmcam.methods.registry import Fusion
from mmcam.tasks import detection
from mmcam.tasks.asked import Asked
from mmcam.tasks.detection import Wanted
from mmcam.tasks.names import Names, short
from mmcam.tasks.region import RegionLike, read_regions


@overload
def explain_box(
    model: nn.Module,
    images: Pictured,
    box: RegionLike = None,
    target: int | str | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    threshold: float = 0.5,
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
def explain_box(
    model: nn.Module,
    images: Sequence[Pictured],
    box: RegionLike = None,
    target: int | str | Sequence[int | str | None] | None = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    threshold: float = 0.5,
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
def explain_box(
    model: nn.Module,
    images: Iterable[Any],
    box: RegionLike = None,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    threshold: float = 0.5,
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
def explain_box(
    model: nn.Module,
    images: Any,
    box: RegionLike = None,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    threshold: float = 0.5,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any: ...
def explain_box(
    model: Any,
    images: Any,
    box: Any = None,
    target: Any = None,
    *,
    contrast: int | str | None = None,
    names: Names | None = None,
    threshold: float = 0.5,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture made a detector give a box its class, or kept it from finding one there.

    The score is the class's logit of one candidate of the detector, before thresholds and the suppression of
    neighbours: the one that overlaps the box most, or the most confident one.

    Args:
        model: a detector of torchvision (Faster R-CNN and what derives from it, RetinaNet, SSD, SSDlite, FCOS), or one
            of transformers that answers by queries (DETR, YOLOS, RT-DETR …) by `mmcam.wrap`.
        images: a picture, a list or a stream of them, as in `explain_class`.
        box: (left, top, right, bottom) in pixels of the original picture; default that of the most confident candidate,
            of the target where one is given. Several as in `explain_region`.
        target: a class by index or name; default the candidate's most probable one. Box and class together ask also
            why there was nothing found: "why no dog here".
        contrast: a second class; the score becomes the difference.
        names: of the classes, as in `explain_class`, with one for the background where the model counts it.
        threshold: the probability from which the explanation says that the candidate is found.
        layer, fuse, method, call, options: as in `attribute`. By default the end of the detector's encoder, or, of what
            comes before a feature pyramid, the end: all candidates are computed from it.
        preprocess: by default what the model or its processor does.
        batch_size, errors: as in `explain_class`.

    Returns:
        An Explanation; its ``candidate`` says which candidate it was, its box, the IoU and the probability, and its
        ``region``, the box, is outlined in what is drawn. Lists as in `explain_class`.

    Raises:
        ExplainError: a box that is none, lies outside of the picture, or that no candidate overlaps; an unknown class;
            a model that is no detector; a contrast that is the target itself.
        PictureError: a picture that cannot be used.

    Example:
        >>> mmcam.explain_box(detector, "photo.jpg").save("why-this-box.png")
        >>> mmcam.explain_box(detector, "photo.jpg", (40, 60, 200, 180), "dog").claim
        'It finds no “dog” at the box (40, 60, 200, 180)'
    """
    module = unwrap(model)
    boxes = read_regions(box, boxes=True)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise ExplainError(f"threshold= is a probability from 0 to 1, and {short(threshold)} is none.")
    detector, how = detector_of(module, names), How(layer, method, call, options, fuse)
    made = detector_preprocess(module) if preprocess is None else preprocess_of(preprocess)

    def ask(some: Batch, rows: list[Places], listed: list[bool]) -> Asked:
        wanted = [[Wanted(*each) for each in row] for row in rows]
        return detection.ask(detector, some, wanted, listed, contrast, threshold)

    way = Way(
        lambda picture: opened(module, picture, made),
        explain_places(module, "box", ask, how, detector.trunk or ""),
        at_a_time(module, batch_size, made),
        errors,
    )
    return explain_each(images, {"box": boxes, "target": target}, way)
