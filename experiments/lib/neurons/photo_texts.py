"""Texts about photographs that took no part in naming the units: is what they name in the picture?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from rich.progress import track
from torch import nn

import mmcam
from mmcam import Names
from mmcam.datasets.concepts import ConceptData
from mmcam.evaluation import mean
from mmcam.neurons.sentence import Reason

TOLD: Final[Mapping[str, Callable[[Reason], bool]]] = {
    "every name": lambda reason: True,
    "told plainly": lambda reason: not reason.perhaps,
    "told with a perhaps": lambda reason: reason.perhaps,
}
"""The names of a text that are judged."""


@dataclass(frozen=True)
class Judged:
    """What one text names for the class that the model says.

    Attributes:
        told: by key of `TOLD`, the share of its names that are in the picture; None where it names nothing so.
        chance: by the same keys, the share of all units' names, told so, that are in it: what names dealt out anew
            among the named units would give.
    """

    told: dict[str, float | None]
    chance: dict[str, float | None]


def judged(data: ConceptData, index: int, explanation: mmcam.Explanation, names: Names) -> Judged:
    """The text of an explanation of a picture against what it shows."""
    true = {data.concepts[number - 1].name for number in present(data, index)}
    why = explanation.why(names, k=5)
    speaking = [reason for reason in why.table if reason.name and reason.speaks == "for"]
    told = {key: _share({r.name for r in speaking if counts(r)}, true) for key, counts in TOLD.items()}
    every = {
        "every name": list(names.units.values()),
        "told plainly": [name for name in names.units.values() if not name.doubtful(names.measure)],
        "told with a perhaps": [name for name in names.units.values() if name.doubtful(names.measure)],
    }
    return Judged(told, {key: _share([name.name for name in of], true) for key, of in every.items()})


def rows(
    model: nn.Module, data: ConceptData, parts: Sequence[tuple[Sequence[int], Mapping[str, Names]]]
) -> list[dict[str, Any]]:
    """A row for each kind of names and key of `TOLD`.

    Args:
        model: of classes.
        data: photographs with concepts.
        parts: photographs to explain, and the names that were found without them.
    """
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    texts = sum(len(indices) for indices, _ in parts)
    for indices, kinds in parts:
        for index in track(indices, data.name):
            explanation = mmcam.explain_class(model, data.picture(index))
            for kind, names in kinds.items():
                text = judged(data, index, explanation, names)
                for key in TOLD:
                    own = found.setdefault((kind, key), [])
                    if (told := text.told[key]) is not None:
                        own.append((told, text.chance[key] or 0.0))
    return [
        {"names": kind, "told": key, "texts": texts, "naming": len(pairs)}
        | {
            "true": asdict(mean([told for told, _ in pairs])),
            "chance": asdict(mean([chance for _, chance in pairs])),
            "gain": asdict(mean([told - chance for told, chance in pairs])),
        }
        for (kind, key), pairs in found.items()
    ]


def present(data: ConceptData, index: int) -> set[int]:
    """The numbers of the concepts that a picture shows."""
    return {int(number) for label in data.labels(index) for number in np.unique(label) if number}


def only(names: Names, seen_in: str) -> Names:
    """The names of one kind of evidence."""
    return replace(names, units={unit: name for unit, name in names.units.items() if name.seen_in == seen_in})


def _share(named: Sequence[str] | set[str], true: set[str]) -> float | None:
    return sum(name in true for name in named) / len(named) if named else None
