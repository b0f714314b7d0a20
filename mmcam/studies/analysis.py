"""What the answers say: a figure for every method, with intervals, tests, agreement, and what more raters would show.

Answers of one rater are alike, and so are answers to one item. Intervals resample raters and items together (Owen, The
Pigeonhole Bootstrap, 2007): an answer's weight is how often its rater was drawn times how often its item was. Tests are
over raters: of each one number, whose sign, or whose two methods, are exchanged (a permutation test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from mmcam.evaluation.uncertainty import Interval
from mmcam.studies.answers import Excluded, Row, Table
from mmcam.studies.design import Design

RESAMPLES: Final = 2000
PERMUTATIONS: Final = 9999
LEVEL: Final = 0.95
Scale = Literal["nominal", "ordinal"]
ALPHA: Final = 0.05
"""Of the test whose power is told."""


@dataclass(frozen=True)
class MethodFigure:
    """What raters answered to one method.

    Attributes:
        method: its name.
        figure: share of right answers, or mean rating, with its interval.
        p: that it differs from chance (or from 0) by so much by chance alone; nan with too few raters.
        answers: how many.
        agreement: Krippendorff's α of the raters; nan where no item has two answers.
        median_ms: of the answers.
        published: of people in the paper, in the same unit; None where there is none.
        of_right, of_wrong: the share of right answers where the model was right, and where it was wrong; None else.
    """

    method: str
    figure: Interval
    p: float
    answers: int
    agreement: float
    median_ms: float
    published: float | None
    of_right: float | None
    of_wrong: float | None


@dataclass(frozen=True)
class Difference:
    """Two methods: the first less the second, its interval, and the chance of as large a one where they are alike.

    Attributes:
        first, second: names.
        figure: the difference.
        p: see above.
        published: the difference of the published figures; None where one is lacking.
        power: the chance that so many raters as are planned find it, by a paired t test, if it is as measured here.
    """

    first: str
    second: str
    figure: Interval
    p: float
    published: float | None
    power: float


@dataclass(frozen=True)
class Analysis:
    """All that is said of a study.

    Attributes:
        simulated: of programs, and of no person.
        raters: how many count.
        answers: how many.
        methods: figures, in the order of the design.
        differences: of every two methods.
        agreement: Krippendorff's α over all items and methods.
        scale: of α, "nominal" or "ordinal".
        planned: raters, of the power.
        excluded: who is left out, and why.
    """

    simulated: bool
    raters: int
    answers: int
    methods: tuple[MethodFigure, ...]
    differences: tuple[Difference, ...]
    agreement: float
    scale: str
    planned: int
    excluded: tuple[Excluded, ...]

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def analyse(design: Design, found: Table, planned: int | None = None, seed: int = 0) -> Analysis:
    """Analyse the answers that count.

    Args:
        design: of the study.
        found: answers.
        planned: raters of a study that is planned; default as many as there are.
        seed: of resampling.
    """
    count = len(found.raters)
    planned = planned or max(count, 2)
    published = {name: value / (1 if design.what.rated else 100) for name, value in design.what.published.items()}
    chance = design.what.chance or 0.0
    values = {method: _matrix(design, found, method) for method in design.methods}
    draws = _draws(count, design.items, seed)
    scale: Scale = "ordinal" if design.what.rated or design.kind == "agreement" else "nominal"
    methods = []
    for method in design.methods:
        own = [row for row in found.rows if row.method == method]
        methods.append(
            MethodFigure(
                method=method,
                figure=_interval(values[method], draws),
                p=_p(_means(values[method]) - chance, seed),
                answers=len(own),
                agreement=alpha(own, count, scale),
                median_ms=float(np.median([row.ms for row in own])) if own else math.nan,
                published=published.get(method),
                of_right=_share(own, True),
                of_wrong=_share(own, False),
            )
        )
    differences = []
    for first, second in combinations(design.methods, 2):
        gap = _means(values[first]) - _means(values[second])
        known = published.get(first), published.get(second)
        differences.append(
            Difference(
                first, second,
                figure=_interval_of_difference(values[first], values[second], draws),
                p=_p(gap, seed),
                published=None if None in known else known[0] - known[1],  # type: ignore[operator]
                power=power(gap, planned),
            )
        )  # fmt: skip
    return Analysis(
        found.simulated, count, len(found.rows), tuple(methods), tuple(differences),
        alpha(found.rows, count, scale), scale, planned, found.excluded,
    )  # fmt: skip


def alpha(rows: Sequence[Row], raters: int, scale: Scale) -> float:
    """Krippendorff's α of the answers, an item by a method being a unit; nan where no unit has two answers, or all
    answers are the same.
    """
    import krippendorff

    units = {unit: place for place, unit in enumerate(sorted({(row.item, row.method) for row in rows}))}
    data = np.full((raters, len(units)), np.nan)
    for row in rows:
        data[row.rater, units[row.item, row.method]] = row.choice
    known = ~np.isnan(data)
    if not units or known.sum(0).max() < 2 or len(np.unique(data[:, known.sum(0) > 1][known[:, known.sum(0) > 1]])) < 2:
        return math.nan
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement=scale))


def power(differences: NDArray[np.float64], raters: int) -> float:
    """The chance that a paired t test over raters finds a difference at 5 %, if it and its spread are as measured.

    Args:
        differences: one a rater, nan for those without.
        raters: planned.
    """
    from scipy.stats import nct
    from scipy.stats import t as student

    known = differences[~np.isnan(differences)]
    if len(known) < 2 or raters < 2:
        return math.nan
    spread = float(known.std(ddof=1))
    if spread == 0:
        return 1.0 if known[0] else ALPHA
    shift = float(known.mean()) / spread * math.sqrt(raters)
    limit = float(student.ppf(1 - ALPHA / 2, raters - 1))
    # Far out scipy's noncentral t is nan on the side where nothing is left.
    tails = [float(nct.sf(limit, raters - 1, abs(shift))), float(nct.cdf(-limit, raters - 1, abs(shift)))]
    return float(np.clip(np.nansum(tails), 0, 1)) if abs(shift) < 30 else 1.0


def _matrix(design: Design, found: Table, method: str) -> NDArray[np.float64]:
    """Values (raters, items), nan where a rater did not see an item by this method."""
    values = np.full((len(found.raters), design.items), np.nan)
    for row in found.rows:
        if row.method == method:
            values[row.rater, row.item] = row.value
    return values


def _draws(raters: int, items: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each rater, and each item, is drawn in every resample."""
    rng = np.random.default_rng(seed)
    draw = [rng.multinomial(size, np.full(size, 1 / size), RESAMPLES) if size else None for size in (raters, items)]
    return tuple(np.zeros((RESAMPLES, 0)) if one is None else one.astype(float) for one in draw)  # type: ignore[return-value]


