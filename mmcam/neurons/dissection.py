"""What each unit of a layer detects: the tallies of a dissection, the names that follow, and their files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from mmcam.datasets.concepts import Concept
from mmcam.errors import ExplainError
from mmcam.files import write_whole
from mmcam.neurons import dissection_file
from mmcam.neurons.names import Names, UnitName, as_word, of_a_layer
from mmcam.neurons.selectivity import Selectivity
from mmcam.version import __version__

DETECTOR = 0.04
"""A unit is a detector of a concept above this IoU (Bau et al., arXiv 1704.05796, section 2.1)."""


@dataclass(frozen=True, eq=False)
class Dissection:
    """Which concepts the units of a layer detect (Bau et al., Network Dissection, arXiv 1704.05796).

    Attributes:
        concepts: L of them, in the order of the tallies.
        thresholds: T (K): a unit is active where its value, brought bilinearly to the labels' resolution, is above.
        both: (K,L) pixels where a unit is active and the concept is.
        active: (K,L) pixels where a unit is active, in the pictures that carry a concept of that category.
        truth: (L) pixels of each concept.
        exemplars: (K,n) the pictures in which each unit is strongest, the strongest first; -1: there are fewer.
        spots: (K,n,2) where in these pictures, as shares of their height and width.
        peaks: (K,n) the unit's values there.
        shape: (h,w) of the layer's map.
        layer: where activations were read.
        model: class name of the model.
        data: what the concepts come from.
        pictures: how many were read.
        quantile: share of all places at which a unit is active.
        sampled: share of the places the thresholds were found from; 1 unless memory did not suffice.
        skipped: pictures that could not be read: (index, why).
        fingerprint: of the weights (see `mmcam.neurons.fingerprint`).
        casts: fingerprints of the same weights in half precision, whose units have the same names.
        version: of mmcam.
        reached: (K,L) in how many shuffles of the labels among the pictures a unit's best IoU was at least its IoU with
            this concept; None if nothing was shuffled.
        shuffles: how many there were.
        selectivity: the class of photographs that each unit answers to, from other pictures; None if nobody has looked.
    """

    concepts: Sequence[Concept]
    thresholds: Tensor
    both: Tensor
    active: Tensor
    truth: Tensor
    exemplars: Tensor
    spots: Tensor
    peaks: Tensor
    shape: tuple[int, int]
    layer: str
    model: str
    data: str
    pictures: int
    quantile: float
    sampled: float
    skipped: Sequence[tuple[int, str]]
    fingerprint: str
    casts: tuple[str, ...] = ()
    version: str = field(default=__version__)
    reached: Tensor | None = None
    shuffles: int = 0
    selectivity: Selectivity | None = None

    def __post_init__(self) -> None:
        """Names that belong to other weights are none.

        Raises:
            ExplainError: the selectivity is that of other weights, or of another layer.
        """
        if self.selectivity is not None and self.selectivity.fingerprint != self.fingerprint:
            raise ExplainError(
                f"The selectivity belongs to other weights or another layer than {self.layer} of {self.model}; look "
                "for it anew with this model at this layer."
            )

    @property
    def units(self) -> int:
        """K."""
        return len(self.thresholds)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories of the concepts, in the order they first appear."""
        return tuple(dict.fromkeys(concept.category for concept in self.concepts))

    @cached_property
    def iou(self) -> Tensor:
        """(K,L) float64: ``both / (active + truth - both)``; 0 where nothing is active and nothing labelled."""
        both = self.both.double()
        union = self.active.double() + self.truth.double() - both
        return both / union.clamp(min=1)

    @property
    def p(self) -> Tensor | None:
        """(K,L) how often chance gives a unit an IoU as good as this, with whichever concept; None without a test.

        (1 + reached)/(1 + shuffles), so that it holds for all concepts of a unit together (Westfall & Young 1993);
        `names` adjusts it for the number of units.
        """
        return None if self.reached is None else (1 + self.reached).double() / (1 + self.shuffles)

    def best(self, unit: int, category: str | None = None) -> tuple[Concept, float]:
        """The concept a unit detects best, of one category or of all, and its IoU.

        Raises:
            ExplainError: there is no such unit or category.
        """
        if not 0 <= unit < self.units:
            raise ExplainError(f"There is no unit {unit}; {self.layer} has units 0…{self.units - 1}.")
        if category is not None and category not in self.categories:
            raise ExplainError(f"There is no category {category!r}; there are {', '.join(self.categories)}.")
        of = [i for i, concept in enumerate(self.concepts) if category in (None, concept.category)]
        row = self.iou[unit, of]
        place = int(row.argmax())
        return self.concepts[of[place]], float(row[place])

    def names(self, threshold: float = DETECTOR) -> Names:
        """The units whose best concept has an IoU above a threshold, with its name."""
        value, best = self.iou.max(dim=1)
        units = {}
        tested = None if self.p is None else of_a_layer(self.p.gather(1, best[:, None])[:, 0])
        for k in (value > threshold).nonzero()[:, 0].tolist():
            concept = self.concepts[int(best[k])]
            p = None if tested is None else float(tested[k])
            units[k] = UnitName(as_word(concept.name, concept.category), concept.category, float(value[k]), p)
        source = f"Network Dissection with {self.data}"
        return Names(units, self.units, "IoU", source, self.layer, self.fingerprint, self.casts, complete=True)

    def known(self, threshold: float = DETECTOR) -> Names:
        """All that is known of the units: their `names`, and of those without one the class they answer to.

        A name that chance could have given gives way to a class that it could not.
        """
        names = self.names(threshold)
        if self.selectivity is None:
            return names
        units = dict(names.units)
        for unit, name in self.selectivity.names().items():
            before = units.get(unit)
            if before is None or (before.doubtful("IoU") and not name.doubtful("")):
                units[unit] = name
        return replace(names, units=units, source=f"{names.source}, class selectivity with {self.selectivity.data}")

    def detectors(self, threshold: float = DETECTOR) -> dict[str, int]:
        """How many units' best concept is of each category and above the threshold."""
        found = dict.fromkeys(self.categories, 0)
        for name in self.names(threshold).units.values():
            found[name.category] += 1
        return found

    def save(self, path: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write PATH.safetensors with the tallies and PATH.json with the rest and a checksum of both.

        Raises:
            OSError: they cannot be written there; nothing is left behind.
        """
        return dissection_file.write(Path(path), *self._split())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Dissection:
        """Read what `save` wrote; PATH with or without its suffix.

        Files of mmcam 0.1 know no checksum: they are read with a warning.

        Raises:
            ExplainError: a file is missing, is no dissection's, or belongs to another dissection than the other.
        """
        base = str(path).removesuffix(".json").removesuffix(".safetensors")
        try:
            return cls(**dissection_file.read(base))
        except TypeError as error:  # a field too few, or one that no dissection has
            raise ExplainError(f"{base} holds no dissection of mmcam; make it again with `mmcam dissect`.") from error

    def write_tally(self, path: str | os.PathLike[str]) -> Path:
        """Write NetDissect's tally.csv: a row a unit, the best first, with the best concept of each category.

        Units are counted from 1 there, as in the official files (github.com/CSAILVision/NetDissect).
        """
        table = io.StringIO(newline="")
        fields = ("label", "truth", "activation", "intersect", "iou")
        head = ["unit", "category", "label", "score", *(f"{c}-{name}" for c in self.categories for name in fields)]
        writer = csv.writer(table)
        writer.writerow(head)
        for unit in self.iou.amax(dim=1).argsort(descending=True, stable=True).tolist():
            concept, score = self.best(unit)
            row: list[object] = [unit + 1, concept.category, concept.name, score]
            for category in self.categories:
                best, iou = self.best(unit, category)
                at = list(self.concepts).index(best)
                row += [best.name, int(self.truth[at]), float(self.active[unit, at]), int(self.both[unit, at]), iou]
            writer.writerow(row)
        return write_whole(Path(path), lambda file: file.write(table.getvalue().encode()))

    def _split(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Tensors, as small as their values allow, and what JSON can hold."""
        held = {name: getattr(self, name) for name in (*dissection_file.ALWAYS, "reached")}
        names = (
            "shape",
            "layer",
            "model",
            "data",
            "pictures",
            "quantile",
            "sampled",
            "skipped",
            "fingerprint",
            "casts",
        )
        rest: dict[str, object] = {name: getattr(self, name) for name in (*names, "shuffles", "version")}
        rest["concepts"] = [asdict(concept) for concept in self.concepts]
        if (found := self.selectivity) is not None:
            held |= {f"selectivity.{name}": getattr(found, name) for name in ("concept", "index", "p")}
            rest["selectivity"] = {name: getattr(found, name) for name in ("data", "photographs")} | {
                "concepts": [asdict(concept) for concept in found.concepts]
            }
        return {name: _small(tensor.cpu().contiguous()) for name, tensor in held.items() if tensor is not None}, rest

    def __repr__(self) -> str:
        named = len(self.names().units)
        return f"Dissection({named} of {self.units} units of {self.layer} of {self.model} named with {self.data})"


def _small(tensor: Tensor) -> Tensor:
    """Whole numbers in 32 bits, if they fit."""
    if tensor.is_floating_point() or int(tensor.abs().amax() if tensor.numel() else 0) >= 2**31:
        return tensor
    return tensor.int()
