"""What training a captioner on promises: short trials on a tenth of the photographs, by what they change.

    python -m experiments.words.caption_trials runs/trial-layers runs/trial-cider runs/trial-t05

Each folder is one that `experiments.train.finetune --share 0.1` wrote. The figures are those of the validation split,
at the width of the beam that is best there, before and after.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.lib.stamp import stamp
from experiments.lib.tables import show

HEAD = (
    "what is made greater", "layers of the encoder", "temperature", "rate", "steps of photographs",
    "BLEU-4 before", "after", "CIDEr-D before", "after",
)  # fmt: skip


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of trials, each with its card.")],
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write caption-trials.json and .md."""
    rows = [row_of(json.loads((folder / f"{folder.name}.json").read_text())) for folder in folders]
    made = "python -m experiments.words.caption_trials " + " ".join(f"runs/{folder.name}" for folder in folders)
    below = [
        "",
        f"On {rows[0]['photographs']:,} of Flickr8k's 6,000 training photographs; scores on its 1,000 of validation. "
        "Trials start from what had been trained until then, so each is to be compared with its own before.",
    ]
    cells = [list(map(str, list(row.values())[1:])) for row in rows]
    show(out / "caption-trials", {**stamp(made), "rows": rows}, HEAD, cells, [f"`{made}`"], below)


def row_of(card: dict[str, Any]) -> dict[str, Any]:
    """A trial's line: what it did last, and the scores before and after."""
    *_, before, last = card["stages"]
    did, (was, now) = last["hyperparameters"], (before["scores"]["val"], card["scores"]["val"])
    scores = {
        f"{key} {when}": round(scores[key] * factor, digits)
        for key, factor, digits in (("BLEU-4", 100, 1), ("CIDEr", 1, 3))
        for when, scores in (("before", was), ("after", now))
    }
    objective = {"likelihood": "likelihood", "cider": "CIDEr-D of own captions"}[did["objective"]]
    return {
        "photographs": last["data"]["pictures"],
        "objective": objective,
        "layers": did["layers"],
        "temperature": did.get("temperature", 1.0) if did["objective"] == "cider" else "",
        "rate": did["rate"],
        "steps": f"{did['steps']} × {did['batch']}",
        **scores,
    }


if __name__ == "__main__":
    typer.run(main)
