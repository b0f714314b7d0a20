"""The layers of a model that hands vectors over, each as a map over the original picture, its cells measured."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.structure.cells import Cells, measure_cells
from mmcam.adapters.transformers.structure.handover import Handover
from mmcam.adapters.transformers.structure.inputs import to_x
from mmcam.adapters.transformers.structure.routes import Routes
from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Grid, Layer, Size
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor
from mmcam.errors import ExplainError

HANDED_OVER = "handed_over"
"""The default layer's name: what the language model is given of the picture."""


class HandedOver(nn.Module):
    """What the language model is given of the picture, as a layer of its own; vectors (N,P,K) as they are."""

    def forward(self, vectors: Tensor) -> Tensor:
        """A copy, so that it counts as something computed."""
        return vectors.clone()


class MeasuredLayers(nn.Module):
    """The part of the adapter that says how its layers lie over a picture.

    Attributes:
        model: of transformers.
        explain_layer: the default layer.
    """

    model: Any
    explain_layer: str
    _parts: Handover | None
    _cells: dict[tuple[str, int, Size], Cells]

    def own_layer(self, name: str, x: Tensor, call: int | None) -> Layer | None:
        """A layer whose cells are measured on the original picture; None for one inside the language model."""
        size = (x.shape[-2], x.shape[-1])
        routes = self._routes_of(x[0])
        assert self._parts is not None
        if name == HANDED_OVER:
            cells = self._cells_of(name, 0, size, partial(self._vectors, routes))
            return Layer(name, lambda tensor, picture: cells.grid(), call, "measured")
        inner = name.removeprefix("model.")
        if inner == self._parts.language or inner.startswith(f"{self._parts.language}."):
            return None
        cells = self._cells_of(name, call or 0, size, partial(self._outputs, name, call or 0))
        return Layer(name, lambda tensor, picture: _flat_grid(cells, tensor), call, "measured")

    def own_names(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        """The layers that are listed, with what shape they have where that is not seen in a pass that writes a text.

        They are the encoder's last block, if its cells can be measured, and what is handed over.
        """
        routes = self._routes_of(x[0])
        assert self._parts is not None
        names = dict[str, tuple[int, ...]]()
        blocks = [m for m in find_module(self.model, self._parts.tower).modules() if isinstance(m, nn.ModuleList)]
        if blocks and (last := self._name_of(max(blocks, key=len)[-1])):
            with contextlib.suppress(ExplainError):
                self.own_layer(last, x, None)
                names[last] = ()
        if self.explain_layer == HANDED_OVER:
            names[HANDED_OVER] = (1, routes.places, sum(route.width for route in routes.each))
        return names

    def grid(self, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
        """How what is handed over lies over pictures of a size, once that is measured (see `own_layer`)."""
        cells = self._cells.get((layer, 0, picture))
        fits = cells is not None and tensor.ndim == 3 and tensor.shape[1] == cells.vectors
        return cells.grid() if cells is not None and fits and layer == HANDED_OVER else None

    def _cells_of(self, name: str, call: int, size: Size, vectors_of: Any) -> Cells:
        key = (name, call, size)
        if key not in self._cells:
            with as_found(self), self._as_it_was():
                try:
                    self._cells[key] = measure_cells(vectors_of, size)
                except ExplainError as error:
                    raise ExplainError(
                        f"It is not known where the vectors of {name!r} of {type(self.model).__name__} lie in a "
                        f"picture of {size[1]}×{size[0]}: {error}; name another layer, as the encoder's last block."
                    ) from error
        return self._cells[key]

    def _vectors(self, routes: Routes, picture: Image.Image) -> Tensor:
        """The vectors (P,K) of a picture."""
        inputs = self._inputs(to_x(picture).to(self._device), self._texts(1)[0])
        return routes.take(self._call(inputs), inputs["input_ids"][0])

    def _outputs(self, name: str, call: int, picture: Image.Image) -> Tensor:
        """What a layer before the language model gives for a picture, as vectors (P,K)."""
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is not None:
                found.append(tensor)

        handle = find_module(self, name).register_forward_hook(keep)
        try:
            self._call(self._inputs(to_x(picture).to(self._device), self._texts(1)[0]))
        finally:
            handle.remove()
        if len(found) <= call:
            raise ExplainError(f"it gives no such tensor in {len(found)} runs before the language model")
        if found[call].ndim < 2:
            raise ExplainError("it gives one number a picture")
        return _flat(found[call])

    if TYPE_CHECKING:  # what the adapter has

        @property
        def _device(self) -> torch.device: ...

        def _routes_of(self, x: Tensor) -> Routes: ...

        def _call(self, inputs: dict[str, Any]) -> dict[str, Any]: ...

        def _inputs(self, x: Tensor, text: str, tokens: Tensor | None = None) -> dict[str, Any]: ...

        def _texts(self, count: int) -> list[str]: ...

        def _as_it_was(self) -> contextlib.AbstractContextManager[None]: ...

        def _name_of(self, wanted: nn.Module) -> str: ...


def _flat(tensor: Tensor) -> Tensor:
    """(P,K) of tokens of any number of tiles, or of maps with the channels on their second axis."""
    return tensor.movedim(1, -1).flatten(0, -2) if tensor.ndim == 4 else tensor.flatten(0, -2)


def _flat_grid(cells: Cells, like: Tensor) -> Grid | None:
    """How a layer's output, of whatever axes, is read as one map of one picture."""
    grid = cells.grid()
    if like.ndim < 2 or len(_flat(like)) != cells.vectors:
        return None

    def write(t: Tensor, new: Tensor) -> Tensor:
        rows = grid.write(_flat(t)[None], new).flatten(0, 1)
        if t.ndim != 4:
            return rows.reshape(-1, *t.shape[1:])
        return rows.reshape(-1, *t.shape[2:], t.shape[1]).movedim(-1, 1)

    return Grid(lambda t: grid.read(_flat(t)[None]), write, grid.form)
