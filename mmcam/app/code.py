"""The lines of Python that do what a form asks."""

from __future__ import annotations

from typing import Any

from mmcam.app.asking import Answered, class_of, options_of, task_of


def python(answered: Answered, item: int, panel: int = 0) -> str:
    """A program that makes one of the maps; all but its last line say how the model and the picture are got."""
    settings, model, one = answered.settings, answered.model, answered.panels[panel]
    task, exp = task_of(settings, model), one.items[item]
    asked: list[str] = []
    more: dict[str, Any] = {}
    own = one.more is not None and item == len(one.items) - 1
    if task == "class":
        prediction = exp.prediction
        shown = None if prediction is None else prediction.index
        target = class_of(settings.target) if own or item == 0 else shown
        asked += [] if target is None else [repr(target)]
    elif task == "caption":
        words = len(one.items) - own - 1
        more["caption"] = exp.context
        if own:
            asked.append(repr(settings.target))
        elif item < words:
            asked.append(repr(item))
    else:
        asked.append(repr(settings.text))
        asked += [repr(settings.target)] if settings.target else []
        more |= {} if own or hasattr(model.module, "asked") else {"by_word": True}
    if own and settings.contrast:
        more["contrast"] = class_of(settings.contrast) if task == "class" else settings.contrast
    more |= {"method": one.method} if one.method != "gradcam" else {}
    more |= {"layer": settings.layer} if settings.layer else {}
    more |= options_of(one.method, settings)
    given = [*asked, *(f"{name}={value!r}" for name, value in more.items())]
    head, tail = _model(answered), ""
    if model.preprocess is not None:
        given.append("preprocess=preprocess")
    if task == "answer" and "by_word" in more and item < len(one.items) - 1:
        tail = f"[{item}]"
    if task == "caption" and not own and item == len(one.items) - 1:
        tail = ".whole"
    if task == "answer" and "by_word" in more and not tail:
        tail = ".answer"
    call = f"exp = mmcam.explain_{task}({', '.join(['model', 'picture', *given])}){tail}"
    return "\n".join(["import mmcam", *head, f"picture = {answered.picture.code}", call])


def _model(answered: Answered) -> list[str]:
    """How the model is got."""
    model = answered.model
    imports = ["import mmcam.datasets.photographs"] if "photographs" in answered.picture.code else []
    imports += ["import mmcam.datasets.vignettes"] if answered.picture.drawn else []
    if model.bundled:
        return [*imports, f"model = mmcam.models.load({model.name!r})"]
    weights = "" if model.weights is None else f', Path("{model.weights.name}")'
    paths = ["from pathlib import Path"] if weights else []
    loader = "from mmcam.models.specification import load_model"
    return [*paths, loader, *imports, f"model, preprocess = load_model({model.name!r}{weights})"]
