"""The hook on layers: a leaf where gradients begin, or a look at their outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.layer import Grid, Layer, Size
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, replace_tensor
from mmcam.errors import ExplainError


class Reached(Exception):  # noqa: N818 - nothing went wrong
    """The layer has run; the rest of the forward is not needed."""


class Tap:
    """The hook on a layer, or on several: hands out their outputs and switches gradients on behind the first.

    The output of the layer that runs first becomes a fresh leaf. Another layer behind it gives its output as it is
    recorded from there, which has a gradient as well; one on a branch beside it becomes a leaf, too. With
    ``detach=False`` (pixel methods), outputs are only recorded: the graph already began at the pixels. With
    ``stop=True`` the forward is broken off there.

    Attributes:
        texts, copies: how often the leaf's rows are repeated behind the layer; each copy is a leaf of its own.
    """

    def __init__(self, *layers: Layer, picture: Size, texts: int = 1, detach: bool = True, stop: bool = False) -> None:
        self.layers = layers
        self.picture = picture
        self.texts = texts
        self.detach = detach
        self.stop = stop
        self.reset(1)

    @property
    def where(self) -> tuple[str, int | None]:
        """The layers by name, and their call."""
        return " + ".join(layer.name for layer in self.layers), self.layers[0].call

    @property
    def leaves(self) -> list[Tensor]:
        """Each layer's activations of the last forward: (copies·N, K, h, w), or (texts·copies·N, K, h, w) of one that
        lies behind another one.
        """
        return [leaf for leaf in self._leaves if leaf is not None]

    @property
    def leaf(self) -> Tensor:
        """The activations (copies·N, K, h, w) of the layer that ran first."""
        assert self._first is not None
        return self._first

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Keep the hooks on the layers for the length of a with-block."""
        with contextlib.ExitStack() as stack:
            for place, layer in enumerate(self.layers):
                handle = find_module(model, layer.name).register_forward_hook(partial(self._hook, place))
                stack.callback(handle.remove)
            yield

    def reset(self, copies: int) -> None:
        """Get ready for one forward pass."""
        self.copies = copies
        self._calls = [0] * len(self.layers)
        self._leaves: list[Tensor | None] = [None] * len(self.layers)
        self._first: Tensor | None = None

    def check(self, first: bool = False) -> None:
        """Raise unless the last forward called each layer just once, or the chosen call happened.

        Args:
            first: of several calls, the first one will do where none was chosen.
        """
        for layer, calls, leaf in zip(self.layers, self._calls, self._leaves, strict=True):
            name, call = layer.name, layer.call
            if calls == 0:
                raise ExplainError(f"Layer {name!r} is never run by this model's forward; choose one that is.")
            if call is None and calls > 1 and not first:
                raise ExplainError(
                    f"Layer {name!r} runs {calls} times in one forward; say which with call=0…{calls - 1}."
                )
            if leaf is None:
                raise ExplainError(f"Layer {name!r} runs only {calls} times, so there is no call={call}.")

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

    def _hook(self, place: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        layer = self.layers[place]
        self._calls[place] += 1
        if self._calls[place] - 1 != (layer.call or 0):
            return None
        tensor, grid = read_grid(layer, output, self.picture)
        activations = grid.read(tensor)
        if self.detach and not self._behind(activations):
            # cat keeps channels_last
            leaf = self._leaves[place] = torch.cat([activations.detach()] * self.copies).requires_grad_()
            self._first = leaf if self._first is None else self._first
            # Grad mode outlives the hook: everything after the layer is recorded, nothing before it.
            torch.set_grad_enabled(True)
            # The model gets a copy, so an in-place operation after the layer cannot change what we explain.
            return replace_tensor(output, grid.write(tensor.detach(), torch.cat([leaf] * self.texts)))
        self._leaves[place] = activations
        self._first = activations if self._first is None else self._first
        if self.stop:
            raise Reached
        return replace_tensor(output, grid.write(tensor, activations.clone()))

    def _behind(self, activations: Tensor) -> bool:
        """Whether they are recorded from the first leaf on, and so have its rows already."""
        first = self._first
        return first is not None and activations.requires_grad and len(activations) == self.texts * len(first)


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
