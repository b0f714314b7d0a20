"""The results: which part of a picture spoke for a target, or for each word of a text."""

from mmcam.explanation.load import load_explanation
from mmcam.explanation.target import Explanation
from mmcam.explanation.text import CaptionExplanation, QuestionExplanation

__all__ = ["CaptionExplanation", "Explanation", "QuestionExplanation", "load_explanation"]
