"""The modules of a model: inside wrappers, by name, and whether gradients can be recorded through them."""

from __future__ import annotations

import difflib
import re
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
    """The submodule of a dotted name, or of another way to write it (see `layer_name`).

    Raises:
        ExplainError: there is none; the message lists the closest names.
    """
    module = _named(model, layer_name(model, name))
    assert module is not None
    return module


def _named(model: nn.Module, name: str) -> nn.Module | None:
    """The module of a dotted name as it is registered, without a look at all the others; None where there is none."""
    module: nn.Module | None = model
    for part in name.split("."):
        module = None if module is None else module._modules.get(part)
    return module


def each_layer(given: object) -> list[object]:
    """The layers in what a user gives as one layer or several.

    Raises:
        ExplainError: an empty list.
    """
    if not isinstance(given, (list, tuple)):
        return [given]
    if not given:
        raise ExplainError("The list of layers is empty; name at least one.")
    return list(given)


def layer_name(model: nn.Module, given: object) -> str:
    """The dotted name, as in ``model.named_modules()``, of a layer as people write it.

    Args:
        model: without its wrappers (see `unwrap`).
        given: the module itself; its dotted name; the same with positions counted as Python counts them
            (``"layer4[-1]"``, ``"layer4.-1"``, ``"layer4[1].conv2"``) or keys (``"heads['a']"``), or with the names
            that a wrapper of the whole model put in front (``"module.layer4"``, ``"_orig_mod.layer4"``).

    Returns:
        The first of its names, where one module is registered under several: it is one layer that runs several times.

    Raises:
        ExplainError: there is none, with the closest names; it is the model itself; it is TorchScript.
    """
    module: nn.Module | None
    if isinstance(given, nn.Module):
        held = any(module is given for module in model.modules())
        module, shown = given if held else _unwrapped_part(given), f"{type(given).__name__} given as layer="
    elif isinstance(given, str):
        module, shown = _follow(model, given), f"layer {_short(given)}"
    else:
        raise ExplainError(
            f"A layer is a dotted name or the module itself, and {_short(given)} is neither; `mmcam layers` lists them."
        )
    name: str | None = next((name for name, other in model.named_modules() if other is module), None)
    if module is None or name is None:
        hint = _closest(model, given) if isinstance(given, str) else "pass a module of this very model, or its name."
        raise ExplainError(f"There is no {shown} in {type(model).__name__}; {hint}")
    if not name:
        raise ExplainError(f"The layer is {type(model).__name__} itself; choose one inside it (`mmcam layers`).")
    if isinstance(module, torch.jit.ScriptModule):
        raise ExplainError(
            f"Layer {name!r} is TorchScript, which takes no hooks; choose a layer of plain Python before or after it."
        )
    return name


_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]]+)|\[\s*(?P<position>[+-]?\d+)\s*\]|\[(?P<mark>["'])(?P<key>[^"']+)(?P=mark)\]"""
)
"""A child by its name, by its position in brackets, or by its key in brackets."""

_IN_FRONT = re.compile(r"^(?:module|_orig_mod)\.")


def _follow(model: nn.Module, written: str) -> nn.Module | None:
    """The module that a text leads to; None where it leads nowhere."""
    exact = _named(model, written)
    if exact is not None:
        return exact
    written = written.strip()
    module: nn.Module | None = model if written else None
    rest = written if written.startswith("[") else f".{written}"
    while rest and module is not None:
        step = _STEP.match(rest)
        module, rest = (_child(module, step), rest[step.end() :]) if step else (None, "")
    inner = _IN_FRONT.sub("", written, count=1)
    return _follow(model, inner) if module is None and inner != written else module


def _child(module: nn.Module, step: re.Match[str]) -> nn.Module | None:
    children = {name: child for name, child in module._modules.items() if child is not None}
    name = step["name"] or step["key"]
    if name in children:
        return children[name]
    position = step["position"] or (name if re.fullmatch(r"-\d+", name or "") else None)
    # Python counts in sequences only; elsewhere the order of registration may not be the one a reader means.
    if position is None or not (isinstance(module, nn.Sequential) or all(key.isdigit() for key in children)):
        return None
    number = int(position[:20])
    return list(children.values())[number] if -len(children) <= number < len(children) else None


def _unwrapped_part(module: nn.Module) -> nn.Module:
    """The module that a wrapper of it runs, as the whole model's wrappers are taken off."""
    while isinstance(inner := getattr(module, "_orig_mod", None) or _parallel(module), nn.Module):
        module = inner
    return module


def _closest(model: nn.Module, name: str) -> str:
    """Which layers may be meant by a name that is none."""
    names = [n for n, _ in model.named_modules() if n]
    name = re.sub(r"\[[\s\"']*([^\[\]\"']*)[\s\"']*\]", r".\1", name.strip()[:100])
    inside = [n for n in names if name and (n.endswith(f".{name}") or name.endswith(f".{n}"))]
    near = [*inside[:4], *(n for n in difflib.get_close_matches(name, names, n=4, cutoff=0.3) if n not in inside)]
    return f"did you mean {', '.join(near[:4])}?" if near else "`mmcam layers` lists them."


def _short(given: object) -> str:
    """What was given, on one line of bearable length."""
    if not isinstance(given, (str, bytes, int, float, type(None))):
        return f"a {type(given).__name__}"
    text = repr(given[:200]) if isinstance(given, (str, bytes)) else repr(given)
    return text if len(text) <= 100 else f"{text[:80]}…"


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
