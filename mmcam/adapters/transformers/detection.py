"""Networks of transformers that detect by queries: DETR, YOLOS, RT-DETR, Conditional and Deformable DETR …"""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.whole_pictures import whole_or_fixed
from mmcam.errors import ExplainError


class QueryDetector(nn.Module):
    """A ``…ForObjectDetection``: for every query a class and a box."""

    gives_boxes = True

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.preprocess = whole_or_fixed(processor)
        labels = model.config.id2label
        self.classes = [str(labels[i]) for i in range(len(labels))]
        _, geometry = self.preprocess(Image.new("RGB", (90, 60)))
        if any(round(side * scale) != there for side, scale, there in zip(
            geometry.original, geometry.scale, geometry.input, strict=True
        )):  # fmt: skip
            raise ExplainError(
                f"The processor of {type(model).__name__} pads single pictures, and where the padding is would have to "
                "be told the model beside the picture; set its do_pad to False."
            )

    def forward(self, x: Tensor) -> Any:
        """Pictures (N,3,H,W) → the model's output, with ``logits`` (N,Q,C) and ``pred_boxes`` (N,Q,4)."""
        return self.model(pixel_values=x)
