"""From energies to a verdict: which order of which grid do the places of an output follow, if any?

Measured here: on 33 models of random, sharpened and trained weights, stripes on a constant picture located .97-1.00 of
the cells where gradients and small changes located .00-.09 (sharp attention), and codes of random cells .31-.64 (wide
receptive fields). An order is believed only if it explains the measured places by 16 bits more than chance does, after
the number of orders tried has been paid for: without that, 2×2 grids are found among the queries of a decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log2

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mmcam.engine.layer import Size
from mmcam.places.orders import Order, grids, others, row_by_row, transposed, turned

BITS = 16.0
"""Net evidence from which an order is believed, and a declared one disbelieved."""

MARGIN = 8.0
"""Bits by which an order has to win over the second best."""

FEW = 16
"""Places that may be left over beside cells in an uncommon order, or of patches that are not square."""

_SHIFTS = (0.0, -0.4, 0.4)
"""Cells: a chain of strided, padded convolutions puts its cells up to half of one towards a corner."""

_LOST = 0.045
"""Share of a side that a map may leave out at each border: 224 of 256 pixels are a crop, 30 of 32 convolutions."""

_CONFIDENT = 0.3
_STEP = 0.9
"""Correlation of found and claimed places from which the cells of a map are in step with the picture."""
_AT_REST = 0.6
"""Median confidence from which places that no cell was found for are places after all."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """An order of a grid, and how well it explains what was measured.

    Attributes:
        sides: (h,w).
        at: (h·w), the place that holds each cell, row by row.
        kind: "rows" (row by row, one after the other), "gaps" (row by row with others between), "turned" (a map turned
            over or transposed), "order" (any other).
        bits: of evidence, before the orders tried are paid for.
        share: of the cells within .6 of a cell of where they are claimed.
        shift: cells by which all of them lie further down and to the right, as those of strided convolutions do.
    """

    sides: Size
    at: Order
    kind: str
    bits: float
    share: float
    shift: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the energies say: a claim that is believed, or why none is."""

    claim: Claim | None
    reason: str
    bits: float


