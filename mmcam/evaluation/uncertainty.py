"""How sure is a figure? Standard errors over pictures, and intervals from resampling them.

Several maps of one picture do not err independently of one another, so pictures, not maps, are what is counted and
resampled.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Mean:
    """A mean over maps, its standard error, over how many maps and pictures, and how many had no figure."""

    value: float
    standard_error: float
    n: int
    pictures: int
    undefined: int = 0


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds that resampled data leave it within."""

    value: float
    low: float
    high: float


def mean(values: ArrayLike, pictures: Sequence[Hashable] | None = None) -> Mean:
    """A mean over maps and its standard error, maps of one picture counting as one source of error.

    The error is the cluster-robust one, √(G/(G−1) · Σ_g (Σ_{i∈g} (v_i − v̄))²) / n with G pictures g; with one map a
    picture that is the usual s/√n (Cameron & Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015, section
    2, for a regression on a constant).

    Args:
        values: (n,), one a map; undefined ones (nan) are left out and counted.
        pictures: (n,), which picture each map is of; default each of its own.

    Returns:
        nan where no map has a figure; a standard error of nan where only one picture has.

    Raises:
        ValueError: not one picture a value, or an infinite value, which has no mean.
    """
    every = np.asarray(values, dtype=np.float64)
    groups = list(range(len(every))) if pictures is None else list(pictures)
    if every.ndim != 1 or len(groups) != len(every):
        raise ValueError(f"There are {every.shape} values and {len(groups)} pictures; give one picture a value.")
    if np.isinf(every).any():
        raise ValueError("A value is infinite, so there is no mean; take the median, or leave it out.")
    known = ~np.isnan(every)
    n, undefined = int(known.sum()), int((~known).sum())
    if not n:
        return Mean(math.nan, math.nan, 0, 0, undefined)
    value = float(every[known].mean())
    sums: dict[Hashable, float] = {}
    for i in np.flatnonzero(known):
        sums[groups[i]] = sums.get(groups[i], 0.0) + (every[i] - value)
    count = len(sums)
    error = math.nan
    if count > 1:
        error = math.sqrt(count / (count - 1) * math.fsum(total**2 for total in sums.values())) / n
    return Mean(value, error, n, count, undefined)


def bootstrap(
    pictures: Sequence[Any],
    figure: Callable[[Sequence[Any]], float],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A figure over pictures with the percentile interval of resampled pictures (Efron; by `scipy.stats.bootstrap`).

    For figures that are no means: a mean over classes, a corpus's BLEU, a share at the best threshold.

    Args:
        pictures: what is resampled, one entry a picture, holding all that belongs to it.
        figure: from as many pictures to a number; resamples on which it is undefined (nan) are left out.
        resamples: how often.
        level: of the interval.
        seed: the same seed gives the same interval.

    Returns:
        Bounds of nan where there is one picture only, or no figure.

    Raises:
        ValueError: there is no picture.
    """
    from scipy.stats import DegenerateDataWarning
    from scipy.stats import bootstrap as resample

    if not len(pictures):
        raise ValueError("There is no picture to take a figure of.")
    value = float(figure(pictures))
    if len(pictures) == 1 or math.isnan(value):
        return Interval(value, math.nan, math.nan)
    with warnings.catch_warnings():
        # Resamples that all give the same figure have an interval, too: that figure.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        drawn = resample(
            (np.arange(len(pictures)),),
            lambda rows: float(figure([pictures[i] for i in rows])),
            vectorized=False,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    if np.isnan(drawn).all():
        return Interval(value, math.nan, math.nan)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
