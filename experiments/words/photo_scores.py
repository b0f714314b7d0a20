"""What captioners and VQA models of photographs score on their official test splits, beside what was published.

python -m experiments.words.photo_scores runs/flickr8k-captioner runs/flickr8k-show-attend-tell runs/daquar-san
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.lib.caption_scores import BLEU, RESAMPLES, SEED, scores
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, binomial, show_parts, with_error

EARLIER = (  # `--encoder mobilenet_v2` with its own weights, the scripts otherwise as they are
    ("MobileNetV2, Captioner, beam of 2", "49.8", "31.2", "18.7", "11.9", "0.248 ± 0.012"),
    ("MobileNetV2, ShowAttendTell, beam of 2", "59.9", "41.4", "27.7", "18.5", "0.456 ± 0.016"),
)
EARLIER_ANSWERS = (
    ("MobileNetV2, VQA, on DAQUAR", "5673", "22.5 ± 0.6", "19.4 ± 0.5"),
    ("MobileNetV2, SAN, on DAQUAR", "5673", "20.9 ± 0.5", "19.4 ± 0.5"),
)
PUBLISHED = (
    ("published: Karpathy & Fei-Fei 2015, VGG-16", "57.9", "38.3", "24.5", "16.0", ""),
    ("published: Xu et al. 2015, soft attention, VGG-19", "~67", "~44.8", "~29.9", "~19.5", ""),
)


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of trained models, each with its card.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
) -> None:
    """Write photographs.json and .md: a table of captioners and one of VQA models."""
    cards = [json.loads((folder / f"{folder.name}.json").read_text()) for folder in folders]
    rows: list[dict[str, Any]] = []
    speakers = [own for own in zip(folders, cards, strict=True) if own[1]["task"] == "captioning"]
    answerers = [card for card in cards if card["task"] != "captioning"]
    parts = []
    if speakers:
        lines = []
        for folder, card in speakers:
            for beam, how_said in ((card["beam"], f"beam of {card['beam']}"), (1, "the likeliest word each time")):
                found = spoken(folder / f"said-{beam}.json")
                rows.append({"model": card["name"], "said by": how_said, **found})
                figures = [*(with_error(found[key], 100) for key in BLEU), with_error(found["CIDEr-D"], digits=3)]
                lines.append([f"{card['name']}, {how_said}", *figures])
        parts.append(
            Part("Captions, on the test split:", ["", *BLEU, "CIDEr-D ± s.e."], [*lines, *EARLIER, *PUBLISHED])
        )
    lines = []
    for card in answerers:
        test = card["scores"]["test"]
        asked = sum(kind["questions"] for kind in test["types"].values())
        right = [with_error(binomial(test[key], asked), 100) for key in ("accuracy", "question_only")]
        lines.append([card["name"], str(asked), *right])
    head = ["", "questions", "right % ± s.e.", "most frequent answer to the question, or to its type % ± s.e."]
    parts.append(Part("Answers, on the test split:", head, [*lines, *EARLIER_ANSWERS]))
    below = [
        "",
        f"BLEU with 95 % intervals from {RESAMPLES} resamplings of the pictures, seed {SEED}; what captions score that "
        "have not seen the picture stands in [text-only.md](text-only.md). An answer is right by the official VQA "
        "accuracy where ten people answered, else word for word; ± is √(p(1−p)/n), a lower bound, as questions of one "
        "picture are not independent.",
        "",
        "Trained by:",
        "",
        *(f"- {card['name']}: " + "; then ".join(told(stage) for stage in stages(card)) for card in cards),
    ]
    made = "python -m experiments.words.photo_scores " + " ".join(f"runs/{folder.name}" for folder in folders)
    rows += [{"model": card["name"], **card["scores"]["test"]} for card in answerers]
    show_parts(out / "photographs", {**stamp(made, seed=SEED), "rows": rows}, parts, [f"`{made}`"], below)


def spoken(path: Path) -> dict[str, dict[str, float]]:
    """The scores of a file of captions and their references."""
    test = json.loads(path.read_text())["test"]
    return scores([text.split() for text in test["said"]], test["references"], None)


def stages(card: dict[str, Any]) -> list[dict[str, Any]]:
    """How it was trained: the stages of its card, or the card itself, which is one."""
    return card.get("stages", [card])


def told(stage: dict[str, Any]) -> str:
    """The command of a stage, folders left out of its paths, what it learned from, and for how long."""
    command = " ".join(Path(part).name if part.startswith(("/", ".")) else part for part in stage["command"].split())
    what = "captions" if "captions" in stage["data"] else "questions"
    data = f"{stage['data']['pictures']:,} photographs, {stage['data'][what]:,} {what}"
    return f"`{command}` ({data}, {stage['seconds'] // 60} minutes)"


if __name__ == "__main__":
    typer.run(main)
