"""Which part of a picture made a model choose a class, say a word of a caption, or answer a question.

Importing this loads nothing heavy: each name is imported when it is first used.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmcam.version import __version__

if TYPE_CHECKING:
    from mmcam import models
    from mmcam.adapters.transformers import wrap
    from mmcam.comparison import compare
    from mmcam.engine.run import Evidence
    from mmcam.errors import ExplainError, IndependentError, PictureError
    from mmcam.explain import (
        attribute,
        evidence,
        explain_action,
        explain_answer,
        explain_box,
        explain_caption,
        explain_class,
        explain_region,
        explain_similarity,
        record,
    )
    from mmcam.explain.check import Check, check
    from mmcam.explain.looking import look
    from mmcam.explanation import (
        CaptionExplanation,
        Explanation,
        Explanations,
        QuestionExplanation,
        load_explanation,
    )
    from mmcam.export.coco import coco_results
    from mmcam.export.table import table
    from mmcam.grounding import Grounding, grounding
    from mmcam.image import Geometry, Preprocess, load_image
    from mmcam.looked import Looked
    from mmcam.methods import METHODS, backward_rules, register, register_cam
    from mmcam.neurons.dissect import dissect
    from mmcam.neurons.dissection import Dissection
    from mmcam.neurons.names import Names
    from mmcam.tasks.captioning import Captioner
    from mmcam.tasks.scores import SCORES, register_score
    from mmcam.tasks.similarity import SimilarityModel
    from mmcam.tasks.vqa import VQAModel

__all__ = [
    "METHODS",
    "SCORES",
    "CaptionExplanation",
    "Captioner",
    "Check",
    "Dissection",
    "Evidence",
    "ExplainError",
    "Explanation",
    "Explanations",
    "Geometry",
    "Grounding",
    "IndependentError",
    "Looked",
    "Names",
    "PictureError",
    "Preprocess",
    "QuestionExplanation",
    "SimilarityModel",
    "VQAModel",
    "__version__",
    "attribute",
    "backward_rules",
    "check",
    "coco_results",
    "compare",
    "dissect",
    "evidence",
    "explain_action",
    "explain_answer",
    "explain_box",
    "explain_caption",
    "explain_class",
    "explain_region",
    "explain_similarity",
    "grounding",
    "load_explanation",
    "load_image",
    "look",
    "models",
    "record",
    "register",
    "register_cam",
    "register_score",
    "table",
    "wrap",
]

_HOMES = {
    "mmcam.adapters.transformers": ("wrap",),
    "mmcam.comparison": ("compare",),
    "mmcam.engine.run": ("Evidence",),
    "mmcam.errors": ("ExplainError", "IndependentError", "PictureError"),
    "mmcam.explain": (
        *("attribute", "evidence", "explain_action", "explain_answer", "explain_caption", "explain_class"),
        *("explain_box", "explain_region", "explain_similarity", "record"),
    ),
    "mmcam.explain.check": ("Check", "check"),
    "mmcam.explain.looking": ("look",),
    "mmcam.explanation": (
        *("CaptionExplanation", "Explanation", "Explanations", "QuestionExplanation", "load_explanation"),
    ),
    "mmcam.export.coco": ("coco_results",),
    "mmcam.export.table": ("table",),
    "mmcam.grounding": ("Grounding", "grounding"),
    "mmcam.image": ("Geometry", "Preprocess", "load_image"),
    "mmcam.looked": ("Looked",),
    "mmcam.methods": ("METHODS", "backward_rules", "register", "register_cam"),
    "mmcam.neurons.dissect": ("dissect",),
    "mmcam.neurons.dissection": ("Dissection",),
    "mmcam.neurons.names": ("Names",),
    "mmcam.tasks.captioning": ("Captioner",),
    "mmcam.tasks.scores": ("SCORES", "register_score"),
    "mmcam.tasks.similarity": ("SimilarityModel",),
    "mmcam.tasks.vqa": ("VQAModel",),
}
"""Where the names of `__all__` are defined; of those that are not here, the module of the same name is meant."""

_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif not name.startswith("__") and find_spec(f"{__name__}.{name}") is not None:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """This module: a function of it is not hidden by the module of its name, `mmcam.grounding`."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
