"""Are the words that hardly need the picture the untrue ones? Flags against the truth of vignettes.

For every content word of the generated captions: is it true, how likely was it, and what does its log-probability lose
without the picture (`mmcam.grounding`, eight other pictures standing for none)? The figure is the area under the ROC
curve: the probability that an untrue word ranks below a true one of its kind; 0.5 is chance. Its interval comes from
resampling the pictures.

    python -m experiments.words.grounding_flags
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import rankdata

from experiments.lib.judging import KINDS, Judged, judged
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import bootstrap, mean

THRESHOLDS = (0.2, 0.5, 1.0)
RESAMPLES = 1000
FEW = 10  # untrue words; of fewer the curve says nothing


def lost(record: Judged) -> float:
    """What a word's log-probability loses without the picture."""
    return float("nan") if record.drop is None else record.drop


SCORES: dict[str, Callable[[Judged], float]] = {"drop": lost, "log_prob": lambda record: record.score}


def main(
    pictures: int = 200,
    split: str = "test",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write grounding-SPLIT.json and .md."""
    command = f"python -m experiments.words.grounding_flags --pictures {pictures} --split {split}"
    rows = []
    for name in KINDS["caption"]:
        records = [record for record in judged(name, pictures, split) if record.task == "word"]
        for category in ("all", *sorted({record.category for record in records})):
            own = [record for record in records if category in ("all", record.category)]
            if FEW <= sum(not record.right for record in own) < len(own):
                rows.append(summary(name, category, own))
    head = ("model", "words", "n", "pictures", "untrue %", "AUC of the drop", "AUC of log p", *map(flag, THRESHOLDS))
    cells = [
        [row["model"], row["category"], str(row["n"]), str(row["pictures"]), with_error(row["untrue"], 100)]
        + [with_error(row[key], digits=2) for key in SCORES]
        + [" / ".join(with_error(row[f"{side} {t}"], 100, 0) for side in ("true", "untrue")) for t in THRESHOLDS]
        for row in rows
    ]
    below = [
        "",
        "The last columns: the share of true and of untrue words whose drop is below so many nats. ±: standard error, "
        f"the words of one picture counting as one source of error; in brackets 95% intervals, {RESAMPLES} resamplings "
        "of the pictures, seed 0.",
    ]
    report = {**stamp(command, pictures=pictures, seed=0), "rows": rows}
    show(out / f"grounding-{split}", report, head, cells, [f"`{command}`"], below)


def flag(threshold: float) -> str:
    """Title of a column."""
    return f"flagged below {threshold}: true / untrue %"


def flagged(record: Judged, threshold: float) -> bool:
    """Whether a word hardly needs the picture."""
    return lost(record) < threshold


def summary(name: str, category: str, records: list[Judged]) -> dict[str, Any]:
    """Both areas with their intervals, and how many words each threshold flags."""
    by_picture: dict[int, list[Judged]] = {}
    for record in records:
        by_picture.setdefault(record.picture, []).append(record)
    groups = list(by_picture.values())
    row: dict[str, Any] = {"model": name, "category": category, "n": len(records), "pictures": len(groups)}
    row["untrue"] = share(records, lambda record: not record.right)
    for key, score in SCORES.items():
        row[key] = vars(bootstrap(groups, partial(ranked, score=score), resamples=RESAMPLES))
    for threshold in THRESHOLDS:
        for what, right in (("true", True), ("untrue", False)):
            own = [record for record in records if record.right == right]
            row[f"{what} {threshold}"] = share(own, partial(flagged, threshold=threshold))
    return row


def share(records: list[Judged], holds: Callable[[Judged], bool]) -> dict[str, Any]:
    """The share of words of which something holds, with its standard error over the pictures."""
    return vars(mean([holds(record) for record in records], [record.picture for record in records]))


def ranked(pictures: Sequence[list[Judged]], score: Callable[[Judged], float]) -> float:
    """The area of a score over the words of some pictures; nan where all or none are true."""
    words = [record for picture in pictures for record in picture]
    untrue, true = (np.array([score(r) for r in words if r.right == right], dtype=float) for right in (False, True))
    return area(untrue, true) if len(untrue) and len(true) else float("nan")


def area(untrue: np.ndarray, true: np.ndarray) -> float:
    """The probability that one of the first is below one of the second, ties counting half.

    Mann and Whitney's statistic from the ranks; scipy's test of it would spend its time on a p-value.
    """
    ranks = rankdata(np.concatenate([true, untrue]))[: len(true)]
    return float((ranks.sum() - len(true) * (len(true) + 1) / 2) / (len(untrue) * len(true)))


if __name__ == "__main__":
    typer.run(main)
