"""Image classifiers of transformers: ResNet, ConvNeXt, RegNet, EfficientNet, ViT, DeiT, BEiT, Swin, timm's …"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import checked, preprocess_from

CONVOLUTIONAL = ("bit", "convnext", "convnextv2", "regnet", "resnet")
"""Families, by the name of their base, whose map leaves the last of ``encoder.stages``."""


class Classifier(nn.Module):
    """Logits of a ``…ForImageClassification``.

    The base of a convolutional one hands on its map and beside it the pooled vector, which alone is read. So the layer
    is named here; that of other families is found as in any network.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        # Classifiers come with any processor, and some keep a rule for their cut that no setting shows.
        self.preprocess = checked(preprocess_from(processor))
        labels = model.config.id2label
        self.classes = [str(labels[i]) for i in range(len(labels))]
        base = model.base_model_prefix
        if base in CONVOLUTIONAL:
            stages = getattr(model, base).encoder.stages
            self.explain_layer = f"model.{base}.encoder.stages.{len(stages) - 1}"
        elif base == "efficientnet":
            self.explain_layer = "model.efficientnet.encoder.top_activation"

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,H,W) → logits (N, classes)."""
        logits: Tensor = self.model(pixel_values=x).logits
        return logits