class Measured:
    """Where each place of an output answers, from its energies by bands of rows and of columns.

    Args:
        rows, columns: (G, P) each.
    """

    def __init__(self, rows: Values, columns: Values) -> None:
        self.energy = (rows, columns)
        self.bands, self.places = rows.shape
        self._peaks: dict[tuple[int, int], tuple[Values, Values]] = {}
        self._chances: dict[tuple[Size, float], Values] = {}

    @cached_property
    def raised(self) -> tuple[Values, Values]:
        """The energies above what a place in the middle of the field gets from the same probe."""
        rows, columns = (np.maximum(E - np.median(E, axis=1, keepdims=True), 0) for E in self.energy)
        return rows, columns

    def along(self, axis: int, cells: int) -> tuple[Values, Values]:
        """Position of each place (P) from 0 to 1 along one side, and the confidence (P) in it, for a side of cells."""
        width = max(1, round(self.bands / cells))
        if (axis, width) not in self._peaks:
            self._peaks[axis, width] = self._peak(axis, width)
        return self._peaks[axis, width]

    def _peak(self, axis: int, width: int) -> tuple[Values, Values]:
        raised, energy = self.raised[axis], self.energy[axis]
        padded = np.pad(raised, ((width // 2, width - 1 - width // 2), (0, 0)))
        smooth = sliding_window_view(padded, width, axis=0).sum(-1)
        band = np.arange(self.bands)[:, None]
        near = raised * (abs(band - smooth.argmax(0)) <= width)
        mass = near.sum(0)
        centre = (near * (band + 0.5)).sum(0) / np.where(mass > 0, mass, 1) / self.bands
        total = energy.sum(0)
        confidence = mass / np.where(total > 0, total, 1)
        return np.where(mass > 0, centre, np.nan), confidence

    def located(self, sides: Size) -> tuple[Values, Values, Values]:
        """Row, column (0 to 1, nan where nothing answers) and confidence of each place for a grid."""
        (y, sure), (x, wide) = self.along(0, sides[0]), self.along(1, sides[1])
        return y, x, np.minimum(sure, wide)

    def chance(self, sides: Size, shift: float) -> Values:
        """The share of a grid's cells that each place (P) would hit."""
        if (sides, shift) not in self._chances:
            y, x, _ = self.located(sides)
            shares = [self._share(found, cells, shift) for found, cells in zip((y, x), sides, strict=True)]
            self._chances[sides, shift] = shares[0] * shares[1]
        return self._chances[sides, shift]

    def _share(self, found: Values, cells: int, shift: float) -> Values:
        """The share of the cells of a side that are within the tolerance of each position found; 0 of none."""
        reach = self.tolerance(cells)
        first = np.ceil((found - reach) * cells - 0.5 - shift).clip(min=0)
        last = np.floor((found + reach) * cells - 0.5 - shift).clip(max=cells - 1)
        share: Values = np.nan_to_num((last - first + 1).clip(min=0) / cells)
        return share

    def tolerance(self, cells: int) -> float:
        """How far from its claimed place a cell may be found."""
        return 0.6 / min(float(cells), float(self.bands))


def centres(order: Order, sides: Size) -> tuple[Values, Values]:
    """Rows and columns, 0 to 1, of the cells in an order."""
    return (order // sides[1] + 0.5) / sides[0], (order % sides[1] + 0.5) / sides[1]


def hits(
    measured: Measured, order: Order, sides: Size, at: Order | None = None, shift: float = 0.0
) -> tuple[Values, Values]:
    """For each number of places before the cells: the share k of hits, and the share p by chance.

    By chance: any of the places found at any of the cells.

    Args:
        measured: P places.
        order: of the cells.
        sides: (h,w).
        at: the places that count, all if None.
        shift: see `Claim`.
    """
    y, x, _ = measured.located(sides)
    each = measured.chance(sides, shift)
    if at is not None:
        y, x, each = y[at], x[at], each[at]
    n = len(order)
    near = np.ones((len(y) - n + 1, n), bool)
    for found, claimed, cells in zip((y, x), centres(order, sides), sides, strict=True):
        near &= abs(sliding_window_view(found, n) - (claimed + shift / cells)) <= measured.tolerance(cells)
    chance = np.cumsum(np.concatenate([[0.0], each]))
    return near.mean(1), (chance[n:] - chance[:-n]) / n


def evidence(k: Values, p: Values, n: int) -> Values:
    """n·KL(k‖p) in bits: how surprising a share k among n would be if each came true with chance p; 0 where k ≤ p."""
    k, p = np.clip(k, 0, 1), np.clip(p, 1e-9, 1 - 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(k > 0, k * np.log2(k / p), 0) + np.where(k < 1, (1 - k) * np.log2((1 - k) / (1 - p)), 0)
    return np.where(k > p, n * bits, 0.0)


def judge(measured: Measured, picture: Size, sides: Size | None = None, whole: bool = False) -> Verdict:
    """The verdict on an output's places.

    Args:
        measured: its energies.
        picture: (H,W).
        sides: of an output that is a map already; None: places in a row.
        whole: all places are cells, as in windows.
    """
    found = _Search(measured, picture, sides, whole)
    for stage in (found.row_by_row, found.in_another_order):
        stage()
        best = found.best()
        # Where many cells are elsewhere, the other orders have to be heard before a verdict.
        if best and (best.share >= 0.8 or stage == found.in_another_order) and not found.problem(best):
            return Verdict(best, "", best.bits - log2(found.tried))
    if permuted := permutation(measured, picture, sides):
        return permuted
    best = found.best()
    return Verdict(None, found.problem(best) if best else NO_PLACE, 0.0)


NO_PLACE = "its places answer to no place in the picture"


class _Search:
    """The hypotheses tried so far, and the best of them."""

    def __init__(self, measured: Measured, picture: Size, sides: Size | None, whole: bool) -> None:
        self.measured, self.picture, self.sides, self.whole = measured, picture, sides, whole
        self.tried = 0
        self.claims: list[Claim] = []

    def _grids(self) -> list[Size]:
        if self.sides is not None:
            return [self.sides]
        every = grids(self.measured.places, self.picture)
        return [(h, w) for h, w in every if h * w == self.measured.places] if self.whole else every

    def _try(self, order: Order, sides: Size, kind: str) -> None:
        """An order at each number of places before it: the best two are kept."""
        n = len(order)
        for shift in _SHIFTS if self.measured.places - n <= FEW else (0.0,):
            k, p = hits(self.measured, order, sides, shift=shift)
            bits = evidence(k, p, n)
            self.tried += len(bits)
            for skip in np.argsort(bits)[-2:]:
                if bits[skip] > 0:
                    at = np.empty(n, np.intp)
                    at[order] = skip + np.arange(n)
                    self.claims.append(Claim(sides, at, kind, float(bits[skip]), float(k[skip]), shift))

    def row_by_row(self) -> None:
        """All grids, all numbers of places before them; and the surest places, whatever stands between them."""
        places = self.measured.places
        for h, w in self._grids():
            over = places - h * w
            if over > 128 and places > 1024:
                continue
            self._try(row_by_row(h, w), (h, w), "rows")
            if 0 < over <= max(FEW, h + w):
                self._with_gaps((h, w))

    def _with_gaps(self, sides: Size) -> None:
        n = sides[0] * sides[1]
        sure = self.measured.located(sides)[2]
        at = np.sort(np.argsort(-sure, kind="stable")[:n])
        if at[-1] - at[0] == n - 1:
            return
        k, p = hits(self.measured, row_by_row(*sides), sides, at)
        self.tried += 1
        self.claims.append(Claim(sides, at, "gaps", float(evidence(k, p, n)[0]), float(k[0])))

    def in_another_order(self) -> None:
        """Mirrored, windowed and nested orders of the grids that leave few places over; of maps the first alone.

        A map's windows would be finer than its bands show.
        """
        if self.sides is not None:
            if self._plain_to_see(self.sides):
                for order in turned(*self.sides):
                    self._try(order, self.sides, "turned")
                for order in transposed(*self.sides[::-1]):
                    self._try(order, self.sides[::-1], "turned")
            return
        for h, w in self._grids():
            stretched = max(h * self.picture[1], w * self.picture[0]) / min(h * self.picture[1], w * self.picture[0])
            usual = h == w or stretched <= 1.5
            if usual and self.measured.places - h * w <= FEW and self._plain_to_see((h, w)):
                for order in others(h, w):
                    self._try(order, (h, w), "order")

    def _plain_to_see(self, sides: Size) -> bool:
        """Enough places answer to one place, as any order but row by row has to show."""
        sure = self.measured.located(sides)[2]
        return bool((sure >= _CONFIDENT).sum() >= 0.8 * sides[0] * sides[1])

    def best(self) -> Claim | None:
        """The claim with the most evidence."""
        return max(self.claims, key=lambda claim: claim.bits, default=None)

    def problem(self, best: Claim) -> str:
        """Why the best claim is not to be believed, or ""."""
        if best.bits - log2(self.tried) < BITS:
            return NO_PLACE
        if best.share < self._needed(best) and not (self.sides == best.sides and _in_step(self.measured, best)):
            return NO_PLACE
        if not _even(self.measured, best):
            return "only a part of its places lie as those of a grid do"
        rivals = [claim.bits for claim in self.claims if claim is not best and not self._same(claim, best)]
        if rivals and best.bits - max(rivals) < MARGIN:
            return "two orders of its places fit alike"
        if best.kind == "order" and max(best.sides) > 4 * self.measured.bands:
            return "its order is finer than what was measured"
        left = np.delete(self.measured.located(best.sides)[2], best.at)
        if len(left) and np.median(left) >= (_AT_REST if len(left) < min(best.sides) else 1.3 * _CONFIDENT):
            return "more of its places answer to the picture than a grid holds"
        return _cropped(self.measured, best)

    def _needed(self, best: Claim) -> float:
        """The share of cells to be hit. Few will do where answers are faint, as behind a sharp attention."""
        if best.kind == "turned":  # told apart by whole sides
            return 0.5
        if best.kind != "rows":
            return 0.9
        if self.sides is not None:
            return 0.2
        return 0.5 if np.median(self.measured.located(best.sides)[2][best.at]) >= _CONFIDENT else 0.35

    @staticmethod
    def _same(one: Claim, other: Claim) -> bool:
        return one.sides == other.sides and np.array_equal(one.at, other.at)


def _in_step(measured: Measured, claim: Claim) -> bool:
    """Whether the cells of a map that read row by row follow their places, if not to the cell.

    Where a cell sees further than it is wide, noise moves the strongest answer to a neighbour.
    """
    if claim.kind != "rows":
        return False
    y, x, sure = measured.located(claim.sides)
    good = np.isfinite(y) & np.isfinite(x) & (sure >= _CONFIDENT)
    if good.sum() < max(16, len(good) / 2):
        return False
    pairs = zip((y, x), centres(row_by_row(*claim.sides), claim.sides), strict=True)
    return all(float(np.corrcoef(found[good], claimed[good])[0, 1]) >= _STEP for found, claimed in pairs)


def _even(measured: Measured, claim: Claim) -> bool:
    """As many cells are hit near each border of the map as elsewhere, as far as chance lets one tell.

    A sharp attention takes away the places of many tokens here and there; a wrong grid or a cut one is right in a part
    of the picture only.
    """
    y, x, _ = measured.located(claim.sides)
    cy, cx = centres(row_by_row(*claim.sides), claim.sides)
    up, left = (measured.tolerance(cells) for cells in claim.sides)
    down, right = (claim.shift / cells for cells in claim.sides)
    near = (abs(y[claim.at] - cy - down) <= up) & (abs(x[claim.at] - cx - right) <= left)
    third = [c < 1 / 3 for c in (cy, cx)] + [c > 2 / 3 for c in (cy, cx)]
    return all(_bits_short(near[part], claim.share) < BITS / 2 for part in third if part.any())


def _bits_short(near: NDArray[np.bool_], share: float) -> float:
    """How surprisingly few hits these are, where a share is the rule."""
    return float(evidence(1 - near.mean(keepdims=True), np.array([1 - share]), len(near))[0])


def _cropped(measured: Measured, claim: Claim) -> str:
    """What speaks for a model that looks at the middle of the picture only: dead edges, or cells drawn together."""
    for axis, cells in enumerate(claim.sides):
        E = measured.energy[axis].sum(1)
        if max(E[0], E[-1]) <= 0.05 * np.median(E):
            return "the model sees only the middle of the picture"
        found, sure = measured.along(axis, cells)
        found, sure = found[claim.at], sure[claim.at]
        claimed = centres(row_by_row(*claim.sides), claim.sides)[axis]
        good = (sure >= _CONFIDENT) & (abs(found - claimed) <= 1.5 / cells)
        if good.sum() >= 8 and claimed[good].std() > 0:
            slope = float(np.polyfit(claimed[good], found[good], 1)[0])
            lost = (1 - slope) / 2  # of the side, at each border; convolutions without padding lose a little
            if lost * cells > 0.6 and lost > _LOST:
                return "the model sees only the middle of the picture"
    return ""


def permutation(measured: Measured, picture: Size, sides: Size | None) -> Verdict | None:
    """Places in any order at all, one for each cell of a grid whose cells are no finer than the bands."""
    from scipy.optimize import linear_sum_assignment

    sizes = [sides] if sides is not None else grids(measured.places, picture)
    for h, w in sorted(sizes, key=lambda sides: -sides[0] * sides[1]):
        if max(h, w) > measured.bands or min(h, w) < 3 or measured.places - h * w > max(FEW, h):
            continue
        y, x, sure = measured.located((h, w))
        known = np.flatnonzero(np.isfinite(y) & np.isfinite(x) & (sure >= _CONFIDENT))
        if not h * w <= len(known) <= h * w + FEW // 4:
            continue
        cy, cx = centres(row_by_row(h, w), (h, w))
        away = ((y[known][None] - cy[:, None]) * h) ** 2 + ((x[known][None] - cx[:, None]) * w) ** 2
        if len(set(away.argmin(0))) < 0.9 * h * w:
            continue
        _, chosen = linear_sum_assignment(away)
        share = float((away[np.arange(h * w), chosen] <= 1).mean())
        if share < 0.97:
            continue
        bits = h * w * (share * log2(h * w) - 1.45)  # one of the h·w! orders
        claim = Claim((h, w), known[chosen], "order", bits, share)
        crop = _cropped(measured, claim)
        return Verdict(None, crop, 0.0) if crop else Verdict(claim, "", bits)
    return None


def contradicted(measured: Measured, sides: Size) -> tuple[float, float]:
    """Bits for and bits against a map whose cells are declared to lie row by row.

    Only cells that answer to one place count: where places are lost, as in an attention's output without what it is
    added to, nothing is confirmed and nothing contradicted.
    """
    y, x, sure = measured.located(sides)
    cy, cx = centres(row_by_row(*sides), sides)
    good = np.isfinite(y) & np.isfinite(x) & (sure >= _CONFIDENT)
    n = int(good.sum())
    if n == 0:
        return 0.0, 0.0
    up, left = measured.tolerance(sides[0]), measured.tolerance(sides[1])
    near = (abs(y - cy) <= up) & (abs(x - cx) <= left)
    k = np.array(near[good].mean())
    _, p = hits(measured, row_by_row(*sides), sides)
    return float(evidence(k, p[:1], n)[0]), float(evidence(1 - k, np.array([0.5]), n)[0])


def follows(halves: Values, claim: Claim) -> bool:
    """Whether a claim holds on another picture, of which one half was changed at a time.

    Args:
        halves: (4, P) energies: upper, lower, left, right half.
        claim: of which most cells have to answer to the half they are in. Where the order hangs on the picture, half
            of them do.
    """
    right = total = 0
    for axis, (first, second) in enumerate(((0, 1), (2, 3))):
        with np.errstate(divide="ignore", invalid="ignore"):
            lean = np.log(halves[second, claim.at]) - np.log(halves[first, claim.at])
        lean = np.nan_to_num(lean, posinf=1e3, neginf=-1e3)
        side = centres(row_by_row(*claim.sides), claim.sides)[axis] - 0.5
        outside = abs(side) > 1e-9
        right += int(((lean - np.median(lean)) * side > 0)[outside].sum())
        total += int(outside.sum())
    return right >= 0.65 * total
