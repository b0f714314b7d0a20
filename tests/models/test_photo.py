"""The ResNets that other people's captioners saw with."""

from typing import Any

import pytest
import torch
from tiny import pictures, seeded
from torch import Tensor, nn
from torchvision import models as zoo

from mmcam import ExplainError, Preprocess
from models.foreign import resnet_features


def test_resnets_maps_and_weights(tmp_path):
    network = seeded(zoo.resnet18)
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    squash = Preprocess(size=(64, 64), mode="squash")
    x = pictures(1, 64)
    eyes = resnet_features("resnet18", tmp_path / "resnet18.pth", preprocess=squash)
    assert (eyes.units, eyes.side, eyes.preprocess) == (512, 2, squash)
    maps: list[Tensor] = []
    handle = network.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        network(x)
        handle.remove()
        torch.testing.assert_close(eyes(x), maps[0])
        # The tutorial's encoder: the same under other names, its map pooled.
        renamed = {f"resnet.{i}.{key}": value for i, child in enumerate(list(network.children())[:-2])
                   for key, value in child.state_dict().items()}  # fmt: skip
        torch.save(renamed, tmp_path / "encoder.pth")
        pooled = resnet_features("resnet18", tmp_path / "encoder.pth", pool=14, preprocess=squash)
        assert pooled.side == 14
        torch.testing.assert_close(pooled(x), nn.functional.adaptive_avg_pool2d(maps[0], 14))


def test_caffes_resnet():
    """The stride lies in a block's first convolution, and the first pooling has no padding."""
    eyes = resnet_features("resnet50", stride_first=True, preprocess=Preprocess(size=(64, 64), mode="squash"))
    assert (eyes.units, eyes.side) == (2048, 2)
    first: Any = list(eyes)[5][0]  # type: ignore[index]
    assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
    pooling: Any = list(eyes)[3]
    assert (pooling.padding, pooling.ceil_mode) == (0, True)


def test_resnets_that_will_not_do(tmp_path):
    with pytest.raises(ExplainError, match="torchvision has no 'vgg16'; resnet101"):
        resnet_features("vgg16")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ExplainError, match="do not fit"):
        resnet_features("resnet18", tmp_path / "weights.pth")
    with pytest.raises(ExplainError, match="take a square size"):
        resnet_features("resnet18", preprocess=Preprocess(size=(64, 128), mode="squash"))
