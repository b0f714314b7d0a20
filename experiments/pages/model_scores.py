"""What the bundled models can do, side by side, read from the cards their training scripts wrote.

python -m experiments.pages.model_scores
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.lib.judging import KINDS
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, binomial, show_parts, with_error
from models import WEIGHTS

LABELS = {
    "mAP": "mean average precision, kinds and scenes",
    "content_words_correct": "content words true of the picture",
    "captions_without_error": "captions without an untrue word",
    **{f"BLEU-{n}": f"BLEU-{n}" for n in (1, 2, 3, 4)},
    "CIDEr": "CIDEr-D",
    "accuracy": "answers right",
    "question_only": "the question alone, without the picture",
}
GREEDY = "scores of the likeliest word each time"
Cards = Mapping[str, dict[str, Any]]


def main(out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results")) -> None:
    """Write models.json and .md."""
    parts, rows = [], []
    for task, names in KINDS.items():
        cards = {name: json.loads((WEIGHTS / f"{name}.json").read_text()) for name in names}
        lines = []
        for key, label in scored(cards):
            scores = [card["scores"] for card in cards.values()]
            lines.append([counted(label, scores, key), *(both(own, key) for own in scores)])
        if task == "caption":
            scores, key = [card[GREEDY] for card in cards.values()], "content_words_correct"
            label = "true content words, the likeliest word each time instead of a beam of 2"
            lines.append([counted(label, scores, key), *(both(own, key) for own in scores)])
        lines.append(["parameters, million", *(f"{card['parameters'] / 1e6:.1f}" for card in cards.values())])
        parts.append(Part(f"## {task.capitalize()}", head(names), lines))
        for group, figure, title in (
            ("categories", "correct", "True words of captions, by category:"),
            ("types", "accuracy", "Right answers, by type of question:"),
        ):
            parts += list(by_kind(cards, group, figure, title))
        rows += [
            {"model": name, "split": split} | own for name, c in cards.items() for split, own in c["scores"].items()
        ]
    command = "python -m experiments.pages.model_scores"
    above = [
        f"`{command}`",
        "",
        "Every cell: test / held-out combinations, 3,000 pictures each. ±: standard error of a share of n, "
        "√(p(1−p)/n), where n is the number of words, captions or questions; a lower bound but for captions, as "
        "the words and questions of one picture are not independent of one another. Scores of whole corpora "
        "(average precision, BLEU, CIDEr) have none in the cards. A score was measured when its model was trained; the "
        "last line says what put them together.",
    ]
    show_parts(out / "models", {**stamp(command), "rows": rows}, parts, above)


def scored(cards: Cards) -> Iterator[tuple[str, str]]:
    """The scores these cards have, with their labels."""
    first = next(iter(cards.values()))["scores"]["test"]
    return ((key, label) for key, label in LABELS.items() if key in first)


def by_kind(cards: Cards, group: str, figure: str, title: str) -> Iterator[Part]:
    """A table with a row for each category of words or type of question, where the cards have them."""
    if group not in next(iter(cards.values()))["scores"]["test"]:
        return
    found = [{split: card["scores"][split][group] for split in ("test", "heldout")} for card in cards.values()]
    lines = []
    for name in sorted(found[0]["test"]):
        scores = [{split: own[split].get(name, {}) for split in own} for own in found]
        lines.append([counted(name, scores, figure), *(both(own, figure) for own in scores)])
    yield Part(title, head(tuple(cards)), lines)


def counted(label: str, found: Sequence[Mapping[str, Mapping[str, Any]]], key: str) -> str:
    """A label with how many words, captions or questions the shares are of, on both splits.

    Each captioner says its own number of words, so there it is the least and the most.
    """
    spans = []
    for split in ("test", "heldout"):
        counts = [number for own in found if (number := count(own[split], key)) is not None]
        if not counts:
            return label
        spans.append(f"{min(counts)}" + f"–{max(counts)}" * (min(counts) < max(counts)))
    return f"{label} (n {' / '.join(spans)})"


def head(names: Sequence[str]) -> list[str]:
    """A column for each model."""
    return ["", *(name.removeprefix("vignette-") for name in names)]


def both(scores: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """A score on both splits with its standard error if it is a share; a dash where there were none of the kind."""
    return " / ".join(told(scores[split], key) if key in scores[split] else "–" for split in ("test", "heldout"))


def told(scores: Mapping[str, Any], key: str) -> str:
    """A score; a share with its standard error."""
    n, p = count(scores, key), scores[key]
    return with_error(binomial(p, n), digits=3) if n else f"{p:.3f}"


def count(scores: Mapping[str, Any], key: str) -> int | None:
    """Of how many a score is a share; None for one of a whole corpus."""
    if key not in scores:
        return None
    if key == "content_words_correct":
        return sum(own["words"] for own in scores["categories"].values())
    of = {
        "captions_without_error": "pictures",
        "accuracy": "questions",
        "question_only": "questions",
        "correct": "words",
    }
    return scores[of[key]] if key in of else None


if __name__ == "__main__":
    typer.run(main)
