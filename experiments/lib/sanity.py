"""How alike two maps of a picture are, as sanity checks ask, and the figures of many pictures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.protocol import OPTIONS
from experiments.lib.tables import with_count
from mmcam.evaluation import Mean, mean
from mmcam.evaluation.sanity import similarity, structural_similarity


def maps(model: nn.Module, x: Tensor, target: Tensor, layer: str, method: str) -> Tensor:
    """(N,h,w), of a pixel method the value of the largest magnitude over the channels, with its sign."""
    made = mmcam.attribute(model, x, [target], layer=layer, method=method, **OPTIONS.get(method, {}))[0]
    return made if made.ndim == 3 else made.gather(1, made.abs().argmax(1, keepdim=True))[:, 0]


def compared(before: Tensor, after: Tensor, size: Sequence[int]) -> dict[str, float]:
    """Both similarities of two maps (h,w), of their magnitudes and, where they have signs, of themselves."""

    def enlarged(cam: Tensor) -> Tensor:
        return F.interpolate(cam[None, None], tuple(size), mode="bilinear", align_corners=False)[0, 0]

    large = enlarged(before), enlarged(after)
    found = {
        "rank": similarity(before, after, magnitude=True),
        "ssim": structural_similarity(*large, magnitude=True),
    }
    signed = bool((before < 0).any() or (after < 0).any())
    found["rank, signed"] = similarity(before, after) if signed else found["rank"]
    found["ssim, signed"] = structural_similarity(*large) if signed else found["ssim"]
    return found


def figures(found: Sequence[dict[str, float]]) -> dict[str, Mean]:
    """The mean of each similarity over pictures."""
    return {key: mean([one[key] for one in found]) for key in found[0]}


def told(figure: Mean) -> str:
    """A figure, its standard error, and how many pictures it is of if some had to be left out."""
    if not figure.n:
        return "all empty"
    return with_count(figure, 2)
