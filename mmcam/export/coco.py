"""Explanations as COCO's results, which its own evaluation and most annotation tools read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcam.errors import ExplainError
from mmcam.explanation import Explanation


def coco_results(
    explanations: Sequence[Explanation],
    images: Sequence[int],
    categories: Mapping[str, int],
    *,
    threshold: float = 0.15,
) -> list[dict[str, Any]]:
    """Explanations of classes or words as results in COCO's format: the largest segment of each map, and its box.

    ``json.dump(results, file)`` writes the file that ``COCO.loadRes`` reads. A map that is empty finds nothing and has
    no result.

    Args:
        explanations: one target each.
        images: the id of each one's picture.
        categories: the id of each target, by its name: ``{c["name"]: c["id"] for c in instances["categories"]}``.
        threshold: of the segment, a share of the map's maximum.

    Returns:
        For each "image_id", "category_id", "segmentation" (compressed run lengths, {"size", "counts"}), "bbox" (left,
        top, width, height), "area" and "score", the explanation's: a logit ranks as a probability does.

    Raises:
        ExplainError: pycocotools is not installed; not one id a picture; a target that is no category; a score that is
            not finite, which COCO cannot rank.

    Source: cocodataset.org, "Results format"; Lin et al., Microsoft COCO, arXiv 1405.0312.
    """
    try:
        from pycocotools import mask as run_lengths
    except ImportError as error:
        raise ExplainError("COCO's run lengths need pycocotools; install it with pip install 'mmcam[coco]'.") from error

    if len(images) != len(explanations):
        raise ExplainError(f"There are {len(explanations)} explanations and {len(images)} image ids; give one id each.")
    results = []
    for exp, image in zip(explanations, images, strict=True):
        if not isinstance(exp, Explanation):
            raise ExplainError(
                f"COCO's results are of single targets, and a {type(exp).__name__} is none; pass its words."
            )
        if exp.target not in categories:
            raise ExplainError(f"No category is called {exp.target[:80]!r}; add its id to categories=.")
        if not math.isfinite(exp.score):
            raise ExplainError(
                f"The score of {exp.target[:80]!r} is {exp.score}, which COCO cannot rank; leave it out."
            )
        box = exp.box(threshold)
        if box is None:
            continue
        segment = _largest(exp.mask(threshold))
        encoded = run_lengths.encode(np.asfortranarray(segment.astype(np.uint8)))
        left, top, right, bottom = box
        results.append(
            {
                "image_id": int(image),
                "category_id": int(categories[exp.target]),
                "segmentation": {"size": list(segment.shape), "counts": encoded["counts"].decode()},
                "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
                "area": int(segment.sum()),
                "score": float(exp.score),
            }
        )
    return results


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest segment of a mask (H,W) over the eight neighbours, the first of equally large ones."""
    from scipy import ndimage

    segments, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(segments.ravel())
    sizes[0] = 0
    return np.asarray(segments == int(np.argmax(sizes)))
