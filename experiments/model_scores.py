"""What the bundled models can do, side by side, read from the cards their training scripts wrote.

python -m experiments.model_scores
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from experiments.judging import KINDS
from experiments.tables import keep
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


def main(out: Annotated[Path, typer.Option(help="The table.")] = Path("experiments/results/models.md")) -> None:
    """Print the scores as Markdown and write them."""
    lines = [
        "`python -m experiments.model_scores`",
        "",
        "Every cell: test / held-out combinations, 3,000 pictures each.",
    ]
    for task, names in KINDS.items():
        cards = {name: json.loads((WEIGHTS / f"{name}.json").read_text()) for name in names}
        lines += ["", f"## {task.capitalize()}", "", *head(names)]
        lines += [row(label, [both(card["scores"], key) for card in cards.values()]) for key, label in scored(cards)]
        if task == "caption":
            cells = [both(card[GREEDY], "content_words_correct") for card in cards.values()]
            lines.append(row("true content words, the likeliest word each time instead of a beam of 2", cells))
        lines.append(row("parameters, million", [f"{card['parameters'] / 1e6:.1f}" for card in cards.values()]))
        for group, figure, title in (
            ("categories", "correct", "True words of captions, by category"),
            ("types", "accuracy", "Right answers, by type of question"),
        ):
            lines += list(by_kind(cards, group, figure, title))
    text = "\n".join(lines) + "\n"
    Console().print(Markdown(text))
    keep(out, text)


def scored(cards: Cards) -> Iterator[tuple[str, str]]:
    """The scores these cards have, with their labels."""
    first = next(iter(cards.values()))["scores"]["test"]
    return ((key, label) for key, label in LABELS.items() if key in first)


def by_kind(cards: Cards, group: str, figure: str, title: str) -> Iterator[str]:
    """A table with a row for each category of words or type of question, where the cards have them."""
    if group not in next(iter(cards.values()))["scores"]["test"]:
        return
    found = [{split: card["scores"][split][group] for split in ("test", "heldout")} for card in cards.values()]
    yield from ("", f"{title}:", "", *head(tuple(cards)))
    for name in sorted(found[0]["test"]):
        cells = [both({split: own[split].get(name, {}) for split in own}, figure) for own in found]
        yield row(name, cells)


def head(names: Sequence[str]) -> list[str]:
    """The first lines of a table with a column for each model."""
    return [row("", [name.removeprefix("vignette-") for name in names]), "|---" * (len(names) + 1) + "|"]


def row(label: str, cells: Sequence[str]) -> str:
    """One line of a table."""
    return "| " + " | ".join([label, *cells]) + " |"


def both(scores: Mapping[str, Mapping[str, float]], key: str) -> str:
    """A score on both splits; a dash where there were none of the kind."""
    return " / ".join(f"{scores[split][key]:.3f}" if key in scores[split] else "–" for split in ("test", "heldout"))


if __name__ == "__main__":
    typer.run(main)
