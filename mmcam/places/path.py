"""How a tensor came from the picture: by operations that leave every cell over its part of it, or by others.

Convolutions, poolings and paddings, norms, resizing, pointwise functions and whatever only reorders channels keep the
rows and columns of a picture where they are, so the map of a layer that nothing else lies before needs no measurement.
Every operation of a forward is looked at, since the ones that move cells (a view, a roll, a flip) have no module. One
that is not known here counts as moving.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

Axes = tuple[int, int, int]
"""Where a tensor holds pictures, rows and columns."""


@dataclass(frozen=True)
class Kept:
    """Every cell is where it was in the picture.

    Attributes:
        axes: of pictures, rows and columns.
        flat: their sizes, where a linear layer has all three in axis 0.
    """

    axes: Axes
    flat: tuple[int, int, int] | None = None


State = Kept | None
"""None: it came from the picture, and cells may have moved."""

_SAME_AXES = {
    "clone", "detach", "alias", "_to_copy", "lift_fresh", "native_dropout", "copy_", "native_layer_norm",
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "miopen_batch_norm", "native_group_norm", "_fused_rms_norm", "hardswish", "hardsigmoid", "hardtanh", "relu6",
    "silu", "mish", "gelu", "elu", "celu", "selu", "leaky_relu", "_prelu_kernel", "rrelu_with_noise", "threshold",
    "softplus", "softshrink", "hardshrink", "log_sigmoid_forward", "masked_fill", "where",
}  # fmt: skip
"""Operations that give a tensor of the same shape, cell by cell, beside those that torch calls pointwise."""

_IMAGE = {
    "convolution", "_convolution", "cudnn_convolution", "mkldnn_convolution", "convolution_overrideable",
    "max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d",
    "adaptive_max_pool2d", "fractional_max_pool2d", "upsample_nearest2d", "_upsample_nearest_exact2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
}  # fmt: skip
"""Operations on maps (N,K,h,w) whose output lies over the same part of the picture."""

_PADDINGS = {"constant_pad_nd", "reflection_pad2d", "replication_pad2d"}
_REDUCTIONS = {"mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "linalg_vector_norm", "norm"}
_ALONG = {"_softmax", "_log_softmax", "cumsum", "split", "split_with_sizes", "unsafe_split", "chunk", "slice", "flip",
          "roll", "index_select", "glu"}  # fmt: skip
"""Operations along an axis, harmless along channels."""
_VIEWS = {"view", "_unsafe_view", "reshape", "_reshape_alias"}
_REORDERED = {"permute", "transpose", "t", "unsqueeze", "squeeze", "expand"}
_SEVERAL = {"split", "split_with_sizes", "unsafe_split", "chunk", "unbind"}
"""Operations whose outputs are all alike; of others only the first counts (the second of a max pool are indices)."""


class Path(TorchDispatchMode):
    """Follows what comes from some pictures (N,C,H,W) while it is on."""

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._states: MutableMapping[Tensor, State] = WeakTensorKeyDictionary()
        self._states[pictures] = Kept((0, 2, 3))
        self._spoiled: set[int] = set()  # storages that were written into by parts

    def kept(self, tensor: Tensor) -> Axes | None:
        """The axes of pictures, rows and columns, in this order, if every cell is where it was in the picture."""
        state = self._state(tensor) if self._of_picture(tensor) else None
        if state is None or state.flat is not None or list(state.axes) != sorted(state.axes) or state.axes[0] != 0:
            return None
        return state.axes

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, for seconds, to turn it off in here, where nothing is compiled

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        operation = _Operation(func, args, kwargs or {})
        states = [(t, self._state(t)) for t in operation.tensors if self._of_picture(t)]
        if operation.name.endswith("_like") or operation.name.startswith("new_"):
            states = []  # as large as a tensor of the picture, and not made of it
        changed = args[0] if func._schema.is_mutable and args and isinstance(args[0], Tensor) else None
        whole = changed is None or self._of_picture(changed) or not changed._is_view()
        result = func(*args, **operation.kwargs)
        storages = {_storage(t) for t in operation.tensors}
        for i, out in enumerate(_tensors((result,))):
            if _storage(out) not in storages:
                self._spoiled.discard(_storage(out))
            if states:
                known = whole and (i == 0 or operation.name in _SEVERAL)
                self._states[out] = _state_after(operation, states, out) if known else None
        if states and changed is not None and self._states.get(changed) is None:
            self._spoiled.add(_storage(changed))
        return result

    def _of_picture(self, tensor: Tensor) -> bool:
        return tensor in self._states or self._is_spoiled(tensor)

    def _is_spoiled(self, tensor: Tensor) -> bool:
        return bool(self._spoiled) and _storage(tensor) in self._spoiled

    def _state(self, tensor: Tensor) -> State:
        return None if self._is_spoiled(tensor) else self._states.get(tensor)


class _Operation:
    """One call of an operation, and its arguments by their names."""

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.name: str = func._schema.name.partition("::")[2]
        self.tensors = list(_tensors((*args, *kwargs.values())))

    def argument(self, *names: str) -> Any:
        """The value of the argument of one of some names, None where it has none of them."""
        for i, argument in enumerate(self.func._schema.arguments):
            if argument.name in names:
                given = self.args[i] if i < len(self.args) else argument.default_value
                return self.kwargs.get(argument.name, given)
        return None

    def dims(self, ndim: int) -> list[int]:
        """The axes it is told to work along."""
        value = self.argument("dim", "dims")
        return [d % ndim for d in ([value] if isinstance(value, int) else value or [])]


def _state_after(operation: _Operation, states: list[tuple[Tensor, State]], out: Tensor) -> State:
    """What an operation leaves of the order of its inputs."""
    name, func = operation.name, operation.func
    if name in _SAME_AXES or name.removesuffix("_") in _SAME_AXES or torch.Tag.pointwise in func.tags:
        return _together(states, out)
    found = {state for _, state in states}
    state = found.pop()
    if found or state is None:
        return None
    if name == "cat":
        return state if state.flat is None and operation.dims(out.ndim)[0] not in state.axes else None
    if len(states) > 1:
        return None
    tensor = states[0][0]
    if name in ("addmm", "mm"):  # a linear layer: its input, not its weight
        features = operation.argument("mat1" if name == "addmm" else "self")
        return state if state.flat is not None and tensor is features else None
    return _of_one(operation, tensor, state, out) if tensor is operation.argument("self", "input") else None


def _of_one(operation: _Operation, tensor: Tensor, state: Kept, out: Tensor) -> State:
    """What an operation on a single tensor of the picture leaves of its order."""
    name, axes = operation.name, state.axes
    if name in _VIEWS:
        return _viewed(state, tuple(tensor.shape), tuple(out.shape))
    if state.flat is not None:
        return None
    if name in _IMAGE or (name in _PADDINGS and _even(operation.argument("pad", "padding"), tensor)):
        return state if axes == (0, 2, 3) and tensor.ndim == 4 else None
    if name in _REORDERED:
        return _reordered(operation, tensor, axes, out)
    dims = set(operation.dims(tensor.ndim))
    if not dims or dims & set(axes):
        return None
    if name in ("select", "unbind") or (name in _REDUCTIONS and out.ndim < tensor.ndim):
        return _moved(axes, [d for d in range(tensor.ndim) if d not in dims])
    return state if name in _REDUCTIONS or name in _ALONG else None


def _together(states: list[tuple[Tensor, State]], out: Tensor) -> State:
    """Of a pointwise operation: all inputs in one order, or the same for all rows and columns."""
    found: set[Axes] = set()
    for tensor, state in states:
        if state is not None and state.flat is not None:
            return state if len(states) == 1 else None
        if state is not None:
            batch, row, column = (axis + out.ndim - tensor.ndim for axis in state.axes)
            found.add((batch, row, column))
    if len(found) != 1:
        return None
    (axes,) = found
    for tensor, state in states:
        for axis in axes[1:]:
            place = axis - (out.ndim - tensor.ndim)
            size = tensor.shape[place] if place >= 0 and tensor.stride(place) else 1  # expanded: one value for all
            if size != (1 if state is None else out.shape[axis]):
                return None
    return Kept(axes)


def _viewed(state: Kept, old: tuple[int, ...], new: tuple[int, ...]) -> State:
    """Of a view: an axis lives on where as many numbers stand before it as did."""
    if state.flat is not None:
        return Kept((0, 1, 2)) if new[:-1] == state.flat else state if new[0] == old[0] and len(new) == 2 else None
    n, h, w = (old[axis] for axis in state.axes)
    if len(old) == 4 and state.axes == (0, 1, 2) and new == (n * h * w, old[3]):
        return Kept(state.axes, (n, h, w))
    places = []
    for axis in state.axes:
        before = math.prod(old[:axis])
        same = [i for i, size in enumerate(new) if size == old[axis] and math.prod(new[:i]) == before]
        if not same:
            return None
        places.append(same[0])
    return Kept((places[0], places[1], places[2])) if len(set(places)) == 3 else None


def _reordered(operation: _Operation, tensor: Tensor, axes: Axes, out: Tensor) -> State:
    """Of an operation that moves, adds or drops whole axes."""
    name, ndim = operation.name, tensor.ndim
    order = list(range(ndim))
    if name == "permute":
        order = operation.dims(ndim)
    elif name == "t":
        order = order[::-1]
    elif name == "transpose":
        a, b = operation.argument("dim0") % ndim, operation.argument("dim1") % ndim
        order[a], order[b] = order[b], order[a]
    elif name == "unsqueeze":
        order.insert(operation.argument("dim") % (ndim + 1), -1)
    elif name == "squeeze":
        drop = set(operation.dims(ndim)) or set(order)
        order = [d for d in order if d not in drop or tensor.shape[d] != 1]
    else:  # expand
        order = [-1] * (out.ndim - ndim) + order
        if any(tensor.shape[axis] != out.shape[order.index(axis)] for axis in axes):
            return None
    return _moved(axes, order)


def _moved(axes: Axes, order: list[int]) -> State:
    """The axes in a new order of all axes, None where one of them is gone."""
    if any(axis not in order for axis in axes):
        return None
    batch, row, column = (order.index(axis) for axis in axes)
    return Kept((batch, row, column))


def _even(padding: Any, tensor: Tensor) -> bool:
    """A padding as convolutions have it, about the same on both sides: the map still lies over the whole picture."""
    if len(padding) != 4 or tensor.ndim != 4 or min(padding) < 0:
        return False
    sides = (*padding[:2], tensor.shape[3]), (*padding[2:], tensor.shape[2])
    return all(abs(a - b) <= 1 and max(a, b) <= max(3, side // 8) for a, b, side in sides)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