def _resampled(values: NDArray[np.float64], draws: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
    """The mean of every resample (B,)."""
    by_rater, by_item = draws
    known = ~np.isnan(values)
    total = np.einsum("br,ri,bi->b", by_rater, np.where(known, values, 0.0), by_item, optimize=True)
    weight = np.einsum("br,ri,bi->b", by_rater, known.astype(float), by_item, optimize=True)
    means: NDArray[np.float64] = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return means


def _bounds(value: float, resampled: NDArray[np.float64], raters: int) -> Interval:
    known = resampled[~np.isnan(resampled)]
    if raters < 2 or not len(known):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _interval(values: NDArray[np.float64], draws: tuple[NDArray[np.float64], ...]) -> Interval:
    return _bounds(_mean(values), _resampled(values, draws), len(values))


def _interval_of_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], draws: tuple[NDArray[np.float64], ...]
) -> Interval:
    return _bounds(_mean(first) - _mean(second), _resampled(first, draws) - _resampled(second, draws), len(first))


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each rater; nan for one without an answer."""
    counts = (~np.isnan(values)).sum(1)
    means: NDArray[np.float64] = np.full(len(values), np.nan)
    return np.divide(np.nansum(values, 1), counts, out=means, where=counts > 0)  # type: ignore[no-any-return]


def _p(differences: NDArray[np.float64], seed: int) -> float:
    """Two-sided p of a mean of one number a rater, whose signs are drawn anew."""
    from scipy.stats import permutation_test

    known = differences[~np.isnan(differences)]
    if len(known) < 2:
        return math.nan
    done = permutation_test(
        (known, -known),
        lambda first, second, axis: (first - second).mean(axis),
        permutation_type="samples", vectorized=True, n_resamples=PERMUTATIONS, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(done.pvalue)


def _share(rows: Sequence[Row], right: bool) -> float | None:
    some = [row.value for row in rows if row.right is right]
    return float(np.mean(some)) if some else None
