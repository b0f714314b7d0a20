"""Are the words that hardly need the picture the untrue ones? Flags against the truth of vignettes.

For every content word of the generated captions: is it true, how likely was it, and what does its log-probability lose
without the picture (`mmcam.grounding`, eight other pictures standing for none)? The figure is the area under the ROC
curve: the probability that an untrue word ranks below a true one of its kind; 0.5 is chance.

    python -m experiments.grounding_flags
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import mannwhitneyu

from experiments.judging import KINDS, Judged, judged
from experiments.tables import show

THRESHOLDS = (0.2, 0.5, 1.0)
FEW = 10  # untrue words; of fewer the curve says nothing


def main(
    pictures: int = 200,
    split: str = "test",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write grounding-SPLIT.json and .md."""
    command = f"python -m experiments.grounding_flags --pictures {pictures} --split {split}"
    rows = []
    for name in KINDS["caption"]:
        records = [record for record in judged(name, pictures, split) if record.task == "word"]
        for category in ("all", *sorted({record.category for record in records})):
            own = [record for record in records if category in ("all", record.category)]
            if FEW <= sum(not record.right for record in own) < len(own):
                rows.append(summary(name, category, own))
    head = ("model", "words", "n", "untrue %", "AUC of the drop", "AUC of log p", *map(flag, THRESHOLDS))
    cells = [
        [row["model"], row["category"], str(row["n"]), f"{100 * row['untrue']:.1f}"]
        + [f"{row[key]:.2f}" for key in ("drop", "log_prob")]
        + [f"{100 * row[f'true {t}']:.0f} / {100 * row[f'untrue {t}']:.0f}" for t in THRESHOLDS]
        for row in rows
    ]
    below = ["", "The last columns: the share of true and of untrue words whose drop is below so many nats."]
    show(out / f"grounding-{split}", {"command": command, "rows": rows}, head, cells, [f"`{command}`"], below)


def flag(threshold: float) -> str:
    """Title of a column."""
    return f"flagged below {threshold}: true / untrue %"


def summary(name: str, category: str, records: list[Judged]) -> dict[str, Any]:
    """Both areas, and how many words each threshold flags."""
    untrue = np.array([not record.right for record in records])
    drops = np.array([record.drop for record in records], dtype=float)
    row = {
        "model": name,
        "category": category,
        "n": len(records),
        "untrue": float(untrue.mean()),
        "drop": area(drops[untrue], drops[~untrue]),
        "log_prob": area(*(np.array([r.score for r in records if r.right != wrong]) for wrong in (True, False))),
    }
    for threshold in THRESHOLDS:
        row[f"true {threshold}"] = float((drops[~untrue] < threshold).mean())
        row[f"untrue {threshold}"] = float((drops[untrue] < threshold).mean())
    return row


def area(untrue: np.ndarray, true: np.ndarray) -> float:
    """The probability that one of the first is below one of the second, ties counting half."""
    return float(1 - mannwhitneyu(untrue, true).statistic / (len(untrue) * len(true)))


if __name__ == "__main__":
    typer.run(main)
