"""What may be chosen for a model: the methods that apply to it, its layers, and names that complete what is typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from mmcam import METHODS, ExplainError, explain_answer, explain_caption, explain_class
from mmcam.adapters.class_names import classes_of
from mmcam.app.models import Model
from mmcam.datasets import vignettes
from mmcam.explain.looking import looked_at
from mmcam.places.find import find_layer, spatial
from mmcam.places.survey import Spot, spots, survey
from mmcam.preparation import batch_of
from mmcam.tasks.anything import TEXT, forward_of

Choice = tuple[str, str]
"""What is read, and what it stands for."""

_SEED = 20000123
"""Of the picture that a model's layers and methods are tried on."""

Made = TypeVar("Made")


def methods_of(model: Model) -> list[Choice]:
    """The methods that apply to a model.

    Those that need something of it are tried on a picture, since it is by running that they find out: one of each need.
    """
    return _once(model, "methods", lambda: [_told(name) for name in METHODS if applies(name, model)])


def applies(name: str, model: Model) -> bool:
    """Whether a method applies to a model, as far as trying it on a picture tells."""
    needs = METHODS[name].needs
    if not needs:
        return True
    with model.lock:
        return bool(_once(model, needs, lambda: _tried(name, model)))


def layers_of(model: Model) -> list[Choice]:
    """The layers where a map can be drawn, with their sizes; first the default, as ""."""
    with model.lock:
        return _once(model, "layers", lambda: _layers(model))


def targets_of(model: Model) -> list[Choice]:
    """The classes or answers of a model; wider words, as "cat" for all cats, come first. Of a captioner none."""
    with model.lock:
        return _once(model, "targets", lambda: _targets(model))


def _once(model: Model, what: str, make: Callable[[], Made]) -> Made:
    """What was made for a model before, or is now."""
    if what not in model.known:
        model.known[what] = make()
    found: Made = model.known[what]
    return found


def _told(name: str) -> Choice:
    method = METHODS[name]
    slow = method.family == "perturbation" or name in ("smoothgrad", "integrated_gradients")
    return f"{name}{' (takes a while)' if slow else ''}", name


def _tried(name: str, model: Model) -> bool:
    """Whether a map can be made by a method."""
    picture, ask = vignettes.draw(_SEED).image, {"preprocess": model.preprocess}
    seen = looked_at(model.module, picture, None, model.preprocess)
    try:
        if "caption" in model.tasks:
            text = _once(model, "caption", lambda: explain_caption(model.module, seen, **ask).caption)
            explain_caption(model.module, seen, 0, caption=text, method=name, **ask)
        elif "answer" in model.tasks:
            explain_answer(model.module, seen, TEXT, method=name, **ask)
        else:
            explain_class(model.module, seen, method=name, **ask)
    except ExplainError:
        return False
    return True


def _layers(model: Model) -> list[Choice]:
    module: Any = model.module
    x = batch_of(module, vignettes.draw(_SEED).image, model.preprocess).x
    forward = forward_of(module)
    known = survey(module, forward, x)
    try:
        usual = find_layer(module, forward, x)
    except ExplainError:
        usual = ""
    found = sizes(spots(module, known))
    if usual not in found:  # its layers are not convolutional: where their cells lie has to be measured
        found = sizes(spatial(module, forward, x))
    told = [(f"{name} · {_size(size)}", name) for name, size in reversed(found.items()) if not _inside(name, found)]
    size = _size(found[usual]) if usual in found else ""
    return [(" · ".join(filter(None, ("the default", usual, size))), ""), *told]


def sizes(found: Sequence[Spot]) -> dict[str, tuple[int, int, int]]:
    """The layers with more than one cell: K, h and w by name."""
    return {spot.call.name: spot.map for spot in found if max(spot.map[1:]) > 1}


def _size(size: tuple[int, int, int]) -> str:
    return " × ".join(map(str, size))


def _inside(name: str, found: Mapping[str, tuple[int, int, int]]) -> bool:
    """Whether a layer is a part of one with as many cells and channels, whose output says more."""
    parts = name.split(".")
    return any(found.get(".".join(parts[:count])) == found[name] for count in range(1, len(parts)))


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
    return [*wider, *((str(name), str(name)) for name in classes.names or ())]


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
