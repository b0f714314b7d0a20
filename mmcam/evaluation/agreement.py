"""Do two maps agree? The rank correlation of their values (Das et al., arXiv 1606.03556, section 5)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def rank_correlation(
    first: NDArray[np.floating] | Tensor, second: NDArray[np.floating] | Tensor, size: tuple[int, int] = (14, 14)
) -> float:
    """Spearman's rank correlation of two maps over the same picture, ties sharing their mean rank (scipy).

    Args:
        first: (h, w).
        second: (h', w').
        size: both are brought to this size first, by averaging areas, as is done with human attention maps.

    Returns:
        -1 to 1; nan if one of the maps is the same everywhere, which has no ranks to compare.

    Raises:
        ValueError: a map of another form.
    """
    from scipy.stats import spearmanr

    ranks = []
    for values in (first, second):
        # NumPy's own copy: torch takes no arrays turned round or of another byte order.
        array = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values, np.float64))
        cells = array.detach().double().cpu()
        if cells.ndim != 2 or not cells.numel():
            raise ValueError(f"A map has shape (h,w), not {tuple(cells.shape)}; of a pixel map, take Explanation.cam.")
        if cells.shape != tuple(size):
            # To float32: averages of equal values differ in their last bits, which would rank what is equal.
            cells = F.interpolate(cells[None, None], size, mode="area")[0, 0].float()
        if cells.max() == cells.min():
            return float("nan")
        ranks.append(cells.flatten().numpy())
    return float(spearmanr(*ranks).statistic)
