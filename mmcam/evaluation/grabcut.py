"""A box from a saliency map and the picture's colours (Simonyan et al., arXiv 1312.6034, section 3.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmcam.evaluation.extra import metrics_module
from mmcam.evaluation.localisation import Box


def grabcut_box(
    picture: NDArray[np.uint8],
    saliency: NDArray[np.floating],
    *,
    foreground: float = 0.95,
    background: float = 0.30,
    iterations: int = 5,
) -> Box | None:
    """The box of the largest connected part that GrabCut grows from the most salient pixels.

    Pixels from the `foreground` quantile of the saliency up are taken for the thing, those down from the `background`
    one for what is around it; what lies between belongs to whichever its colours and neighbours speak for. That the two
    quantiles are these is the paper's; its colour model and segmentation are those of GrabCut (Rother et al. 2004),
    here OpenCV's.

    Args:
        picture: (H, W, 3), RGB.
        saliency: (H, W), the gradient's largest magnitude over the channels.
        foreground, background: quantiles, 0 < background < foreground < 1.
        iterations: of GrabCut.

    Returns:
        (left, top, right, bottom), right and bottom inclusive; None where both quantiles are one, as for a map that
        is the same everywhere: it tells no pixel from another.

    Raises:
        ValueError: sizes that do not fit, or quantiles that do not rise.
        ExplainError: OpenCV is not installed.
    """
    from scipy import ndimage

    cv2 = metrics_module("cv2", "GrabCut needs OpenCV")

    if picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[:2] != saliency.shape:
        raise ValueError(f"The picture is {picture.shape} and the map {saliency.shape}; pass (H,W,3) and (H,W).")
    if not 0 < background < foreground < 1:
        raise ValueError(f"Quantiles background={background}, foreground={foreground} do not rise between 0 and 1.")
    low, high = np.quantile(saliency, [background, foreground])
    if not low < high:
        return None
    marks = np.full(saliency.shape, cv2.GC_PR_BGD, np.uint8)
    marks[saliency >= (low + high) / 2] = cv2.GC_PR_FGD  # where GrabCut starts from; it moves these as it likes
    marks[saliency <= low], marks[saliency >= high] = cv2.GC_BGD, cv2.GC_FGD
    cv2.setRNGSeed(0)  # its colour models start at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(picture[..., ::-1]), marks, (0, 0, 0, 0), *models, iterations, cv2.GC_INIT_WITH_MASK
    )
    parts, count = ndimage.label((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD))
    largest = 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=count + 1)[1:]))
    rows, columns = ndimage.find_objects(parts)[largest - 1]
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1
