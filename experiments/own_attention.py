"""A model's own attention beside Grad-CAM: do they agree, and which falls on what the word or answer is about?

python -m experiments.own_attention
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments.judging import KINDS, Judged, judged
from experiments.tables import show


def main(
    pictures: int = 200,
    split: str = "test",
    method: str = "gradcam",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write attention-SPLIT-METHOD.json and .md."""
    command = f"python -m experiments.own_attention --pictures {pictures} --split {split} --method {method}"
    rows = []
    for name in (*KINDS["caption"], *KINDS["answer"]):
        found = judged(name, pictures, split, method)
        records = [record for record in found if record.own_agrees is not None and record.task != "question word"]
        if not records:
            continue  # a model without attention
        for category in sorted({record.category for record in records}):
            rows.append(summary(name, category, [record for record in records if record.category == category]))
        rows.append(summary(name, "all things", [record for record in records if record.category != "scene"]))
    head = ("model", "word or question", "n", "rank correlation", "± s.e.", f"{method} %", "attention %", "random %")
    cells = [
        [row["model"], row["category"], str(row["n"]), f"{row['correlation']:.2f}", f"{row['standard_error']:.2f}"]
        + [f"{100 * row[key]:.1f}" for key in ("pointing", "attention", "random")]
        for row in rows
    ]
    below = [
        "",
        "Spearman's correlation of the map and the attention of the last level, over all words and answers, right or "
        "wrong, both at 14×14; then how often the maximum of each lies on what a right one is about.",
    ]
    show(out / f"attention-{split}-{method}", {"command": command, "rows": rows}, head, cells, [f"`{command}`"], below)


def summary(name: str, category: str, records: list[Judged]) -> dict[str, Any]:
    """Mean correlation with its standard error, and both pointing accuracies of what is right."""
    agrees = np.array([record.own_agrees for record in records], dtype=float)
    aimed = [r for r in records if r.right and r.hit is not None]
    return {
        "model": name,
        "category": category,
        "n": len(records),
        "correlation": float(agrees.mean()),
        "standard_error": float(agrees.std() / np.sqrt(len(agrees))),
        "pointing": float(np.mean([record.hit for record in aimed])) if aimed else float("nan"),
        "attention": float(np.mean([record.own_hit for record in aimed])) if aimed else float("nan"),
        "random": float(np.mean([record.chance for record in aimed])) if aimed else float("nan"),
    }


if __name__ == "__main__":
    typer.run(main)
