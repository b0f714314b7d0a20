"""The public functions: from a question a person asks to an Explanation, where one task and one method meet."""

from mmcam.explain.actions import explain_action
from mmcam.explain.answers import explain_answer
from mmcam.explain.attribution import attribute, evidence, record
from mmcam.explain.boxes import explain_box
from mmcam.explain.captions import explain_caption
from mmcam.explain.classes import explain_class
from mmcam.explain.regions import explain_region
from mmcam.explain.similarities import explain_similarity

__all__ = [
    "attribute",
    "evidence",
    "explain_action",
    "explain_answer",
    "explain_box",
    "explain_caption",
    "explain_class",
    "explain_region",
    "explain_similarity",
    "record",
]
