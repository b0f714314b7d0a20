"""How sure a model may be: its logits divided by one number, and the probability above which it is mostly right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BINS = 10
RIGHT = 0.95


def temperature_of(logits: Tensor, labels: Tensor) -> float:
    """What logits (N, classes) are to be divided by so that their softmax has the lowest loss on labels (N,).

    Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2. N pictures that are all told
    right would make it 0, and the model sure of everything; so a label is believed by N + 1 of N + 2, as Platt does
    (Probabilistic Outputs for Support Vector Machines, 1999, section 2.2), and what is left is for all classes alike.
    Sought between 1/20 and 20.
    """
    from scipy.optimize import minimize_scalar

    doubt = 1 / (len(labels) + 2)
    found = minimize_scalar(
        lambda log: float(F.cross_entropy(logits.double() / float(np.exp(log)), labels, label_smoothing=doubt)),
        bounds=(-np.log(20), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """The expected calibration error, 0..1; lower is better.

    Of pictures whose best class has a similar probability, the mean of it less the share that is right, over bins of
    equal width, weighted by their pictures (Naeini et al. 2015; Guo et al., equation 3).

    Args:
        probabilities: (N, classes).
        labels: (N,).
        bins: of 0..1.
    """
    sure = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [abs(float(sure[place == b].sum() - right[place == b].sum())) for b in range(bins)]
    return sum(gaps) / len(labels)


def sure_from(probabilities: NDArray[np.float64], labels: NDArray[np.int64], right: float = RIGHT) -> float:
    """The lowest probability at or above which a share `right` of these pictures is told right; 1 if none is.

    What the model says with less is to be looked at by a person.

    Args:
        probabilities: (N, classes), of pictures that were not learnt from.
        labels: (N,).
        right: the share.
    """
    sure = probabilities.max(1)
    hit = probabilities.argmax(1) == labels
    order = np.argsort(-sure, kind="stable")
    share = np.cumsum(hit[order]) / np.arange(1, len(order) + 1)
    # Pictures of one probability stand on one side of it.
    whole = np.append(np.diff(sure[order]) < 0, True)
    good = np.flatnonzero((share >= right) & whole)
    return float(sure[order[good[-1]]]) if len(good) else 1.0
