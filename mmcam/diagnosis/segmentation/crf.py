"""A fully connected conditional random field over the cells of a picture, solved by mean field.

Cells that are near each other, or near and of like colour, are drawn to the same class. On a grid of some thousand
cells the kernel between all pairs of them fits in memory, so the sums are exact and have gradients. For the pixels of
a whole picture Krähenbühl & Koltun's lattice approximates them, by ``pydensecrf``.

Source: Krähenbühl & Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials, NIPS 2011; the
widths and weights are SEC's (arXiv 1603.06098, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcam.errors import ExplainError

LONG: Final = 12 * 41
"""Pixels of the longer side of a picture that the widths are for: SEC divides them by 12 on its grid of 41 cells."""


@dataclass(frozen=True)
class Field:
    """Weights and widths of the two kernels; a Potts model.

    Attributes:
        bilateral: weight of the kernel over places and colours.
        xy: its width in pixels, of a picture with a longer side of `LONG`.
        rgb: its width in values of 0..255.
        gaussian: weight of the kernel over places.
        near: its width in such pixels.
        iterations: of mean field.
    """

    bilateral: float = 10.0
    xy: float = 80.0
    rgb: float = 13.0
    gaussian: float = 3.0
    near: float = 3.0
    iterations: int = 10


SEC: Final = Field()


def pairs(pixels: Tensor, field: Field = SEC) -> Tensor:
    """How much each cell draws each other one.

    Args:
        pixels: (N, 3, h, w), the pictures' colours in 0..255 at the cells.

    Returns:
        (N, n, n) with n = h·w: both kernels with their weights, each normalised to K_ij / √(Σ_j K_ij Σ_i K_ij).
    """
    h, w = pixels.shape[-2:]
    unit = LONG / max(h, w)
    ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack([ys, xs], -1).reshape(1, -1, 2).to(pixels) * unit
    colours = pixels.flatten(2).transpose(1, 2)
    near = _kernel(places / field.near)
    alike = _kernel(torch.cat([(places / field.xy).expand(len(pixels), -1, -1), colours / field.rgb], -1))
    return field.bilateral * alike + field.gaussian * near


def _kernel(features: Tensor) -> Tensor:
    """(N, n, f) → (N, n, n), symmetrically normalised."""
    kernel = torch.exp(-0.5 * torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist").square())
    scale = kernel.sum(-1).rsqrt()
    return scale[:, :, None] * kernel * scale[:, None, :]


def mean_field(log_p: Tensor, between: Tensor, iterations: int = SEC.iterations) -> Tensor:
    """The field's marginals; differentiable.

    Args:
        log_p: (N, C, h, w), the logarithm of what each cell says by itself.
        between: of `pairs`.

    Returns:
        Q (N, C, h, w), a probability over the classes at each cell.
    """
    alone = log_p.flatten(2).transpose(1, 2)
    q = alone.softmax(-1)
    for _ in range(iterations):
        q = (alone + between @ q).softmax(-1)
    return q.transpose(1, 2).reshape(log_p.shape)


def dense(p: NDArray[np.floating], picture: NDArray[np.uint8], field: Field = SEC) -> NDArray[np.float32]:
    """The same at every pixel of a picture, by the lattice of ``pydensecrf``.

    Args:
        p: probabilities (C, H, W).
        picture: (H, W, 3).

    Returns:
        Q (C, H, W).

    Raises:
        ExplainError: ``pydensecrf`` is not installed.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ExplainError(
            "A field over all pixels needs pydensecrf: pip install 'mmcam[segmentation]', which Python 3.11 and 3.12 "
            "can; or take --field grid, which needs nothing."
        ) from error
    classes, h, w = p.shape
    unit = max(h, w) / LONG
    crf = densecrf.DenseCRF2D(w, h, classes)
    crf.setUnaryEnergy(-np.log(p.reshape(classes, -1).clip(1e-8)).astype(np.float32))
    crf.addPairwiseGaussian(sxy=field.near * unit, compat=field.gaussian)
    crf.addPairwiseBilateral(
        sxy=field.xy * unit, srgb=field.rgb, rgbim=np.ascontiguousarray(picture), compat=field.bilateral
    )
    return np.asarray(crf.inference(field.iterations), dtype=np.float32).reshape(p.shape)
