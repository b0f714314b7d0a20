"""Whose units are these? A number that changes with every weight that has a part in a layer's activations."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator

from torch import Tensor, nn

from mmcam.engine import ExplainError, find_module
from mmcam.layers import PASSING


def fingerprint(model: nn.Module, layer: str) -> str:
    """Sixteen hex digits of the weights up to a layer, its own included: names of units belong to them.

    What counts is every parameter and floating buffer of the modules that are registered before the layer, hold it or
    are inside it, with the kinds of these modules, in their order; dropout is not counted. So a captioner and a VQA
    model that begin with the same encoder share the names of its units, and a new classifier on a frozen encoder
    leaves them valid; finetuning anything before the layer does not. A parameter of the whole model's own, or a
    language side registered before the encoder, counts too, so names may be refused that would fit; what is registered
    after the layer but run before it is overlooked. Values are compared in float32: half-precision weights that are
    loaded in float32 stay the same.

    Args:
        model: on any device.
        layer: dotted name, as in ``model.named_modules()``.

    Raises:
        ExplainError: there is no such layer.
    """
    find_module(model, layer)
    digest = hashlib.sha256()
    for kind, owned in _up_to(model, layer):
        digest.update(kind.encode())
        for tensor in owned:
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


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

    It does not keep the model alive. Copied to another process, it takes the fingerprint along.
    """

    def __init__(self, model: nn.Module, layer: str) -> None:
        self._model = weakref.ref(model)
        self._layer = layer
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """See `fingerprint`.

        Raises:
            ExplainError: the model is gone.
        """
        if not self._fingerprint:
            model = self._model()
            if model is None:
                raise ExplainError(
                    "The model of this explanation is gone, so nobody can tell whether these are its units' names; "
                    "keep the model until why() has answered."
                )
            return fingerprint(model, self._layer)
        return self._fingerprint

    def __getstate__(self) -> dict[str, str]:
        model = self._model()
        known = self._fingerprint or (fingerprint(model, self._layer) if model is not None else "")
        return {"layer": self._layer, "fingerprint": known}

    def __setstate__(self, state: dict[str, str]) -> None:
        self._model = lambda: None  # type: ignore[assignment]
        self._layer, self._fingerprint = state["layer"], state["fingerprint"]
