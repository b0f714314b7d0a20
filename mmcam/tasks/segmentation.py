"""Segmentation: which part of a picture made a network say what it says of a region of it.

Two kinds of networks are read by the form of their output. One gives scores of classes at places, (N,C,h,w): its score
of a region is the mean of the class's scores over the region's pixels, each read as the network's map is enlarged to
the picture (after Vinogradova et al., SEG-Grad-CAM, arXiv 2002.11434, whose sum is this mean times the number of
pixels). The other gives queries, each a class and a mask (MaskFormer, arXiv 2107.06278; Mask2Former, arXiv 2112.01527):
its score is the class's logit of the query that holds the region.

A network that measures something at every place, as a depth, has one map and says in ``quantity`` what it is; its score
is the mean of that over the region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcam.engine.calling import on_pictures
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError
from mmcam.image import Batch, Geometry
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.classification import Classes
from mmcam.tasks.logits import parts
from mmcam.tasks.names import as_many, class_index, class_name, named, short
from mmcam.tasks.region import Candidate, Region
from mmcam.tasks.targets import single

VOTES = 2**16
"""Pixels of a region, at most, that say which class most of them got."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of one picture.

    Attributes:
        region: where.
        target: the class, by index or name; None for the one that most of the region got.
    """

    region: Region
    target: int | str | None


def ask(
    model: nn.Module, batch: Batch, wanted: Sequence[Sequence[Wanted]], listed: Sequence[bool], contrast: Any,
    classes: Classes,
) -> Asked:  # fmt: skip
    """Which part of each picture spoke for a class at a region of it, or at each of several.

    Args:
        model: gives scores of places, or queries with masks.
        batch: the pictures.
        wanted: of each, one or several.
        listed: whether a list was asked of a picture.
        contrast: another class, by index or name, or None.
        classes: of the model.

    Raises:
        ExplainError: unknown class; a region that is none of the picture's; a contrast that is the target.
    """
    names = named(classes.names) if classes.names is not None and len(classes.names) else None

    def index(given: Any, what: str) -> Any:
        asked = single(given, what, function=False)
        return class_index(asked, names) if isinstance(asked, str) else asked

    other = index(contrast, "contrast")
    # Every target is computed for every picture; a picture with fewer of them repeats its last.
    columns = [[row[min(t, len(row) - 1)] for row in wanted] for t in range(max(map(len, wanted)))]
    scores = [
        RegionScore(
            [one.region for one in column],
            [_seen(one.region, geometry) for one, geometry in zip(column, batch.geometries, strict=True)],
            batch.geometries,
            [index(one.target, "class") for one in column],
            other,
            names,
            str(getattr(model, "quantity", "")),
        )
        for column in columns
    ]
    targets: list[Target] = list(scores)
    computation = Computation(model, on_pictures(model), batch.x, targets)
    return Asked(
        batch, computation, lambda t, n, score: scores[t].label(n, score), [range(len(row)) for row in wanted], listed
    )


def _seen(region: Region, geometry: Geometry) -> NDArray[np.bool_]:
    """A region's pixels that the model is shown.

    Raises:
        ExplainError: none; the region is none of the picture.
    """
    height, width = geometry.original
    left, top, right, bottom = geometry.shown()
    mask, seen = region.mask(width, height), np.zeros((height, width), bool)
    seen[top:bottom, left:right] = mask[top:bottom, left:right]
    if not seen.any():
        raise ExplainError(
            f"The {region} lies in what the model is not shown: its input holds ({left}, {top}, {right}, {bottom}) of "
            "the picture; pass preprocess=mmcam.Preprocess(size=…, mode='squash'), which cuts nothing."
        )
    return seen


@dataclass
class RegionScore:
    """The score of one region of each of N pictures, as a function of the model's output.

    What the model decides itself, the class of a region and the query that holds it, the first output decides: a method
    that changes the pictures asks about what it began with.

    Attributes:
        regions: where, one a picture.
        masks: their pixels, bool (H,W), as far as the model is shown them.
        geometries: where the pictures lie in the input.
        classes: the index of each picture's class, or None.
        contrast: the index of another class, or None.
        names: of the classes, or None.
        quantity: what a single map measures, e.g. "depth"; "" for classes.
        decided: (N,) indices of the classes, once there was an output.
        candidates: of each picture the query that holds the region, once there was an output that has some.
    """

    regions: Sequence[Region]
    masks: Sequence[NDArray[np.bool_]]
    geometries: Sequence[Geometry]
    classes: Sequence[int | None]
    contrast: int | None
    names: Sequence[str] | None
    quantity: str = ""
    decided: list[int] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    _cells: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __call__(self, output: Any) -> Tensor:
        """(N,) of the output for N pictures."""
        queries = queries_of(output)
        if queries is None:
            scores = self._of_places(two_sides(places_of(output), self.names))
        else:
            scores = self._of_queries(*queries)
        own = scores.gather(1, torch.tensor(self.decided, device=scores.device)[:, None])[:, 0]
        return own if self.contrast is None else own - scores[:, self.contrast]

    def label(self, n: int, score: float) -> Label:
        """How what is asked of picture n is told."""
        region = self.regions[n]
        if self.quantity:
            claim = f"It says that the {self.quantity} of the {region} is {score:.3g}"
            return Label(self.quantity, claim, str(region), scored=self.quantity, region=region)
        name = class_name(self.decided[n], self.names)
        other = None if self.contrast is None else class_name(self.contrast, self.names)
        candidate = self.candidates[n] if self.candidates else None
        where = str(region)
        if candidate is not None:
            where += f", query {candidate.index} with a mask of {candidate.overlap:.2f} there"
        claim = f"It says {quoted(name, other)} of the {region}"
        return Label(titled(name, other), claim, where, scored="logit", region=region, candidate=candidate)

    def _of_places(self, maps: Tensor) -> Tensor:
        """The mean of every class over each region, (N,C), of scores of places (N,C,h,w)."""
        self._check(maps.shape[1])
        if not self.decided:
            self.decided = [
                _most(maps[n], self.masks[n], self.geometries[n]) if wanted is None else wanted
                for n, wanted in enumerate(self.classes)
            ]
            self._check_contrast()
        cells = self._cells_of(maps.shape[-2:], maps)
        return torch.einsum("nchw,nhw->nc", maps, cells)

    def _of_queries(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Every class's logit of the query that holds each region, (N,C)."""
        self._check(logits.shape[2] - 1)  # the last one is "nothing"
        if not self.candidates:
            held = torch.einsum("nqhw,nhw->nq", masks.detach().sigmoid(), self._cells_of(masks.shape[-2:], masks))
            probabilities = logits.detach().float().softmax(-1)[..., :-1]
            for n, wanted in enumerate(self.classes):
                of_queries = probabilities[n] if wanted is None else probabilities[n][:, wanted : wanted + 1]
                best = of_queries.max(1)
                query = int((best.values * held[n]).argmax())
                self.decided.append(int(best.indices[query]) if wanted is None else wanted)
                self.candidates.append(Candidate(query, None, float(held[n, query]), float(best.values[query])))
            self._check_contrast()
        chosen = torch.tensor([candidate.index for candidate in self.candidates], device=logits.device)
        return logits[torch.arange(len(logits), device=logits.device), chosen]

    def _cells_of(self, size: Any, like: Tensor) -> Tensor:
        """(N,h,w): how much the cells of a map have to say in the mean over each region."""
        size = tuple(size)
        if size not in self._cells:
            each = [g.cells_of(mask, size) for g, mask in zip(self.geometries, self.masks, strict=True)]
            self._cells[size] = torch.stack(each).to(like.device, like.dtype)
        return self._cells[size]

    def _check(self, count: int) -> None:
        """Raise ExplainError for a class that the model does not have, or not as many names as it has classes."""
        if self.names is not None:
            as_many(self.names, count, "class")
        for wanted in (*self.classes, self.contrast):
            if wanted is not None and not 0 <= wanted < count:
                raise ExplainError(f"There is no class {short(wanted)}: the model has classes 0…{count - 1}.")

    def _check_contrast(self) -> None:
        for own in self.decided:
            if own == self.contrast:
                raise both_are("class", class_name(own, self.names))


