"""Encoders for photographs: a torchvision CNN as it comes, for captioners and VQA models trained on real pictures."""

from os import PathLike

import torch
from torch import Tensor, nn

from mmcam.image import Preprocess
from models.encoder import Features

SIDES = {"mobilenet_v2": 225, "squeezenet1_0": 227}
"""Pixels of the input where the usual 224 is not what fits the weights at hand best."""


def photo_features(name: str, weights: str | PathLike[str] | None = None) -> Features:
    """The convolutions of a torchvision network with ``features``, e.g. "mobilenet_v2": squashed photographs → a map.

    Args:
        name: of the network.
        weights: a file with its state dict, read without running code; default random weights.

    Raises:
        ValueError: torchvision has no such network, or it has no ``features`` that give a map.
    """
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
        return self.features(x).mean((2, 3))
