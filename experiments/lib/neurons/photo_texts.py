"""Texts about photographs that took no part in naming the units: is what they name in the picture?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track
from torch import nn

import mmcam
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts, with_error
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


def rows(model: nn.Module, data: ConceptData, parts: Sequence[tuple[Sequence[int], Names]]) -> list[dict[str, Any]]:
    """A row for each key of `TOLD`.

    Args:
        model: of classes.
        data: photographs with concepts.
        parts: photographs to explain, and the names that were found without them.
    """
    texts = [
        judged(data, index, mmcam.explain_class(model, data.picture(index)), names)
        for indices, names in parts
        for index in track(indices, data.name)
    ]
    found = []
    for key in TOLD:
        pairs = [
            (told, chance)
            for text in texts
            if (told := text.told[key]) is not None and (chance := text.chance[key]) is not None
        ]
        columns = {
            "true": [told for told, _ in pairs],
            "chance": [chance for _, chance in pairs],
            "gain": [told - chance for told, chance in pairs],
        }
        found.append(
            {"told": key, "texts": len(texts), "naming": len(pairs)}
            | {name: asdict(mean(column)) for name, column in columns.items()}
        )
    return found


def counted(names: Names) -> dict[str, int]:
    """How many units have a name, and how many a name that is told plainly."""
    plainly = sum(not name.doubtful(names.measure) for name in names.units.values())
    return {"units": names.count, "named": len(names.units), "plainly": plainly}


def show_rows(
    path: Path,
    judged_rows: Sequence[dict[str, Any]],
    counts: Sequence[dict[str, Any]],
    what: str,
    command: str,
    pictures: int,
) -> None:
    """Print and write both tables: what texts name, and how many units have names.

    Args:
        path: without an ending.
        judged_rows: of `rows`.
        counts: of `counted`, with the half, its photographs and whose labels they had.
        what: was looked at.
        command: that makes the table again.
        pictures: that were explained.
    """
    told = [
        [row["told"], str(row["texts"]), str(row["naming"])]
        + [with_error(row[key], 100, sign="+" if key == "gain" else "") for key in ("true", "chance", "gain")]
        for row in judged_rows
    ]
    named = [
        [row["half"], str(row["photographs"]), row["labels"], f"{row['named']} of {row['units']}", str(row["plainly"])]
        for row in counts
    ]
    above = [
        f"{what} Each half of the photographs is explained with names from the other. Mean over the texts that name "
        "something so ± standard error; 5 units either side are looked at, what speaks for the class is judged. By "
        "chance: the names dealt out anew among the units told so. Told plainly: p ≤ 0.05 by 199 shuffles, adjusted "
        "for the number of units.",
        "",
        f"    {command}",
    ]
    parts = [
        Part("What texts name", ["names", "texts", "name something so", "of it is in the picture %", "by chance %",
                                 "more than by chance"], told),
        Part("Units with a name", ["half", "photographs", "labels", "units with a name", "told plainly"], named),
    ]  # fmt: skip
    report = stamp(command, pictures=pictures, seed=0, libraries=("timm",))
    show_parts(path, {**report, "rows": judged_rows, "units": counts}, parts, above)


def present(data: ConceptData, index: int) -> set[int]:
    """The numbers of the concepts that a picture shows."""
    return {int(number) for label in data.labels(index) for number in np.unique(label) if number}


def _share(named: Sequence[str] | set[str], true: set[str]) -> float | None:
    return sum(name in true for name in named) / len(named) if named else None