def _most(maps: Tensor, mask: NDArray[np.bool_], geometry: Geometry) -> int:
    """The class that most pixels of a region got, by scores (C,h,w); where they are too many, so many evenly chosen."""
    rows, columns = (torch.from_numpy(at) for at in np.nonzero(mask))
    if len(rows) > VOTES:
        some = torch.linspace(0, len(rows) - 1, VOTES).long()
        rows, columns = rows[some], columns[some]
    if len(maps) == 1:
        return 0
    return int(geometry.at_pixels(maps, rows, columns).argmax(0).bincount(minlength=len(maps)).argmax())


def two_sides(maps: Tensor, names: Sequence[str] | None) -> Tensor:
    """Scores of places; of a single map with two names one for each: it is the log-odds of the second."""
    return torch.cat([-maps, maps], 1) if maps.shape[1] == 1 and names is not None and len(names) == 2 else maps


def queries_of(output: Any) -> tuple[Tensor, Tensor] | None:
    """Class logits (N,Q,C+1) and mask logits (N,Q,h,w) of an output of queries; None of another one."""
    logits, masks = (getattr(output, name, None) for name in ("class_queries_logits", "masks_queries_logits"))
    return (logits, masks) if isinstance(logits, Tensor) and isinstance(masks, Tensor) else None


def places_of(output: Any) -> Tensor:
    """The scores of classes at places (N,C,h,w) in an output: itself, or the one that is called ``out`` or ``logits``.

    Raises:
        ExplainError: there is none, or several may be meant.
    """
    every = list(parts(output))
    maps = [part for part in every if part.tensor.ndim == 4 and part.tensor.is_floating_point()]
    called = [part for part in maps if not part.names or part.names[-1] in ("out", "logits")]
    found = called or [part for part in maps if part.depth == min(one.depth for one in maps)]
    if len(found) == 1:
        return found[0].tensor
    listed = ", ".join(map(str, every[:8])) or "no tensor"
    if maps:
        raise ExplainError(
            f"Several tensors of this output may hold the scores of places: it gives {listed}; wrap the model in a "
            "module that returns the one (N,C,h,w)."
        )
    if any(part.tensor.ndim == 2 for part in every):
        raise ExplainError(
            f"This model gives scores of the whole picture and none of its places: {listed}; explain a class with "
            "mmcam.explain_class, or pass a model that segments."
        )
    raise ExplainError(
        f"This model gives no scores of places (N,C,h,w): {listed}; pass a model that segments, one of transformers "
        "by mmcam.wrap(model, processor)."
    )
