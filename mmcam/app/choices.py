"""What may be chosen for a model: the methods that apply to it, its layers, and names that complete what is typed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from mmcam import METHODS, ExplainError, explain_answer, explain_caption, explain_class
from mmcam.adapters.class_names import classes_of
from mmcam.app.models import Model
from mmcam.datasets import vignettes
from mmcam.places.find import find_layer, spatial
from mmcam.preparation import batch_of
from mmcam.tasks.anything import TEXT, forward_of

Choice = tuple[str, str]
"""What is read, and what it stands for."""

_SEED = 20000123
"""Of the picture that a model's layers and methods are tried on."""

_kept: dict[tuple[int, str], Any] = {}


def methods_of(model: Model) -> list[Choice]:
    """The methods that apply to a model, with what they cost.

    Those that need something of it are tried on a picture, since it is by running that they find out.
    """
    with model.lock:
        return _once(model, "methods", lambda: [_told(name) for name in METHODS if _applies(name, model)])


def layers_of(model: Model) -> list[Choice]:
    """The layers where a map can be drawn, with their sizes; first the default, as ""."""
    with model.lock:
        return _once(model, "layers", lambda: _layers(model))


def targets_of(model: Model) -> list[Choice]:
    """The classes or answers of a model; wider words, as "cat" for all cats, come first. Of a captioner none."""
    with model.lock:
        return _once(model, "targets", lambda: _targets(model))


def _once(model: Model, what: str, make: Callable[[], list[Choice]]) -> list[Choice]:
    key = (id(model), what)
    if key not in _kept:
        _kept[key] = make()
    found: list[Choice] = _kept[key]
    return found


def _told(name: str) -> Choice:
    method = METHODS[name]
    slow = method.family == "perturbation" or name in ("smoothgrad", "integrated_gradients")
    return f"{name}{' (takes a while)' if slow else ''}", name


def _applies(name: str, model: Model) -> bool:
    if not METHODS[name].needs:
        return True
    picture, ask = vignettes.draw(_SEED).image, {"method": name, "preprocess": model.preprocess}
    try:
        if "caption" in model.tasks:
            explain_caption(model.module, picture, 0, **ask)
        elif "answer" in model.tasks:
            explain_answer(model.module, picture, TEXT, **ask)
        else:
            explain_class(model.module, picture, **ask)
    except ExplainError:
        return False
    return True


def _layers(model: Model) -> list[Choice]:
    module: Any = model.module
    x = batch_of(module, vignettes.draw(_SEED).image, model.preprocess).x
    forward = forward_of(module)
    found: dict[str, tuple[int, int, int]] = {}
    for spot in spatial(module, forward, x):
        if spot.map[1] > 1 or spot.map[2] > 1:
            found.setdefault(spot.call.name, spot.map)
    try:
        usual = find_layer(module, forward, x)
    except ExplainError:
        usual = ""
    told = [(f"{name} · {k} × {h} × {w}", name) for name, (k, h, w) in reversed(found.items())]
    size = " × ".join(map(str, found[usual])) if usual in found else ""
    return [(" · ".join(filter(None, ("the default", usual, size))), ""), *told]


def _targets(model: Model) -> list[Choice]:
    if "caption" in model.tasks:
        return []
    if "answer" in model.tasks:
        return [(answer, answer) for answer in getattr(model.module, "answers", ())]
    classes = classes_of(model.module)
    wider = [
        (f"{word} (the likeliest of {len(of)})", word)
        for word, of in sorted(classes.wider.hypernyms.items())
        if len(of) > 1
    ]
    return [*wider, *((name, name) for name in classes.names or ())]


@cache
def colour_maps() -> dict[str, bytes]:
    """The colour maps that are offered, 256×3 bytes each: all of a lightness that grows evenly, so that they are read
    by those who do not tell red from green, and in grey.
    """
    import numpy as np
    from matplotlib import colormaps

    return {
        name: (colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes()
        for name in ("plasma", "viridis", "cividis", "inferno", "gray")
    }
