"""The picture encoder the three bundled models share: a small VGG that ends in a 14×14 ReLU map and a vector "fc7".

The shape follows VGG-16 (Simonyan & Zisserman 2015, arXiv:1409.1556) as the captioner and the VQA model of the
Grad-CAM paper use it: 3×3 convolutions in pairs, max-pooling between them, a fully connected layer on the flattened
last map. It is much narrower, and batch normalisation makes it trainable in minutes on a CPU.
"""

from torch import Tensor, nn

from mmcam.image import Preprocess

PREPROCESS = Preprocess(size=(224, 224), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation and ReLU; the ReLU is not in place, so its input can be read afterwards."""
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class Encoder(nn.Module):
    """Pictures (N, 3, 224, 224) to fc7 vectors (N, `fc7`), by way of `features`, a (N, `widths[3]`, 14, 14) map.

    Every row of the output depends on its own row of `features` only (in eval mode), so rows may be multiplied there.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 96, 128), fc7: int = 512) -> None:
        super().__init__()
        a, b, c, d = widths
        self.features = nn.Sequential(
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
        )
        self.pool = nn.MaxPool2d(2)
        self.fc7 = nn.Sequential(nn.Flatten(), nn.Linear(d * 7 * 7, fc7, bias=False), nn.BatchNorm1d(fc7), nn.ReLU())
        self.width = fc7
        for module in self.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 224, 224) → (N, fc7), not negative."""
        return self.fc7(self.pool(self.features(x)))
