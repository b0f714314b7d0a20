"""Encoders for photographs: a torchvision CNN as it comes, for captioners and VQA models trained on real pictures."""

import re
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.models.state import fill, read_state

from .efficientnet_lite import PUBLISHED, convolutions, efficientnet_lite, preprocess_of
from .encoder import Features

SIDES = {"mobilenet_v2": 225, "squeezenet1_0": 227}
"""Pixels of the input where the usual 224 is not what fits the weights at hand best."""


def photo_features(name: str, weights: str | PathLike[str] | None = None) -> Features:
    """The convolutions of a CNN for photographs, squashed: "efficientnet_lite0", or torchvision's with ``features``.

    Args:
        name: of the network.
        weights: a file with the state dict of torchvision's network, read without running code; default random
            weights. EfficientNet-Lite has those of its package.

    Raises:
        ValueError: torchvision has no such network, or it has no ``features`` that give a map.
        ExplainError: the weights of EfficientNet-Lite are not installed.
    """
    if name in PUBLISHED:
        network, preprocess = efficientnet_lite(name), preprocess_of(name)
        side = -(-preprocess.size[0] // 32)
        return Features(*convolutions(network), units=network.num_features, side=side, preprocess=preprocess)
    from torchvision import models as zoo  # the bundled models need none

    if name not in zoo.list_models(module=zoo):
        raise ValueError(f"torchvision has no network {name!r}; mobilenet_v2, vgg16 or squeezenet1_0 would do.")
    network = zoo.get_model(name, weights=None)
    if not isinstance(getattr(network, "features", None), nn.Sequential):
        raise ValueError(f"torchvision's {name} has no `features`; mobilenet_v2, vgg16 or squeezenet1_0 would do.")
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    side = SIDES.get(name, 224)
    preprocess = Preprocess(size=(side, side), mode="squash")
    with torch.no_grad():
        _, units, height, width = network.eval().features(torch.zeros(1, 3, side, side)).shape
    if height != width:  # swin's are (N, side, side, units)
        raise ValueError(f"The `features` of torchvision's {name} are no map (N, units, side, side); vgg16 would do.")
    return Features(*network.features, units=units, side=height, preprocess=preprocess)


class Pooled(nn.Module):
    """The mean of a map over its places, as one vector."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features, self.width, self.preprocess = features, features.units, features.preprocess

    def forward(self, x: Tensor) -> Tensor:
        """Pictures → (N, units)."""
        maps: Tensor = self.features(x)
        return maps.mean((2, 3))


def resnet_features(
    name: str = "resnet101",
    weights: str | PathLike[str] | None = None,
    *,
    pool: int | None = None,
    stride_first: bool = False,
    preprocess: Preprocess | None = None,
) -> Features:
    """A torchvision ResNet up to its last map, as the repositories of `models.foreign` use it.

    Args:
        name: resnet18 … resnet152.
        weights: a state dict: torchvision's, or that of the tutorial's encoder; default random weights.
        pool: resize the map to so many cells a side by averaging; the tutorial's encoder pools to 14.
        stride_first: Caffe's ResNet, whose weights ImageCaptioning.pytorch used: a block's stride lies in its first
            convolution, and the first pooling has no padding.
        preprocess: default pictures squashed to 256×256 if the map is pooled, as in the tutorial, else to 448×448;
            ImageCaptioning.pytorch computed its features from pictures at their own size.

    Raises:
        ExplainError: no such network, or weights that do not fit it.
    """
    from torchvision import models as zoo  # as above

    if not re.fullmatch(r"resnet\d+", name) or name not in zoo.list_models(module=zoo):
        raise ExplainError(f"torchvision has no {name!r}; resnet101 is what most checkpoints were trained on.")
    network = zoo.get_model(name, weights=None)
    if stride_first:
        network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for layer in (network.layer2, network.layer3, network.layer4):
            layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    children = dict(list(network.named_children())[:-2])
    if weights is not None:
        state = _numbered(read_state(Path(weights)), list(children))
        fill(nn.Sequential(*children.values()), state, f"The weights in {weights} do not fit")
    if preprocess is None:
        size = 448 if pool is None else 256
        preprocess = Preprocess(size=(size, size), mode="squash")
    layers = [*children.values(), *([] if pool is None else [nn.AdaptiveAvgPool2d(pool)])]
    with torch.no_grad():
        _, units, height, width = nn.Sequential(*layers).eval()(torch.zeros(1, 3, *preprocess.size)).shape
    if height != width:
        raise ExplainError(f"The map of {name} is {height}×{width} here; take a square size, or pool=14.")
    return Features(*layers, units=units, side=height, preprocess=preprocess).eval()


def _numbered(state: dict[str, Tensor], children: list[str]) -> dict[str, Tensor]:
    """The weights of a ResNet, torchvision's or the tutorial's encoder's, by the numbers of its children."""
    places = {child: str(i) for i, child in enumerate(children)}
    numbered = {}
    for key, value in state.items():
        first, _, rest = key.removeprefix("encoder.").removeprefix("resnet.").partition(".")
        if first != "fc":
            numbered[f"{places.get(first, first)}.{rest}"] = value
    return numbered
