"""A model's own attention beside Grad-CAM: do they agree, and which falls on what the word or answer is about?

python -m experiments.words.own_attention
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.lib.judging import KINDS, Judged, judged
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import Mean, mean


def main(
    pictures: int = 200,
    split: str = "test",
    method: str = "gradcam",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write attention-SPLIT-METHOD.json and .md."""
    command = f"python -m experiments.words.own_attention --pictures {pictures} --split {split} --method {method}"
    rows = []
    for name in (*KINDS["caption"], *KINDS["answer"]):
        found = judged(name, pictures, split, method)
        records = [record for record in found if record.own_agrees is not None and record.task in ("word", "answer")]
        if not records:
            continue  # a model without attention
        for category in sorted({record.category for record in records}):
            rows.append(summary(name, category, [record for record in records if record.category == category]))
        rows.append(summary(name, "all things", [record for record in records if record.category != "scene"]))
    head = ("model", "word or question", "n", "rank correlation", "n, right", f"{method} %", "attention %", "random %")
    cells = []
    for row in rows:
        line = [row["model"], row["category"], str(row["correlation"].n), with_error(row["correlation"], digits=2)]
        shares = [with_error(row[key], 100) for key in ("pointing", "attention", "random")]
        cells.append([*line, str(row["pointing"].n), *shares])
    below = [
        "",
        "Spearman's correlation of the map and the attention of the last level, over all words and answers, right or "
        "wrong, both at 14×14; then how often the maximum of each lies on what a right one is about. "
        "±: standard error, the words or answers of one picture counting as one source of error.",
    ]
    kept = [{key: vars(value) if isinstance(value, Mean) else value for key, value in row.items()} for row in rows]
    report = {**stamp(command, pictures=pictures), "rows": kept}
    show(out / f"attention-{split}-{method}", report, head, cells, [f"`{command}`"], below)


def summary(name: str, category: str, records: list[Judged]) -> dict[str, Any]:
    """Mean correlation, and both pointing accuracies and the random one of what is right and about something."""
    aimed = [record for record in records if record.right and record.hit is not None]

    def over(own: list[Judged], values: list[Any]) -> Mean:
        return mean([float("nan") if value is None else float(value) for value in values], [r.picture for r in own])

    return {
        "model": name,
        "category": category,
        "correlation": over(records, [record.own_agrees for record in records]),
        "pointing": over(aimed, [record.hit for record in aimed]),
        "attention": over(aimed, [record.own_hit for record in aimed]),
        "random": over(aimed, [record.chance for record in aimed]),
    }


if __name__ == "__main__":
    typer.run(main)
