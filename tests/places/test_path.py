"""Whether cells stayed over their part of the picture is seen by operations, whatever module they are in."""

import pytest
import torch
from tiny import seeded
from torch import nn
from torch.nn import functional as F

from mmcam.places.path import Path


def keeps(function, size=(12, 16)):
    """What is said of a function of a picture, and what it gives."""
    torch.manual_seed(0)
    x = torch.rand(2, 4, *size)
    path = Path(x)
    with torch.no_grad(), path:
        out = function(x)
    return path.kept(out), out


conv, linear = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(4, 5)
KEPT = {
    "convolution": lambda x: conv(x),
    "strided": lambda x: F.conv2d(x, conv.weight, stride=2),
    "transposed convolution": lambda x: F.conv_transpose2d(x, conv.weight[:4], stride=2),
    "in place": lambda x: F.relu_(F.hardswish(conv(x), inplace=True)),
    "pooled": lambda x: F.avg_pool2d(F.max_pool2d(x, 2), 2),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "resized": lambda x: F.interpolate(x, (7, 9), mode="bicubic"),
    "padded": lambda x: F.pad(x, (1, 2, 1, 1)),
    "reflected": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "normalised": lambda x: F.group_norm(F.batch_norm(x, None, None, training=True), 2),
    "channels shuffled": lambda x: x.view(2, 2, 2, 12, 16).transpose(1, 2).reshape(2, 4, 12, 16),
    "channels split and joined": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "gated": lambda x: x * torch.sigmoid(linear(x.mean((2, 3)))[:, :4, None, None]),
    "gated by an expanded vector": lambda x: x * linear(x.mean((2, 3)))[:, :4].view(2, 4, 1, 1).expand_as(x),
    "spatial attention": lambda x: x * torch.sigmoid(x.mean(1, keepdim=True) + x.amax(1, keepdim=True)),
    "residual": lambda x: x + conv(conv(x)[:, :4])[:, :4],
    "pixel shuffle": lambda x: F.pixel_shuffle(x, 2),
    "there and back": lambda x: linear(F.layer_norm(x.permute(0, 2, 3, 1), (4,))).permute(0, 3, 1, 2),
}
MOVED = {
    "flipped": lambda x: x.flip(-1),
    "rolled": lambda x: x.roll(3, -1),
    "turned": lambda x: x.transpose(2, 3),
    "turned and named otherwise": lambda x: x.transpose(2, 3).reshape(2, 4, 12, 16),
    "cut": lambda x: x[:, :, 2:-2, 2:-2],
    "every second": lambda x: x[:, :, ::2, ::2],
    "cropped by padding": lambda x: F.pad(x, (-2, -2, 0, 0)),
    "padded on one side": lambda x: F.pad(x, (0, 9, 0, 0)),
    "tokens": lambda x: x.flatten(2).transpose(1, 2),
    "matrix over cells": lambda x: (x.flatten(2) @ torch.rand(192, 192)).view(2, 4, 12, 16),
    "added to its mirror": lambda x: x + x.flip(-1),
    "gated by its mirror": lambda x: x * torch.sigmoid(x.flip(-1)),
    "indexed": lambda x: x[:, :, torch.arange(11, -1, -1)],
    "softmax over cells": lambda x: x.softmax(-1),
    "views in the batch": lambda x: x.view(4, 2, 12, 16),
}


@pytest.mark.parametrize("name", KEPT)
def test_operations_that_keep_cells_in_their_places(name):
    axes, out = keeps(KEPT[name])
    assert axes is not None
    assert out.ndim == 4
    assert axes[0] == 0


@pytest.mark.parametrize("name", MOVED)
def test_operations_that_may_move_cells(name):
    assert keeps(MOVED[name])[0] is None


def test_channels_last_is_followed():
    assert keeps(lambda x: linear(x.permute(0, 2, 3, 1)))[0] == (0, 1, 2)


def test_a_part_that_is_written_into_spoils_the_whole():
    def into(x):
        canvas = torch.zeros(2, 4, 20, 20)
        canvas[:, :, :12, :16] = x
        return canvas

    def whole(x):
        canvas = torch.zeros(2, 4, 12, 16)
        canvas.copy_(x)
        return canvas

    assert keeps(into)[0] is None
    assert keeps(whole)[0] == (0, 2, 3)


def test_what_does_not_come_from_the_picture_has_no_place():
    assert keeps(lambda x: torch.rand(2, 4, 12, 16))[0] is None
    constant = torch.rand(1, 4, 12, 16)
    assert keeps(lambda x: x + constant)[0] == (0, 2, 3), "a learned bias for every cell moves none"


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "convnext_tiny", "densenet121", "efficientnet_b0"])
def test_networks_of_convolutions_need_no_measurement(name):
    import torchvision

    from mmcam.places.survey import survey, to_measure

    net = seeded(getattr(torchvision.models, name), weights=None)
    known = survey(net, net, torch.rand(1, 3, 64, 96))
    maps = [call for call in known.calls if len(call.shape) == 4 and min(call.shape[2:]) > 1]
    assert maps
    assert all(call.axes is not None for call in maps)
    assert not to_measure(known)
