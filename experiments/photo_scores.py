"""What captioners and VQA models of photographs score on their official test splits, beside what was published.

python -m experiments.photo_scores runs/flickr8k-captioner runs/flickr8k-show-attend-tell runs/daquar-san runs/vqa-san
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.model_scores import row
from experiments.tables import keep

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
PUBLISHED = (
    ("published: Karpathy & Fei-Fei 2015, VGG-16", "57.9", "38.3", "24.5", "16.0", ""),
    ("published: Xu et al. 2015, soft attention, VGG-19", "~67", "~44.8", "~29.9", "~19.5", ""),
)


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of trained models, each with its card.")],
    out: Annotated[Path, typer.Option(help="The table.")] = Path("experiments/results/photographs.md"),
) -> None:
    """Write one table of captioners and one of VQA models."""
    cards = [json.loads((folder / f"{folder.name}.json").read_text()) for folder in folders]
    speakers = [card for card in cards if card["task"] == "captioning"]
    lines = ["`python -m experiments.photo_scores " + " ".join(f"runs/{folder.name}" for folder in folders) + "`", ""]
    if speakers:
        lines += ["Captions, on the test split:", "", row("", [*BLEU, "CIDEr-D"]), "|---" * 6 + "|"]
        for card in speakers:
            lines.append(row(f"{card['name']}, beam of {card['beam']}", language(card["scores"]["test"])))
            greedy = card["scores of the likeliest word each time"]["test"]
            lines.append(row(f"{card['name']}, the likeliest word each time", language(greedy)))
        lines += [row(name, figures) for name, *figures in PUBLISHED if speakers]
    answerers = [card for card in cards if card not in speakers]
    if answerers:
        lines += ["", "Answers, on the test split:", ""]
        lines += [
            row("", ["questions", "right %", "most frequent answer to the question, or to its type %"]),
            "|---" * 4 + "|",
        ]
    for card in answerers:
        test = card["scores"]["test"]
        asked = str(sum(kind["questions"] for kind in test["types"].values()))
        lines.append(row(card["name"], [asked, *(f"{100 * test[key]:.1f}" for key in ("accuracy", "question_only"))]))
    if answerers:
        lines += ["", "Right by the official VQA accuracy where ten people answered, else word for word."]
    lines += ["", "Trained by:", "", *(f"- `{command(card)}`: {how(card)}" for card in cards)]
    text = "\n".join(lines) + "\n"
    print(text)
    keep(out, text)


def language(scores: dict[str, float]) -> list[str]:
    """BLEU in percent and CIDEr-D."""
    return [*(f"{100 * scores[key]:.1f}" for key in BLEU), f"{scores['CIDEr']:.3f}"]


def command(card: dict[str, Any]) -> str:
    """The command of a card, folders left out of its paths."""
    return " ".join(Path(part).name if part.startswith("/") else part for part in card["command"].split())


def how(card: dict[str, Any]) -> str:
    """What was trained on, and for how long."""
    what = "captions" if card["task"] == "captioning" else "questions"
    return f"{card['data']['pictures']:,} photographs, {card['data'][what]:,} {what}, {card['seconds'] // 60} minutes"


if __name__ == "__main__":
    typer.run(main)
