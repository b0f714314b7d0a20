"""Networks that detect, with all their candidates: those of torchvision, and of transformers by their queries.

A detector's own forward ends in thresholds and the suppression of neighbours, behind which most candidates are gone.
Here its parts are called as its forward calls them, up to there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.segmenters import torchvision_preset
from mmcam.engine.computation import Forward
from mmcam.engine.outputs import Target
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Geometry, Preprocess, Proportional
from mmcam.tasks.detection import Chosen, Detector, Found, iou
from mmcam.tasks.names import Names, named

Sizes = Sequence[tuple[int, int]]

SAME = 0.01
"""What another query has to overlap a box by more, to be taken for it in a changed picture."""


@dataclass(frozen=True)
class Transformed(Proportional):
    """Pictures as a detector of torchvision makes them: its own resizing, normalisation and padding.

    Attributes:
        transform: the detector's.
    """

    transform: Any = None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The detector's input (3, H, W), padded at the right and below, and the geometry that leads back."""
        from torchvision.transforms.functional import pil_to_tensor

        mean = torch.as_tensor(self.transform.image_mean)
        bytes_ = pil_to_tensor(picture.convert("RGB")).to(mean.device, torch.float32)
        images, _ = self.transform([bytes_ / 255])
        (high, wide), x = images.image_sizes[0], images.tensors[0]
        scale = high / picture.height, wide / picture.width
        return x, Geometry((picture.height, picture.width), (x.shape[-2], x.shape[-1]), scale)

    @property
    def told(self) -> str:
        """What is done to a picture, in words, and by whom."""
        return f"resized and padded by {type(self.transform).__name__}"


