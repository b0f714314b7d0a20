"""What is measured of an answer's map: its agreement with other maps, and whether it lies on what is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from experiments.lib.baseline import baseline
from experiments.lib.human_prior import GRID, Grid
from experiments.lib.vqa_subjects import Case
from experiments.lib.vqa_tables import OCCLUSION, PEOPLE, TEXT, Record
from mmcam import evaluation as ev


def grid_of(question: Record) -> Grid:
    """The occlusion map of a question of a record."""
    return np.array(question["occlusion"], np.float32).reshape(GRID)


def beside(method: str, case: Case, occlusion: Grid, size: tuple[int, int], seed: int) -> dict[str, float]:
    """The figures of what a method's map is set beside; none where there is no map of the text alone."""
    if method == PEOPLE:
        return {"attended": agreement(case.truths)}
    if method == OCCLUSION:
        grid: Grid | None = occlusion
    else:
        grid = case.prior[0] if method == TEXT else baseline(method, GRID, seed).numpy()
    if grid is None:
        return {}
    cam = torch.from_numpy(grid)
    # Over the picture as the heatmap of an Explanation is.
    heatmap = F.interpolate(cam[None, None], size[::-1], mode="bilinear", align_corners=False)[0, 0].numpy()
    found = figures(cam, heatmap, case, occlusion)
    return {key: value for key, value in found.items() if (method, key) != (OCCLUSION, "occlusion")}  # with itself


def figures(cam: Tensor, heatmap: NDArray[np.floating], case: Case, occlusion: Grid) -> dict[str, float]:
    """All figures of one map: of the cam against other maps, of the heatmap and its maximum against the mask."""
    found = {"occlusion": ev.rank_correlation(cam, occlusion)}
    if case.truths:
        found["attended"] = known_mean(ev.rank_correlation(cam, truth) for truth in case.truths)
    if case.mask is not None:
        found["mass"], found["rank"] = ev.mass(heatmap, case.mask), ev.rank(heatmap, case.mask)
        found["pointing"] = float(ev.inside(ev.peak(heatmap), case.mask))
    return found


def agreement(people: Sequence[NDArray[np.floating]]) -> float:
    """How each person's map agrees with the others': the mean rank correlation over pairs; nan without a pair."""
    return known_mean(ev.rank_correlation(one, other) for one, other in combinations(people, 2))


def known_mean(values: Iterable[float]) -> float:
    """The mean of the figures that are defined; nan where none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
