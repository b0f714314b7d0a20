"""Which concepts the maps of a class lie on more than those of the other classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmcam.diagnosis.records import Record
from mmcam.evaluation.uncertainty import Mean, mean

FEW = 3
"""Pictures of a class with a concept from which on it is compared."""


@dataclass(frozen=True)
class Lean:
    """How much more the maps of a class lie on a concept than those of the other classes.

    Attributes:
        label: the class.
        concept: the concept.
        share: of the class's maps on it, over the pictures that show it.
        area: of these pictures, which the concept covers; None where concepts are named units.
        excess: share less area: 0 is what a map that is the same everywhere has; of units the share.
        others: the mean excess of the other classes, each counted once; nan where none shows the concept.
        more: excess less others; nan likewise.
        error: the standard error of `more`.
        pictures: those of the class in which the concept's share was greatest, and less what it covers.
    """

    label: str
    concept: str
    share: Mean
    area: float | None
    excess: Mean
    others: float
    more: float
    error: float
    pictures: tuple[str, ...]

    @property
    def z(self) -> float:
        """How many standard errors more: without end where all pictures agree; nan where nothing can be compared."""
        if self.error == 0 and self.more:
            return math.copysign(math.inf, self.more)
        return self.more / self.error if self.error > 0 else math.nan


def ranked(records: Sequence[Record], examples: int = 4) -> list[Lean]:
    """Every class with every concept that at least `FEW` of its pictures show; first what it leans to most.

    A concept that no other class shows cannot be compared; those come last, by their excess.

    Args:
        records: of pictures: "label", and "parts": of each concept [share, area] (see `mmcam.diagnosis.bias.parts`).
        examples: pictures to name for each.
    """
    values: dict[tuple[str, str], list[tuple[str, float, float | None]]] = {}
    for record in records:
        for concept, (share, area) in record["parts"].items():
            values.setdefault((record["label"], concept), []).append((record["file"], share, area))
    excess = {
        key: mean([share - (area or 0.0) for _, share, area in own]) for key, own in values.items() if len(own) >= FEW
    }
    leans = [_lean(key, values[key], excess, examples) for key in excess]
    return sorted(
        leans, key=lambda lean: (math.isnan(lean.z), -lean.z if not math.isnan(lean.z) else -lean.excess.value)
    )


def _lean(
    key: tuple[str, str],
    own: Sequence[tuple[str, float, float | None]],
    excess: Mapping[tuple[str, str], Mean],
    examples: int,
) -> Lean:
    label, concept = key
    others = [value for (other, name), value in excess.items() if name == concept and other != label]
    level = math.fsum(value.value for value in others) / len(others) if others else math.nan
    # Classes are independent of each other: their pictures are other ones.
    error = math.hypot(excess[key].standard_error, *(value.standard_error / len(others) for value in others))
    areas = [area for _, _, area in own if area is not None]
    best = sorted(own, key=lambda each: -(each[1] - (each[2] or 0.0)))
    return Lean(
        label,
        concept,
        mean([share for _, share, _ in own]),
        sum(areas) / len(areas) if areas else None,
        excess[key],
        level,
        excess[key].value - level,
        error if others else math.nan,
        tuple(file for file, _, _ in best[:examples]),
    )