@dataclass(frozen=True)
class TwoStage:
    """Faster R-CNN (Ren et al., arXiv 1506.01497) and what derives from it: proposals, each with a score of its own.

    The proposals are those of the picture as it is: in a changed one, the same place is scored.
    """

    model: Any
    names: Sequence[str] | None
    nothing: int | None = 0
    trunk: str = "backbone.body"

    def find(self, x: Tensor, sizes: Sizes) -> Found:
        """See `mmcam.tasks.detection.Detector`."""
        from torchvision.models.detection.image_list import ImageList

        features = _features(self.model, x)
        proposals, _ = self.model.rpn(ImageList(x, list(sizes)), features)
        logits, boxes = self._heads(features, proposals, sizes)
        counts = [len(each) for each in proposals]
        probabilities = logits.softmax(-1)
        probabilities[:, 0] = 0
        each = zip(boxes.split(counts), probabilities.split(counts), strict=True)
        filled = [(_filled(own, max(counts)), _filled(held, max(counts))) for own, held in each]
        return Found(torch.stack([own for own, _ in filled]), torch.stack([held for _, held in filled]), proposals)

    def ask(self, found: Found, sizes: Sizes, chosen: Sequence[Sequence[Chosen]]) -> tuple[Forward, list[Target]]:
        """See `mmcam.tasks.detection.Detector`."""
        own = [torch.stack([of[row[n].index] for row in chosen]) for n, of in enumerate(found.proposals)]

        def forward(x: Tensor, rows: Rows) -> Tensor:
            some = rows.spread(own)
            logits, _ = self._heads(_features(self.model, x), some, rows.spread(list(sizes)))
            return logits.view(len(some), len(chosen), -1)

        return forward, [lambda output, t=t: output[:, t] for t in range(len(chosen))]  # type: ignore[misc]

    def _heads(self, features: Any, proposals: Sequence[Tensor], sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Logits (P,C) and boxes (P,C,4) of all proposals."""
        heads = self.model.roi_heads
        pooled = heads.box_roi_pool(features, list(proposals), list(sizes))
        logits, regression = heads.box_predictor(heads.box_head(pooled))
        return logits, heads.box_coder.decode(regression, list(proposals))


@dataclass(frozen=True)
class OneStage:
    """RetinaNet, SSD and FCOS (arXiv 1708.02002, 1512.02325, 1904.01355): a score for every anchor, at fixed places."""

    model: Any
    names: Sequence[str] | None
    nothing: int | None
    trunk: str

    def find(self, x: Tensor, sizes: Sizes) -> Found:
        """See `mmcam.tasks.detection.Detector`."""
        from torchvision.models.detection.image_list import ImageList

        features = list(_features(self.model, x).values())
        made = self.model.head(features)
        anchors = self.model.anchor_generator(ImageList(x, list(sizes)), features)
        coder = self.model.box_coder
        if "bbox_ctrness" in made:  # FCOS
            boxes = [coder.decode(own, at) for own, at in zip(made["bbox_regression"], anchors, strict=True)]
            probabilities = (made["cls_logits"].sigmoid() * made["bbox_ctrness"].sigmoid()).sqrt()
        else:
            boxes = [coder.decode_single(own, at) for own, at in zip(made["bbox_regression"], anchors, strict=True)]
            softmax = self.nothing is not None
            probabilities = made["cls_logits"].softmax(-1) if softmax else made["cls_logits"].sigmoid()
        if self.nothing is not None:
            probabilities[..., self.nothing] = 0
        return Found(torch.stack(boxes), probabilities)

    def ask(self, found: Found, sizes: Sizes, chosen: Sequence[Sequence[Chosen]]) -> tuple[Forward, list[Target]]:
        """See `mmcam.tasks.detection.Detector`."""

        def forward(x: Tensor, rows: Rows) -> Tensor:
            logits: Tensor = self.model.head(list(_features(self.model, x).values()))["cls_logits"]
            return logits

        def read(row: Sequence[Chosen]) -> Target:
            at = [one.index for one in row]
            return lambda output: output[range(len(at)), at]

        return forward, [read(row) for row in chosen]


@dataclass(frozen=True)
class Queries:
    """DETR (Carion et al., arXiv 2005.12872) and its like in transformers: a class and a box for every query.

    In a changed picture a query may stand for another thing, above all where the picture chooses the queries: then the
    one that overlaps the box most is taken, which of several like ones is the same.
    """

    model: nn.Module
    names: Sequence[str] | None
    nothing: int | None = None
    trunk: str | None = None

    def find(self, x: Tensor, sizes: Sizes) -> Found:
        """See `mmcam.tasks.detection.Detector`."""
        output = self.model(x)
        logits, boxes = _queries_of(self.model, output)
        names = self.names
        if names is None or logits.shape[2] not in (len(names), len(names) + 1):
            raise ExplainError(
                f"{type(self.model).__name__} gives {logits.shape[2]} scores a query for {len(names or ())} named "
                "classes, so it is not known whether the last means that nothing is there; mend config.id2label."
            )
        softmax = logits.shape[2] == len(names) + 1
        return Found(_corners(boxes, sizes), logits.softmax(-1)[..., :-1] if softmax else logits.sigmoid())

    def ask(self, found: Found, sizes: Sizes, chosen: Sequence[Sequence[Chosen]]) -> tuple[Forward, list[Target]]:
        """See `mmcam.tasks.detection.Detector`."""
        count = found.probabilities.shape[2]

        def read(row: Sequence[Chosen]) -> Target:
            def logits_of(output: Any) -> Tensor:
                logits, boxes = _queries_of(self.model, output)
                corners = _corners(boxes.detach(), sizes)
                at = []
                for own, one in zip(corners, row, strict=True):
                    overlaps = iou(own.float(), one.box)
                    same = overlaps[one.index] >= overlaps.max() - SAME
                    at.append(one.index if same else int(overlaps.argmax()))
                return logits[range(len(at)), at, :count]

            return logits_of

        def forward(x: Tensor, rows: Rows) -> Any:
            return self.model(x)

        return forward, [read(row) for row in chosen]


def detector_of(model: nn.Module, names: Names | None = None) -> Detector:
    """A network as the task of detection takes it.

    Args:
        model: of torchvision, or one of transformers that was wrapped.
        names: the user's, instead of the model's.

    Raises:
        ExplainError: it is no detector that is known, or in training mode.
    """
    made = _known(model, None if names is None else named(names))
    if made is None:
        raise ExplainError(
            f"{type(model).__name__} gives no boxes that are known; pass a detector of torchvision, or one of "
            "transformers by mmcam.wrap(model, processor), or explain a class with mmcam.explain_class."
        )
    if model.training:
        raise ExplainError(
            f"{type(model).__name__} is in training mode, in which it proposes other boxes; call .eval()."
        )
    return made


def _known(model: Any, names: Sequence[str] | None) -> Detector | None:
    if getattr(model, "gives_boxes", False):
        return Queries(model, names or model.classes)
    if not all(hasattr(model, part) for part in ("transform", "backbone")):
        return None
    if hasattr(model, "rpn") and hasattr(model.roi_heads, "box_predictor"):
        count = int(getattr(model.roi_heads.box_predictor.cls_score, "out_features", 0))
        return TwoStage(model, names or _categories(model, count), trunk=_trunk(model))
    if not all(hasattr(model, part) for part in ("head", "anchor_generator", "box_coder")):
        return None
    count = int(model.head.classification_head.num_columns if hasattr(model.head.classification_head, "num_columns")
                else model.head.classification_head.num_classes)  # fmt: skip
    nothing = 0 if hasattr(model.head.classification_head, "num_columns") else None
    return OneStage(model, names or _categories(model, count), nothing, _trunk(model))


def _categories(model: nn.Module, count: int) -> Sequence[str] | None:
    """torchvision's names, for as many classes as its published weights have."""
    preset = torchvision_preset(model)
    own = getattr(model, "classes", None)
    if own is not None:
        return named(own)
    if preset is None or len(preset.meta["categories"]) != count:
        return None
    categories: Sequence[str] = preset.meta["categories"]
    return categories


def _trunk(model: Any) -> str:
    """The part of a backbone that all candidates are computed from: of several maps of a pyramid each sees one."""
    if hasattr(model.backbone, "body"):
        return "backbone.body"
    features = getattr(model.backbone, "features", None)
    if features is None:
        return "backbone"
    stacked = isinstance(features, nn.Sequential) and isinstance(features[0], nn.Sequential)  # SSDlite's two parts
    return "backbone.features.0" if stacked else "backbone.features"


def detector_preprocess(model: Any) -> Preprocess:
    """How a detector's pictures are made."""
    own = getattr(model, "preprocess", None)
    if isinstance(own, Preprocess):
        return own
    mean, std = (tuple(each) for each in (model.transform.image_mean, model.transform.image_std))
    return Transformed(mean=mean, std=std, transform=model.transform)


def _features(model: Any, x: Tensor) -> Any:
    """The maps of a backbone by level, a lone one as torchvision names it."""
    features = model.backbone(x)
    return {"0": features} if isinstance(features, Tensor) else features


def _queries_of(model: nn.Module, output: Any) -> tuple[Tensor, Tensor]:
    """Logits (N,Q,C) and boxes (N,Q,4) of an output.

    Raises:
        ExplainError: it holds none.
    """
    logits, boxes = getattr(output, "logits", None), getattr(output, "pred_boxes", None)
    if not isinstance(logits, Tensor) or not isinstance(boxes, Tensor) or logits.ndim != 3:
        raise ExplainError(f"{type(model).__name__} gives no logits (N,Q,C) and pred_boxes (N,Q,4) for queries.")
    return logits, boxes


def _corners(boxes: Tensor, sizes: Sizes) -> Tensor:
    """Boxes (N,Q,4) as centre and sides in shares of the picture, as corners in the input."""
    centre, sides = boxes[..., :2], boxes[..., 2:]
    scale = boxes.new_tensor([[wide, high, wide, high] for high, wide in sizes])[:, None]
    return torch.cat([centre - sides / 2, centre + sides / 2], -1) * scale


def _filled(rows: Tensor, count: int) -> Tensor:
    """Rows filled up with zeros: pictures have different numbers of proposals."""
    return torch.cat([rows, rows.new_zeros(count - len(rows), *rows.shape[1:])])
