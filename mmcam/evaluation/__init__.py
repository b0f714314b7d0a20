"""Metrics: pure functions on anyone's maps and truth. Each names its source; none reads a file or a model by name.

A map is an array (H,W) over a picture's pixels, un-normalised, whoever made it; a mask is true on the thing.

    from mmcam import evaluation as ev

    ev.inside(peak, mask, tolerance=15)           # the pointing game
    ev.localised(ev.Located([(box, label)], {label: [truth]}))
    ev.rank_correlation(heatmap, occlusion)       # faithfulness, human attention
    ev.mass(heatmap, mask), ev.rank(heatmap, mask)
    ev.mean(hits, pictures)                       # with its standard error
"""

from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.deletion import Curve, deletion, insertion, road
from mmcam.evaluation.drop import average_drop, drops, increase, seen_through, win
from mmcam.evaluation.grabcut import grabcut_box
from mmcam.evaluation.imputation import impute
from mmcam.evaluation.inside_outside import box_mask, inside_outside
from mmcam.evaluation.localisation import Error, Located, classified, covered, errors, inclusive, iou, localised
from mmcam.evaluation.pointing import (
    Offered,
    accuracy_with_rejection,
    centre,
    chance,
    class_mean,
    inside,
    peak,
    per_class,
    rejection_threshold,
)
from mmcam.evaluation.relevance import found, mass, rank
from mmcam.evaluation.sanity import layers_from_top, randomised, reinitialise, similarity, structural_similarity
from mmcam.evaluation.sensitivity import max_sensitivity
from mmcam.evaluation.uncertainty import Interval, Mean, bootstrap, mean
from mmcam.evaluation.vqa_accuracy import accuracy as vqa_accuracy
from mmcam.evaluation.vqa_accuracy import normalise as normalise_answer

__all__ = [
    "Curve",
    "Error",
    "Interval",
    "Located",
    "Mean",
    "Offered",
    "accuracy_with_rejection",
    "average_drop",
    "bootstrap",
    "box_mask",
    "centre",
    "chance",
    "class_mean",
    "classified",
    "covered",
    "deletion",
    "drops",
    "errors",
    "found",
    "grabcut_box",
    "impute",
    "inclusive",
    "increase",
    "insertion",
    "inside",
    "inside_outside",
    "iou",
    "layers_from_top",
    "localised",
    "mass",
    "max_sensitivity",
    "mean",
    "normalise_answer",
    "peak",
    "per_class",
    "randomised",
    "rank",
    "rank_correlation",
    "reinitialise",
    "rejection_threshold",
    "road",
    "seen_through",
    "similarity",
    "structural_similarity",
    "vqa_accuracy",
    "win",
]
