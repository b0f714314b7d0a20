"""The modules of a model: inside wrappers, by name, and whether gradients can be recorded through them."""

from __future__ import annotations

import difflib
import reprlib

import torch
import torch.utils.checkpoint
from torch import nn

from mmcam.engine.weights import absent, unrecordable, untrained
from mmcam.errors import ExplainError, IndependentError


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile wrappers.

    Raises:
        ExplainError: no module; TorchScript and quantised modules, whose layers give no gradients; weights without
            values.
    """
    while isinstance(inner := getattr(model, "_orig_mod", None) or _parallel(model), nn.Module):
        model = inner
    if not isinstance(model, nn.Module):
        raise ExplainError(f"A model is an instance of torch.nn.Module, and {reprlib.repr(model)} is none.")
    if isinstance(model, torch.jit.ScriptModule):
        raise ExplainError("TorchScript models take no hooks on their layers; pass the Python module it was made from.")
    if any("quantized" in type(module).__module__ for module in model.modules()):
        raise ExplainError("Quantised layers have no gradients; pass the float model it was made from.")
    if problem := absent(model):
        raise ExplainError(problem)
    return model


def _parallel(model: nn.Module) -> nn.Module | None:
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    return model.module if isinstance(model, wrappers) else None


def find_module(model: nn.Module, name: str) -> nn.Module:
    """The submodule of a dotted name.

    Raises:
        ExplainError: there is none; the message lists the closest names.
    """
    modules = dict(model.named_modules())
    if name not in modules or not name:
        near = difflib.get_close_matches(name, [n for n in modules if n], n=4, cutoff=0.3)
        hint = f"did you mean {', '.join(near)}?" if near else "`mmcam layers` lists them."
        raise ExplainError(f"There is no layer {name!r} in {type(model).__name__}; {hint}")
    module: nn.Module = modules[name]
    return module


def check_recordable(model: nn.Module) -> None:
    """Raise ExplainError if no gradient can be recorded through a model's weights."""
    if problem := unrecordable(model):
        raise ExplainError(problem)


def independent(layer: str, model: nn.Module) -> IndependentError:
    """The error for a target without a gradient at a layer of a model."""
    problem = f"The target does not depend on layer {layer!r}: its gradient there is zero"
    if cause := untrained(model):
        return IndependentError(f"{problem}, {cause}; load trained ones.")
    return IndependentError(f"{problem}; choose another layer (`mmcam layers` lists them) or another target.")
