"""What the VQA models of photographs score by type of question, beside who has not seen the picture; and the eye check.

python -m experiments.words.photo_answers runs/flickr8k-questions-san runs/flickr8k-questions-vqa
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from experiments.lib.asked import Blind, Data, Split, photo_splits
from experiments.lib.question_reader import QuestionReader
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, binomial, show_parts, with_error
from mmcam.image import Preprocess

CHECKED = Path("experiments/lib/photo_questions_checked.csv")


def main(
    folders: Annotated[list[Path], typer.Argument(help="Folders of trained models, each with its card.")],
    root: Annotated[Path, typer.Option(help="Of the questions that photo_questions made.")] = Path(
        "runs/flickr8k-questions"
    ),
    pictures: Annotated[Path | None, typer.Option(help="Folder of the photographs, if another.")] = None,
    daquar: Annotated[Path | None, typer.Option(help="DAQUAR's folder, if models of it are told, too.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    seed: int = 0,
) -> None:
    """Write a table for each set of questions: photo-answers of those made of captions, daquar-answers."""
    cards = [json.loads((folder / f"{folder.name}.json").read_text()) for folder in folders]
    made = "python -m experiments.words.photo_answers " + " ".join(f"runs/{folder.name}" for folder in folders)
    sets: list[tuple[Data, Path | None, Path | None, str]] = [
        ("flickr8k-questions", root, pictures, "photo-answers"),
        ("daquar", daquar, None, "daquar-answers"),
    ]
    for data, folder, photographs, file in sets:
        of_data = [card for card in cards if card["data"]["set"] == data]
        if not of_data or folder is None:
            continue
        splits = photo_splits(data, folder, photographs, Preprocess())
        blind = blind_scores(splits, seed)
        columns = [blind["most frequent"], blind["reader"], *(of_test(card) for card in of_data)]
        names = ["most frequent answer", "question's words", *(card["name"] for card in of_data)]
        kinds = [kind for kind, n in most_asked(columns[0])]
        lines = [
            [kind, f"{columns[0][kind][1]:,}", *(with_error(binomial(*column[kind]), 100) for column in columns)]
            for kind in kinds
        ]
        title = f"{data}, test split, right % ± s.e.:"
        parts = [Part(title, ["type", "questions", *names], lines)]
        if data == "flickr8k-questions":
            parts.append(checked())
        rows = [{"data": data, "by": name, "types": column} for name, column in zip(names, columns, strict=True)]
        below = [
            "",
            "The first two columns have not seen the picture: the answer most often given to the same question in "
            "training, or to its type; and a linear classifier of the question's words and pairs of words. Answers are "
            "right word for word. ± is √(p(1−p)/n), a lower bound, as questions of one picture are not independent.",
            "",
            "Trained by:",
            "",
            *(f"- `{card['command']}` ({card['seconds'] // 60} minutes)" for card in of_data),
        ]
        show_parts(out / file, {**stamp(made, seed=seed), "rows": rows}, parts, [f"`{made} …`"], below)


Scores = dict[str, tuple[float, int]]  # of every type and of "all": the share that is right, and of how many


def blind_scores(splits: dict[str, Split], seed: int) -> dict[str, Scores]:
    """Of two baselines that read the question only, on the test split."""
    found = {}
    for name, guess in (("most frequent", Blind(splits["train"])), ("reader", QuestionReader(splits["train"], seed))):
        marks: defaultdict[str, list[float]] = defaultdict(list)
        for own in splits["test"].questions:
            for question in own:
                mark = question.score(guess(question))
                for kind in ("all", question.type):
                    marks[kind].append(mark)
        found[name] = {kind: (float(np.mean(of)), len(of)) for kind, of in marks.items()}
    return found


def of_test(card: dict[str, Any]) -> Scores:
    """Of a model's card."""
    test = card["scores"]["test"]
    types = {kind: (score["accuracy"], score["questions"]) for kind, score in test["types"].items()}
    return {"all": (test["accuracy"], test["questions"]), **types}


def most_asked(column: Scores, most: int = 12) -> list[tuple[str, int]]:
    """All, and then the types by how often they are asked."""
    return sorted(((kind, n) for kind, (_, n) in column.items()), key=lambda item: -item[1])[:most]


def checked() -> Part:
    """Questions of the test split that were judged by eye, picture beside."""
    with CHECKED.open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = []
    for kind in ("all", *sorted({row["type"] for row in rows})):
        own = [row["judgement"] for row in rows if kind in ("all", row["type"])]
        counts = [str(own.count(name)) for name in ("wrong answer", "unanswerable", "clumsy")]
        share = with_error(binomial(own.count("good") / len(own), len(own)), 100)
        lines.append([kind, str(len(own)), share, *counts])
    return Part(
        "Questions looked at with their pictures:",
        ["type", "looked at", "good % ± s.e.", "wrong answer", "unanswerable", "clumsy"],
        lines,
    )


if __name__ == "__main__":
    typer.run(main)
