"""The picture encoder the three bundled models share: a small VGG that ends in a 14×14 ReLU map and a vector "fc7".

The shape follows VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556) as the captioner and the VQA model of the
Grad-CAM paper use it: 3×3 convolutions in pairs, max-pooling between them, a fully connected layer on the last map. It
is much narrower, and batch normalisation makes it trainable in minutes on a CPU.

VGG connects every place of the last map to every unit of fc7. On vignettes that soon names the kinds of things, but
not which of two things is red: each fact must be learned anew at every place, and the rare ones drown. The colour of a
thing could then be read from fc7 in fewer than half of the cases, and from the map's best place nearly always. So fc7
here has two parts. *What*: the greatest value of each unit in the whole picture (Oquab et al. 2015, "Is object
localization for free?"). *Where*: a linear layer on the greatest values of each unit in seven rows and seven columns,
much as in spatial pyramid pooling (He et al. 2014, arXiv:1406.4729).
"""

import torch
from torch import Tensor, nn

from mmcam.image import Preprocess

PREPROCESS = Preprocess(size=(224, 224), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation and ReLU; the ReLU is not in place, so its input can be read afterwards."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class Features(nn.Sequential):
    """A CNN up to its last map: pictures made by `preprocess` → (N, `units`, `side`, `side`)."""

    def __init__(self, *layers: nn.Module, units: int, side: int, preprocess: Preprocess = PREPROCESS) -> None:
        super().__init__(*layers)
        self.units, self.side, self.preprocess = units, side, preprocess

    def __getitem__(self, index: slice | int) -> nn.Module:  # type: ignore[override]
        """One layer, or, of a slice, those layers as an ordinary nn.Sequential: their map is another."""
        return nn.Sequential(*list(self)[index]) if isinstance(index, slice) else list(self)[index]


def features(widths: tuple[int, int, int, int] = (24, 48, 96, 128), units: int = 384) -> Features:
    """The bundled models' own: pictures (N, 3, 224, 224) → (N, 384, 14, 14), not negative."""
    a, b, c, d = widths
    layers = Features(
        *_convolution(3, a, size=5, stride=2),  # 112²
        nn.MaxPool2d(2),
        *_convolution(a, b),  # 56²
        *_convolution(b, b),
        nn.MaxPool2d(2),
        *_convolution(b, c),  # 28²
        *_convolution(c, c),
        nn.MaxPool2d(2),
        *_convolution(c, d),  # 14²
        *_convolution(d, d),
        *_convolution(d, units, size=1),
        nn.Conv2d(units, units, 1),
        nn.ReLU(),
        units=units,
        side=14,
    )
    for module in list(layers)[:-2]:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return layers


class Encoder(nn.Module):
    """Pictures (N, 3, 224, 224) to fc7 vectors (N, `width`), by way of `features`, a (N, `units`, 14, 14) map.

    Every row of the output depends on its own row of `features` only (in eval mode), so rows may be multiplied there.
    """

    def __init__(self, where: int = 192) -> None:
        super().__init__()
        self.features = features()
        units = self.features.units
        self.rows, self.columns = nn.MaxPool2d((2, 14)), nn.MaxPool2d((14, 2))
        self.where = nn.Linear(units * 14, where, bias=False)
        self.fc7 = nn.Sequential(nn.BatchNorm1d(units + where), nn.ReLU())
        self.width = units + where

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 224, 224) → (N, width), not negative."""
        return self.summarise(self.features(x))

    def summarise(self, features: Tensor) -> Tensor:
        """The map (N, units, 14, 14) → fc7 (N, width)."""
        rows, columns = self.rows(features), self.columns(features)  # (N, units, 7, 1) and (N, units, 1, 7)
        where = self.where(torch.cat([rows.flatten(1), columns.flatten(1)], dim=1))
        fc7: Tensor = self.fc7(torch.cat([rows.amax((2, 3)), where], dim=1))
        return fc7


class Seeing(nn.Module):
    """A model with a language side: what its encoder makes of a picture (`see`) may be kept for many texts."""

    features: Features

    @property
    def convolutions(self) -> Features:
        """The encoder up to its last map."""
        return self.features

    @property
    def backbone(self) -> nn.Module:
        """The whole encoder: what training may leave as it is."""
        return self.features

    @property
    def picture_encoder(self) -> str:
        """Its name: it sees the pictures alone, each by itself."""
        name: str = next(name for name, module in self.named_modules() if module is self.backbone)
        return name

    def see(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) → what the whole encoder makes of them, a row each: a map, or one vector."""
        seen: Tensor = self.backbone(x)
        return seen
