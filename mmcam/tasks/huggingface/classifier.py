"""Image classifiers of transformers: ResNet, ConvNeXt, RegNet, EfficientNet, ViT, DeiT, BEiT, Swin, timm's …"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmcam.tasks.huggingface.pictures import checked, preprocess_from


class Classifier(nn.Module):
    """Logits of a ``…ForImageClassification``; its default layer is found as in any network."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        # Classifiers come with any processor, and some keep a rule for their cut that no setting shows.
        self.preprocess = checked(preprocess_from(processor))
        labels = model.config.id2label
        self.classes = [str(labels[i]) for i in range(len(labels))]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,H,W) → logits (N, classes)."""
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def adapt(model: Any, processor: Any) -> Classifier:
    """See `mmcam.wrap`.

    Raises:
        ExplainError: the processor makes pictures of no fixed size, or by a rule of its own.
    """
    return Classifier(model, processor)
