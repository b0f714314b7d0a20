"""Networks of transformers with an answer for every place.

They segment, as SegFormer, BEiT and UperNet, by queries as MaskFormer and Mask2Former, or estimate depth, as DPT
and Depth Anything.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmcam.adapters.transformers.whole_pictures import whole_or_fixed


class Segmenter(nn.Module):
    """A ``…ForSemanticSegmentation``, ``…ForInstanceSegmentation`` or ``…ForUniversalSegmentation``."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.preprocess = whole_or_fixed(processor)
        base = model.base_model_prefix
        if type(model).__name__.endswith("ForSemanticSegmentation") and isinstance(
            getattr(model, base, None), nn.Module
        ):
            self.picture_encoder = f"model.{base}"
        labels = model.config.id2label
        self.classes = [str(labels[i]) for i in range(len(labels))]

    def forward(self, x: Tensor) -> Any:
        """Pictures (N,3,H,W) → the model's output, with ``logits`` (N,C,h,w) or queries and their masks."""
        return self.model(pixel_values=x)


class DepthEstimator(nn.Module):
    """A ``…ForDepthEstimation``: one number for every place, in the model's own unit."""

    quantity = "depth"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.preprocess = whole_or_fixed(processor)
        self.classes = (self.quantity,)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,H,W) → depths (N,1,h,w)."""
        depths: Tensor = self.model(pixel_values=x).predicted_depth
        return depths[:, None]
