"""What units are called, and whose units they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import torch
from torch import Tensor

ALPHA: Final = 0.05
"""A name is told as a fact if chance gives as good a fit less often than this."""

UNTESTED: Final = 0.1
"""Where nobody has tested a name against chance, it is told as a fact above this IoU, which units of random networks
hardly reach (experiments/results/neuron-detectors.md)."""


@dataclass(frozen=True)
class UnitName:
    """The name of one unit.

    Attributes:
        name: a concept, a word or a description.
        category: of the concept; "" if the source has none.
        score: how well it fits, in what `Names.measure` says; None if the source does not say.
        p: how often chance gives as good a fit with any of the concepts that were tried, adjusted for the number of
            units (see `of_a_layer`); None if nobody has tested it.
        seen_in: "places": the unit's active places were compared with those of the concept; "photographs": it is known
            only that the unit answers to photographs of such a class, and not to what in them. Then `score` is the
            class selectivity index (see `mmcam.neurons.selectivity`).
    """

    name: str
    category: str = ""
    score: float | None = None
    p: float | None = None
    seen_in: Literal["places", "photographs"] = "places"

    def doubtful(self, measure: str) -> bool:
        """Chance could have given this name: its `p` is above 0.05, or it was never tested and its IoU is at most 0.1.

        Names with another score than an IoU, or none, are taken as their source gives them.

        Args:
            measure: of the scores.
        """
        if self.p is not None:
            return self.p > ALPHA
        return measure == "IoU" and self.score is not None and self.score <= UNTESTED


@dataclass(frozen=True)
class Names:
    """Names for the units of one layer.

    Attributes:
        units: name by unit, counted from 0; a unit may be missing.
        count: number of units the layer has, as far as the source tells.
        measure: of the scores: "IoU", "similarity", or "".
        source: where the names come from, in words.
        layer: as its source calls it; "" if it does not say.
        fingerprint: of the weights the names belong to (see `mmcam.neurons.fingerprint`); "" where the source does not
            tell, so nothing keeps them from being used with other weights.
        casts: fingerprints of the same weights in half precision, whose units have the same names.
        complete: the source lists every unit of its layer, so a layer with more than `count` is another one; otherwise
            `count` is only the least that the layer has.
    """

    units: Mapping[int, UnitName]
    count: int
    measure: str = ""
    source: str = ""
    layer: str = ""
    fingerprint: str = field(default="", repr=False)
    casts: tuple[str, ...] = field(default=(), repr=False)
    complete: bool = False

    def above(self, threshold: float) -> Names:
        """The names whose score is above a threshold; those without a score stay."""
        kept = {u: name for u, name in self.units.items() if name.score is None or name.score > threshold}
        return replace(self, units=kept)


def of_a_layer(p: Tensor) -> Tensor:
    """(K) p of as many units, adjusted for their number: of names of at most 0.05, 5 % are expected by chance.

    Source: Benjamini & Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57, 1995.
    """
    least, order = p.double().sort(descending=True)
    adjusted = (least * len(p) / torch.arange(len(p), 0, -1, device=p.device)).cummin(0).values
    return torch.empty_like(adjusted).scatter_(0, order, adjusted)


def as_word(label: str, category: str) -> str:
    """A label as a word of a sentence: without Broden's marks of a colour ("black-c") and a scene, "_" as a blank."""
    return label.removesuffix(_MARKS.get(category, "")).replace("_", " ")


_MARKS = {"color": "-c", "scene": "-s"}  # Broden tells the colour "orange-c" from the fruit
