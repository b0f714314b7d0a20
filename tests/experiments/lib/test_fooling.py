"""Noise that fools: it is as small as told, fits into a file, and is given up where there is none."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import mmcam
from experiments.lib import fooling
from experiments.lib.boxes import Net
from tests.tiny import network

PREPROCESS = mmcam.Preprocess(size=(64, 64), mode="squash")


@pytest.fixture
def x():
    pixels = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return PREPROCESS(Image.fromarray(pixels.numpy()))[0]


def test_the_network_is_sure_of_what_is_not_there(x):
    net = Net("resnet18", network("resnet18", 10), PREPROCESS)
    before = int(net.model(x[None]).argmax())
    wrong = (before + 3) % 10
    fooled, steps, largest = fooling.fool(net, x, wrong, [before])
    p = net.model(fooled[None]).softmax(1)[0]
    assert p[wrong] > 0.9999
    assert 0 < largest <= steps <= fooling.STEPS
    # The picture survives a file of 8 bits a value, and is as far from the clean one as told.
    held, _ = PREPROCESS(PREPROCESS.denormalise(fooled))
    assert torch.allclose(held, fooled, atol=1e-5)
    a, b = (np.asarray(PREPROCESS.denormalise(made), dtype=int) for made in (x, fooled))
    assert np.abs(a - b).max() == largest


def test_where_several_can_be_there_all_of_them_go(x):
    class Several(nn.Module):
        """Four logits, each the mean of a quarter of the picture."""

        def forward(self, pictures):
            return 40 * nn.functional.adaptive_avg_pool2d(pictures.mean(1), (2, 2)).flatten(1)

    net = Net("several", Several(), PREPROCESS, classes=(0, 1, 2, 3))
    fooled, _, _ = fooling.fool(net, x, 3, [0, 1])
    p = net.model(fooled[None]).sigmoid()[0]
    assert p[3] > 0.9999
    assert p[:2].max() < 1e-4


def test_one_that_cannot_be_fooled_is_given_up(x):
    class Stubborn(nn.Module):
        def forward(self, pictures):
            return pictures.mean((1, 2, 3))[:, None] * 1e-6 + torch.tensor([[5.0, 0.0]])

    fooled, steps, _ = fooling.fool(Net("stubborn", Stubborn(), PREPROCESS), x, 1, [0])
    assert steps == fooling.STEPS
    assert Stubborn()(fooled[None]).softmax(1)[0, 1] < 0.1
