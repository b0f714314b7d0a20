"""Networks of torchvision that segment or detect, with published weights or a file of as many classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.models.state import fill, read_state


def is_dense(zoo: Any, name: str) -> bool:
    """Whether torchvision (its module of networks) has one of this name that segments or detects."""
    return name in (*zoo.list_models(module=zoo.segmentation), *zoo.list_models(module=zoo.detection))


def dense_from_torchvision(name: str, weights: Path | None) -> tuple[nn.Module, Preprocess | None]:
    """A network that segments or detects, in eval mode; how its pictures are made its own records tell.

    Args:
        name: as torchvision has it.
        weights: a state dict with as many classes as the published one; default that, which is downloaded unless it
            was before.

    Raises:
        ExplainError: weights that do not fit it, or no download.
    """
    from torchvision import models as zoo

    if weights is None:
        preset = zoo.get_model_weights(name)["DEFAULT"]
        try:
            return zoo.get_model(name, weights=preset).eval(), None
        except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a bad hash is a RuntimeError
            raise no_download(name, preset, error) from error
    state = read_state(weights)
    helped = any(key.startswith("aux_classifier") for key in state)  # a head that only helps in training
    options = {"aux_loss": True} if helped else {}
    model = zoo.get_model(name, weights=None, weights_backbone=None, **options)
    complaint = f"The weights in {weights} do not fit torchvision's {name} with the classes it is published with"
    fill(model, state, f"{complaint} (one with others is named module:factory)")
    return model.eval(), None


def no_download(name: str, preset: Any, error: Exception) -> ExplainError:
    """The error for published weights that could not be had."""
    return ExplainError(
        f"The weights of torchvision:{name} could not be downloaded ({error}); on a machine with a network save "
        f"{preset.url.rsplit('/', 1)[-1]}, copy it here and pass it with --weights."
    )
