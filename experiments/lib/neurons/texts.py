"""Are the things that texts name in the picture, and do they belong to what was said?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import models
from experiments.lib.neurons.dissected import GROUPS, LAYER, MODELS, SUPERVISED, dissected
from experiments.lib.neurons.targets import Fact, Target, facts, right_targets
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam import Names
from mmcam.evaluation import mean

SETTINGS: Final = (  # of texts: quantile, IoU above, order of units, group whose names are used
    (0.005, 0.04, "contribution", "all"),
    (0.005, 0.04, "contribution", "free"),
    (0.005, 0.04, "weight", "all"),
    (0.005, 0.1, "contribution", "all"),
    (0.01, 0.1, "contribution", "all"),
)
SHARES: Final = ("for_in_picture", "for_meant", "against_in_picture", "any_in_picture", "any_meant")


def texts(pictures: int, probes: int, work: Path) -> list[dict[str, Any]]:
    """Rows of the table of texts: a model and a setting each.

    Args:
        pictures: test vignettes, of each of which everything that is said rightly has a text.
        probes: vignettes that the models are dissected with.
        work: folder of the dissections.
    """
    rows = []
    for name in MODELS:
        model = models.load(name)
        targets = list(right_targets(name, model, pictures))
        for quantile, threshold, by, group in SETTINGS:
            every = dissected(model, LAYER, probes, quantile, work).names(threshold)
            known = replace(every, units={unit: n for unit, n in every.units.items() if GROUPS[group](unit)})
            judged = [shares_of(target, known, threshold, by) for target in targets]
            naming = [(shares, target) for shares, target in zip(judged, targets, strict=True) if shares is not None]
            columns = zip(*(shares for shares, _ in naming), strict=True)
            means = [mean(column, [target.scene.truth.seed for _, target in naming]) for column in columns]
            rows.append(
                {"model": name, "units": group, "quantile": quantile, "threshold": threshold, "by": by,
                 "texts": len(targets), "pictures": pictures, "without_a_name": len(targets) - len(naming)}
                | {key: asdict(figure) for key, figure in zip(SHARES, means, strict=True)}
            )  # fmt: skip
    return rows


def shares_of(target: Target, known: Names, threshold: float, by: Any) -> list[float] | None:
    """The `SHARES` of one text; None where it names nothing."""
    why = target.exp.why(known, threshold=threshold, by=by)
    speaking, against = (
        {(r.category, r.name) for r in why.table if r.name and r.speaks == side} for side in ("for", "against")
    )
    if not speaking:
        return None
    true = facts(target.scene)
    units = [(unit.category, unit.name) for unit in known.units.values()]
    return [
        share(speaking, true), share(speaking, target.meant), share(against, true), share(units, true),
        share(units, target.meant),
    ]  # fmt: skip


def share(named: Collection[Fact], true: Collection[Fact]) -> float:
    """Share of what is named that is true; nan of nothing."""
    return sum(fact in true for fact in named) / len(named) if named else float("nan")


def show_texts(rows: Sequence[dict[str, Any]], pictures: int, out: Path, command: str) -> None:
    """Print and write neuron-text."""
    cells = [
        [row["model"], row["units"], row["by"], f"{row['quantile']:g}", f"{row['threshold']:g}", str(row["texts"]),
         f"{row['without_a_name'] / row['texts']:.0%}", *(with_error(row[key], 100) for key in SHARES)]
        for row in rows
    ]  # fmt: skip
    head = ["model", "names of units", "units by", "quantile", "IoU above", "texts", "name nothing",
            "named is in the picture %", "named is true of the thing meant %", "named against is in the picture %",
            "any unit's name is in the picture %", "any unit's name is true of the thing %"]  # fmt: skip
    above = [
        f"What the texts of right classes, true words and right answers name, on {pictures} test vignettes (mean over "
        "the texts that name something ± standard error, the texts of one picture counting as one source of error). "
        f"{SUPERVISED} The last two columns: what a unit drawn at random among the named ones would give.",
        "",
        f"    {command}",
    ]
    show(out / "neuron-text", {**stamp(command, pictures=pictures), "rows": rows}, head, cells, above)
