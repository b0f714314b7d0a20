"""The network that segments: a classifier's convolutions with finer cells, and the head of DeepLab-LargeFOV."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import find_module
from mmcam.errors import ExplainError

STRIDE: Final = 8
"""Pixels of the input a cell."""
REACH: Final = 12 / 41
"""How far apart the head's 3×3 weights lie, as a share of the picture: DeepLab's 12 cells of 41."""

_Windowed = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


class Reached(Exception):  # noqa: N818 - it is no error
    """The layer that a pass was for has run."""

    def __init__(self, output: Tensor) -> None:
        self.output = output


class Upto(nn.Module):
    """A model up to one of its layers: inputs (N, C, H, W) → that layer's map (N, K, h, w)."""

    def __init__(self, model: nn.Module, layer: str) -> None:
        super().__init__()
        self.model = model
        find_module(model, layer).register_forward_hook(_reached)

    def forward(self, x: Tensor) -> Tensor:
        """The map; nothing behind the layer runs."""
        try:
            self.model(x)
        except Reached as reached:
            return reached.output
        raise ExplainError("The layer does not run when the model sees pictures; name another one.")


def _reached(module: nn.Module, inputs: Any, output: Any) -> None:
    raise Reached(output)


class Segmenter(nn.Module):
    """Pictures (N, C, size, size) → scores (N, classes, cells, cells), class 0 being background.

    DeepLab-LargeFOV (Chen et al., arXiv 1412.7062): the last strides become dilations, so that a cell is 8 pixels; then
    a 3×3 convolution with a wide dilation, and two of 1×1. The normalisations of the encoder keep their statistics.

    Args:
        model: a convolutional classifier; copied.
        layer: its last map.
        classes: with background.
        size: pixels of the input's sides.
        width: channels of the head.

    Raises:
        ExplainError: the layer gives no map of such cells for such an input.
    """

    spread: Tensor

    def __init__(self, model: nn.Module, layer: str, classes: int, size: int, width: int = 1024) -> None:
        super().__init__()
        self.encoder = Upto(copy.deepcopy(model).requires_grad_(True), layer)
        refine(self.encoder.model)
        units, self.cells = self._measured(layer, size)
        self.register_buffer("spread", torch.ones(units, 1, 1))
        reach = max(1, round(REACH * self.cells))
        self.head = nn.Sequential(
            nn.Conv2d(units, width, 3, padding=reach, dilation=reach), nn.ReLU(), nn.Dropout(0.5),
            nn.Conv2d(width, width, 1), nn.ReLU(), nn.Dropout(0.5),
            nn.Conv2d(width, classes, 1),
        )  # fmt: skip
        for module in self.head:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head[-1].weight, std=0.01)  # type: ignore[arg-type]
        self.train(False)

    def forward(self, x: Tensor) -> Tensor:
        """The scores."""
        scores: Tensor = self.head(self.encoder(x) / self.spread)
        return scores

    def calibrate(self, x: Tensor) -> None:
        """Let the new layers see each channel of the map in units of its root mean square over some pictures.

        Channels differ by a hundredfold, and DeepLab's first layer of the head was no new one.
        """
        with as_found(self.encoder):
            square = self.encoder(x).square().mean((0, 2, 3), keepdim=True)[0]
        self.spread = square.sqrt().clamp(min=0.05 * float(square.mean().sqrt()) + 1e-6)

    def train(self, mode: bool = True) -> Segmenter:
        """Training or not; the encoder stays in eval mode, since few pictures a step would spoil its statistics."""
        super().train(mode)
        self.encoder.train(False)
        return self

    def _measured(self, layer: str, size: int) -> tuple[int, int]:
        """Channels and cells a side."""
        weight = next(self.encoder.parameters())
        first = next((m for m in self.encoder.modules() if isinstance(m, nn.Conv2d)), None)
        wanted = -(-size // STRIDE)
        try:
            with as_found(self.encoder):
                map_ = self.encoder(weight.new_zeros(1, first.in_channels if first else 3, size, size))
            fits = isinstance(map_, Tensor) and map_.ndim == 4 and map_.shape[2:] == (wanted, wanted)
            problem = "" if fits else f"its shape is {tuple(getattr(map_, 'shape', ()))}"
        except (RuntimeError, ValueError, AssertionError) as error:
            problem = f"it raises {type(error).__name__}"
        if problem:
            raise ExplainError(
                f"{layer} of {type(self.encoder.model).__name__} gives no map of {wanted}×{wanted} cells for an "
                f"input of {size}×{size} ({problem}); take a network that is convolutional up to there, each stride "
                "behind the other, as VGG, EfficientNet or MobileNet, or another --layer."
            )
        return int(map_.shape[1]), wanted


def refine(model: nn.Module) -> None:
    """Turn the strides of a network beyond `STRIDE` into dilations, so that its maps keep their size; in place.

    The modules have to run in the order in which they are named. Pooling rounds up, as in Caffe.
    """
    total, dilation = 1, 1
    for module in model.modules():
        if not isinstance(module, _Windowed):
            continue
        stride, kernel = _side(module.stride), _side(module.kernel_size)
        if not isinstance(module, nn.Conv2d):
            module.ceil_mode = True
        if isinstance(module, nn.Conv2d) and kernel > 1 and dilation > 1:
            module.dilation = (dilation, dilation)
            if module.padding not in (0, (0, 0)):  # what pads by itself, as TensorFlow's, sees the dilation
                module.padding = (dilation * (kernel // 2),) * 2
        if total * stride <= STRIDE:
            total *= stride
        elif stride > 1:
            dilation *= stride
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
            else:
                module.kernel_size, module.stride, module.padding = 3, 1, 1


def _side(value: Any) -> int:
    return int(value[0]) if isinstance(value, tuple) else int(value)
