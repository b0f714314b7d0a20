"""The results: which part of a picture spoke for a target, or for each word of a text."""

from mmcam.explanation.load import load_explanation
from mmcam.explanation.several import Explanations
from mmcam.explanation.target import Explanation
from mmcam.explanation.text import CaptionExplanation, QuestionExplanation

__all__ = ["CaptionExplanation", "Explanation", "Explanations", "QuestionExplanation", "load_explanation"]
