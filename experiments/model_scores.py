"""One table of what the bundled models can do, read from the cards their training scripts wrote.

python -m experiments.model_scores
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmcam.explanation import write_whole
from models import WEIGHTS

SHOWN = {
    "vignette-classifier": {"mAP": "mAP, kinds and scenes", "mAP_kinds": "mAP, kinds"},
    "vignette-captioner": {
        "content_words_correct": "content words true of the picture",
        "captions_without_error": "captions without an untrue word",
        "BLEU-1": "BLEU-1",
        "BLEU-4": "BLEU-4",
        "CIDEr": "CIDEr-D",
    },
    "vignette-vqa": {"accuracy": "answers right", "question_only": "the question alone"},
}


def main(out: Annotated[Path, typer.Option(help="The table.")] = Path("experiments/results/models.md")) -> None:
    """Print the scores as Markdown and write them."""
    cards = {name: json.loads((WEIGHTS / f"{name}.json").read_text()) for name in SHOWN}
    lines = [
        "`python -m experiments.model_scores`",
        "",
        "| model | score | test | held-out combinations |",
        "|---|---|---|---|",
    ]
    for name, shown in SHOWN.items():
        test, heldout = (cards[name]["scores"][split] for split in ("test", "heldout"))
        for key, label in shown.items():
            lines.append(f"| {name} | {label} | {figure(test[key])} | {figure(heldout[key])} |")
    likeliest = cards["vignette-captioner"]["scores of the likeliest word each time"]
    key, label = "content_words_correct", "the same, without a beam: the likeliest word each time"
    shares = " | ".join(figure(likeliest[split][key]) for split in ("test", "heldout"))
    lines.append(f"| vignette-captioner | {label} | {shares} |")
    lines += [
        "",
        "Words of captions, by category:",
        "",
        "| category | words | test | held-out combinations |",
        "|---|---|---|---|",
    ]
    lines += rows(cards["vignette-captioner"], "categories", ("words",), ("correct",))
    lines += ["", "Answers, by type of question:", ""]
    lines += ["| type | questions | test | the question alone | held-out combinations |", "|---|---|---|---|---|"]
    lines += rows(cards["vignette-vqa"], "types", ("questions",), ("accuracy", "question_only"))
    pictures = cards["vignette-vqa"]["scores"]["test"]["pictures"]
    lines += ["", f"Each split: {pictures} pictures. Full figures are in the cards, models/weights/*.json."]
    print("\n".join(lines))
    write_whole(out, lambda file: file.write(("\n".join(lines) + "\n").encode()))


def rows(card: dict[str, Any], group: str, counts: tuple[str, ...], figures: tuple[str, ...]) -> list[str]:
    """One row a category: counts, figures on test, and the first figure on held-out combinations."""
    test, heldout = (card["scores"][split][group] for split in ("test", "heldout"))
    return [
        "| "
        + " | ".join(
            [
                name,
                *(str(entry[key]) for key in counts),
                *(figure(entry[key]) for key in figures),
                figure(heldout[name][figures[0]]) if name in heldout else "",
            ]
        )
        + " |"
        for name, entry in sorted(test.items())
    ]


def figure(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}"


if __name__ == "__main__":
    typer.run(main)
