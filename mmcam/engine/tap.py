"""The hook on a layer: a leaf where gradients begin, or a look at its output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.layer import Grid, Layer, Size
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, replace_tensor
from mmcam.errors import ExplainError


class Reached(Exception):  # noqa: N818 - nothing went wrong
    """The layer has run; the rest of the forward is not needed."""


class Tap:
    """The hook on a layer: hands out its output as a fresh leaf and switches gradients on behind it.

    With ``detach=False`` (pixel methods), the output is only recorded: the graph already began at the pixels. With
    ``stop=True`` the forward is broken off there.

    Attributes:
        texts, copies: how often the leaf's rows are repeated behind the layer; each copy is a leaf of its own.
    """

    def __init__(self, layer: Layer, picture: Size, *, texts: int = 1, detach: bool = True, stop: bool = False) -> None:
        self.layer = layer
        self.picture = picture
        self.texts = texts
        self.detach = detach
        self.stop = stop
        self.copies = 1
        self.calls = 0
        self._leaf: Tensor | None = None

    @property
    def leaf(self) -> Tensor:
        """The layer's activations (copies·N, K, h, w) of the last forward."""
        assert self._leaf is not None
        return self._leaf

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Keep the hook on the layer for the length of a with-block."""
        handle: RemovableHandle = find_module(model, self.layer.name).register_forward_hook(self._hook)
        try:
            yield
        finally:
            handle.remove()

    def reset(self, copies: int) -> None:
        """Get ready for one forward pass."""
        self.copies, self.calls, self._leaf = copies, 0, None

    def check(self, first: bool = False) -> None:
        """Raise unless the last forward called the layer just once, or the chosen call happened.

        Args:
            first: of several calls, the first one will do where none was chosen.
        """
        name, call = self.layer.name, self.layer.call
        if self.calls == 0:
            raise ExplainError(f"Layer {name!r} is never run by this model's forward; choose one that is.")
        if call is None and self.calls > 1 and not first:
            raise ExplainError(
                f"Layer {name!r} runs {self.calls} times in one forward; say which with call=0…{self.calls - 1}."
            )
        if self._leaf is None:
            raise ExplainError(f"Layer {name!r} runs only {self.calls} times, so there is no call={call}.")

    def forward(self, run: Callable[[], Any], copies: int) -> Any:
        """One forward that records a graph behind the layer."""
        for grad in (False, True):
            self.reset(copies)
            with torch.set_grad_enabled(grad):
                output = run()
            self.check()
            # A model that runs its encoder in its own no_grad block switches gradients off again when the block ends.
            # Then they have to be on before it starts: the same maps, for the memory of the encoder's widest layer.
            if (tensor := first_tensor(output)) is None or tensor.requires_grad:
                break
        return output

    def _hook(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        self.calls += 1
        if self.calls - 1 != (self.layer.call or 0):
            return None
        tensor, grid = read_grid(self.layer, output, self.picture)
        activations = grid.read(tensor)
        if self.detach:
            self._leaf = torch.cat([activations.detach()] * self.copies).requires_grad_()  # cat keeps channels_last
            # Grad mode outlives the hook: everything after the layer is recorded, nothing before it.
            torch.set_grad_enabled(True)
            # The model gets a copy, so an in-place operation after the layer cannot change what we explain.
            return replace_tensor(output, grid.write(tensor.detach(), torch.cat([self._leaf] * self.texts)))
        self._leaf = activations
        if self.stop:
            raise Reached
        return replace_tensor(output, grid.write(tensor, activations.clone()))


def read_grid(layer: Layer, output: Any, picture: Size) -> tuple[Tensor, Grid]:
    """The tensor in a layer's output, and how it lies over a picture.

    Raises:
        ExplainError: it holds none that shows a map.
    """
    tensor = first_tensor(output)
    grid = None if tensor is None else layer.grid(tensor, picture)
    if tensor is None or grid is None or not tensor.is_floating_point():
        form = "no tensor" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
        why = f": {layer.reason}" if layer.reason else ""
        raise ExplainError(
            f"Layer {layer.name!r} gives {form}, not a spatial map (N,K,h,w) or the tokens of one{why}; `mmcam layers` "
            "lists those that do."
        )
    return tensor, grid
