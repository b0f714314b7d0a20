"""Which part of a picture made a model choose a class, say a word of a caption, or answer a question."""

from mmcam import models
from mmcam.adapters.transformers import wrap
from mmcam.engine.run import Evidence
from mmcam.errors import ExplainError, IndependentError, PictureError
from mmcam.explain import (
    attribute,
    evidence,
    explain_action,
    explain_answer,
    explain_caption,
    explain_class,
    explain_similarity,
    record,
)
from mmcam.explain.check import Check, check
from mmcam.explanation import CaptionExplanation, Explanation, QuestionExplanation, load_explanation
from mmcam.grounding import Grounding, grounding
from mmcam.image import Geometry, Preprocess, load_image
from mmcam.methods import METHODS, backward_rules, register, register_cam
from mmcam.neurons.dissect import dissect
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import Names
from mmcam.tasks.captioning import Captioner
from mmcam.tasks.scores import SCORES, register_score
from mmcam.tasks.similarity import SimilarityModel
from mmcam.tasks.vqa import VQAModel
from mmcam.version import __version__

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
    "Geometry",
    "Grounding",
    "IndependentError",
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
    "dissect",
    "evidence",
    "explain_action",
    "explain_answer",
    "explain_caption",
    "explain_class",
    "explain_similarity",
    "grounding",
    "load_explanation",
    "load_image",
    "models",
    "record",
    "register",
    "register_cam",
    "register_score",
    "wrap",
]
