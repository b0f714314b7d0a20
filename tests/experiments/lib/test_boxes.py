"""Boxes of maps: the layers they are read at, and GrabCut's in the picture's pixels."""

import numpy as np
import torch
from PIL import Image
from torchvision import models as zoo

import mmcam
from experiments.lib import boxes


def test_the_papers_layers_are_read():
    """c-MWP at pool4 of VGG-16 and layer3 of ResNet-50 (Zhang et al., section 4): modules with that many channels."""
    x = torch.zeros(1, 3, 64, 64)
    for (name, _), layer in boxes.LAYERS.items():
        model = zoo.get_model(name, weights=None).eval()
        shapes = []
        model.get_submodule(layer).register_forward_hook(lambda m, i, out, shapes=shapes: shapes.append(out.shape))
        with torch.no_grad():
            model(x)
        assert shapes[0] == {"vgg16": (1, 512, 4, 4), "resnet50": (1, 1024, 4, 4)}[name]


def test_grabcuts_box_returns_to_the_pictures_pixels():
    """A thing in what the network sees, which is a centre crop: the box lies at the thing in the whole picture."""
    noise = np.random.default_rng(0)
    pixels = noise.normal((60, 150, 60), 6, (100, 200, 3))
    pixels[30:70, 90:130] = noise.normal((200, 40, 40), 6, (40, 40, 3))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    x = torch.zeros(1, 1, 1, 1, requires_grad=True)

    class Redness(torch.nn.Module):
        def forward(self, pictures):
            """Its gradient is large where a picture is red."""
            red = pictures[:, :1] - pictures[:, 1:2]
            return (red.clamp(min=0) ** 2).sum((2, 3)) + 0 * x.sum()

    net = boxes.Net("redness", Redness(), mmcam.Preprocess(size=(50, 50), mode="crop", resize=50))
    exp = mmcam.explain_class(net.model, picture, 0, method="gradient", preprocess=net.preprocess)
    left, top, right, bottom = boxes.grown(net, picture, exp)
    assert np.abs(np.array([left, top, right, bottom]) - [90, 30, 129, 69]).max() <= 2
