"""A classifier whose maps are known: it counts pixels of red, green and blue, and looks where they are."""

import csv

import numpy as np
import torch
from PIL import Image
from torch import nn

from mmcam import Preprocess


class Colours(nn.Module):
    """The logit of a colour is how much of it there is."""

    classes = ("red", "green", "blue")
    class_probabilities = "softmax"
    explain_layer = "features"
    preprocess = Preprocess(size=(32, 32), mode="squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 3)
        with torch.no_grad():
            for layer, weight in ((self.features[0], torch.eye(3)[:, :, None, None]), (self.fc, 40 * torch.eye(3))):
                layer.weight.copy_(weight)
                layer.bias.zero_()
        self.eval()

    def forward(self, x):
        return self.fc(self.pool(self.features(x)).flatten(1))


def squares(path, *placed, size=32, ground=0):
    """A picture of even ground with squares: (colour, left, top, side), of 255 or of a given brightness behind."""
    pixels = np.full((size, size, 3), ground, np.uint8)
    for colour, left, top, side, *bright in placed:
        value = bright[0] if bright else 255
        pixels[top : top + side, left : left + side, Colours.classes.index(colour)] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def mask(path, left, top, side, size=32):
    values = np.zeros((size, size), np.uint8)
    values[top : top + side, left : left + side] = 255
    Image.fromarray(values).save(path)
    return path


def table(path, *rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
