"""The hook on a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, replace_tensor
from mmcam.errors import ExplainError
from mmcam.places.grids import grid_at

Forward = Callable[[Tensor, int], Any]
"""(pictures (N,C,H,W), copies) → the model's output; from the layer on, every tensor has fan·copies·N rows."""


class _Reached(Exception):  # noqa: N818 - nothing went wrong
    """The layer has run; the rest of the forward is not needed."""


class Tap:
    """The hook on a layer: hands out its output as a fresh leaf and switches gradients on behind it.

    With ``detach=False`` (pixel methods), the output is only recorded: the graph already began at the pixels. With
    ``stop=True`` the forward is broken off there.
    """

    def __init__(
        self,
        layer: str,
        call: int | None = None,
        *,
        picture: tuple[int, int],
        fan: int = 1,
        detach: bool = True,
        stop: bool = False,
    ) -> None:
        self.layer = layer
        self.call = call
        self.picture = picture
        self.fan = fan
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
        handle: RemovableHandle = find_module(model, self.layer).register_forward_hook(self._hook)
        self._model = model
        try:
            yield
        finally:
            handle.remove()

    def reset(self, copies: int) -> None:
        """Get ready for one forward pass."""
        self.copies, self.calls, self._leaf = copies, 0, None

    def check(self) -> None:
        """Raise unless the last forward called the layer just once, or the chosen call happened."""
        if self.calls == 0:
            raise ExplainError(f"Layer {self.layer!r} is never run by this model's forward; choose one that is.")
        if self.call is None and self.calls > 1:
            raise ExplainError(
                f"Layer {self.layer!r} runs {self.calls} times in one forward; say which with call=0…{self.calls - 1}."
            )
        if self._leaf is None:
            raise ExplainError(f"Layer {self.layer!r} runs only {self.calls} times, so there is no call={self.call}.")

    def _hook(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        self.calls += 1
        if self.calls - 1 != (self.call or 0):
            return None
        tensor = first_tensor(output)
        grid = None if tensor is None else grid_at(self._model, self.layer, tensor, self.picture)
        if tensor is None or grid is None or not tensor.is_floating_point():
            form = "no tensor" if tensor is None else f"{tuple(tensor.shape)} of {tensor.dtype}"
            raise ExplainError(
                f"Layer {self.layer!r} gives {form}, not a spatial map (N,K,h,w) or the tokens of one; `mmcam layers` "
                "lists those that do."
            )
        activations = grid.read(tensor)
        if self.detach:
            self._leaf = torch.cat([activations.detach()] * self.copies).requires_grad_()  # cat keeps channels_last
            # Grad mode outlives the hook: everything after the layer is recorded, nothing before it.
            torch.set_grad_enabled(True)
            # The model gets a copy, so an in-place operation after the layer cannot change what we explain.
            return replace_tensor(output, grid.write(tensor.detach(), torch.cat([self._leaf] * self.fan)))
        self._leaf = activations
        if self.stop:
            raise _Reached
        return replace_tensor(output, grid.write(tensor, activations.clone()))


def forward_behind(tap: Tap, forward: Forward, x: Tensor, copies: int, versions: int) -> Any:
    """One forward that records a graph behind the layer."""
    for grad in (False, True):
        tap.reset(copies)
        with torch.set_grad_enabled(grad):
            # A copy: the model may work in place on its input, and inference tensors cannot be recorded.
            output = forward(x.clone(), copies * versions)
        tap.check()
        # A model that runs its encoder in its own no_grad block switches gradients off again when the block ends.
        # Then they have to be on before it starts: the same maps, for the memory of the encoder's widest layer.
        if (tensor := first_tensor(output)) is None or tensor.requires_grad:
            break
    return output
