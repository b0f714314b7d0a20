"""What the classes of a network are called, by its own word or that of the library it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from mmcam.adapters.timm import timm_classes


def class_names(model: nn.Module) -> Sequence[str] | None:
    """The names of a model's classes, in order; None where nothing says.

    They are the model's own ``classes``, its ``config.id2label``, or ImageNet's for a classifier of torchvision or timm
    with as many outputs.
    """
    if isinstance(own := getattr(model, "classes", None), Sequence):
        return own
    labels = getattr(getattr(model, "config", None), "id2label", None)
    if labels:
        return [labels[i] for i in range(len(labels))]
    if type(model).__module__.startswith("torchvision.models.") and _outputs(model) == 1000:
        from torchvision.models import ResNet50_Weights

        names: list[str] = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
        return names
    return timm_classes(model)


def _outputs(model: nn.Module) -> int | None:
    widths = [
        module.out_features if isinstance(module, nn.Linear) else module.out_channels
        for module in model.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    return widths[-1] if widths else None
