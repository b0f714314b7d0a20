"""Whose units are these? A number that changes with every weight that has a part in a layer's activations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn

from mmcam.engine.modules import layer_name
from mmcam.places.trace import PASSING

HALVES: Final = (torch.float16, torch.bfloat16)


def fingerprint(model: nn.Module, layer: str, rounded: torch.dtype = torch.float32) -> str:
    """Sixteen hex digits of the weights up to a layer, its own included: names of units belong to them.

    What counts is every parameter and floating buffer of the modules that are registered before the layer, hold it or
    are inside it, with the kinds of these modules, in their order; dropout is not counted. So a captioner and a VQA
    model that begin with the same encoder share the names of its units, and a new classifier on a frozen encoder
    leaves them valid; finetuning anything before the layer does not. A parameter of the whole model's own, or a
    language side registered before the encoder, counts too, so names may be refused that would fit; what is registered
    after the layer but run before it is overlooked. Values are compared in float32: half-precision weights that are
    loaded in float32 stay the same. Weights that are cast to half precision do not, unless they were halves before; see
    `cast_fingerprints`.

    Args:
        model: on any device.
        layer: dotted name, as in ``model.named_modules()``.
        rounded: the fingerprint that the model would have once it is cast to this type.

    Raises:
        ExplainError: there is no such layer.
    """
    layer = layer_name(model, layer)
    digest = hashlib.sha256()
    for kind, owned in _up_to(model, layer):
        digest.update(kind.encode())
        for tensor in owned:
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().to(rounded).float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def cast_fingerprints(model: nn.Module, layer: str) -> tuple[str, ...]:
    """The fingerprints that the model would have in half precision: rounding leaves the units what they are."""
    return tuple(fingerprint(model, layer, half) for half in HALVES)


def _up_to(model: nn.Module, layer: str) -> Iterator[tuple[str, list[Tensor]]]:
    """Kind (of modules without children) and tensors of each module, up to the layer's last."""
    reached = False
    for name, module in model.named_modules():
        inside = name == layer or name.startswith(f"{layer}.")
        if reached and not inside:
            return
        reached |= inside
        owned = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        counts = not isinstance(module, PASSING) and not any(True for _ in module.children())
        yield type(module).__name__ if counts else "", [t for t in owned if t.is_floating_point()]


class Origin:
    """Which weights an explanation was computed with, found out when someone asks.

    It keeps the model, so that one may ask why in the same line; copied or sent to another process, it takes only the
    fingerprint along.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        self._model: nn.Module | None = model
        self._layer = layer
        self._fingerprint = ""

    @classmethod
    def known(cls, fingerprint: str, layer: str) -> Origin:
        """Of weights whose fingerprint was written down."""
        origin = cls.__new__(cls)
        origin.__setstate__({"_model": None, "_layer": layer, "_fingerprint": fingerprint})
        return origin

    @property
    def of(self) -> tuple[int, str, str]:
        """The same for all explanations of one model at one layer, while it lives: they need one fingerprint."""
        return id(self._model), self._layer, self._fingerprint

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`."""
        return self._fingerprint if self._model is None else fingerprint(self._model, self._layer)

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": None, "_layer": self._layer, "_fingerprint": self.fingerprint}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
