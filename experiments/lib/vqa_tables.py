"""Tables of the maps of answers: all questions together, and each type of question; with what was published."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from experiments.lib.protocol import SQUARES
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from experiments.lib.text_prior import RARE
from mmcam import evaluation as ev
from models import Answerer

OCCLUSION, RANDOM, CENTRE, TEXT, PEOPLE = "occlusion", "(random)", "(centre)", "(text alone)", "(people)"
BESIDE: Final = (OCCLUSION, RANDOM, CENTRE, TEXT, PEOPLE)
"""What is no method's map of the answer, but set beside them."""
BY_TYPE: Final = ("gradcam", "layercam")
KEYS: Final = ("occlusion", "attended", "mass", "rank", "pointing")

PUBLISHED: Final[dict[str, dict[str, str]]] = {
    "gradcam": {"occlusion": "0.60 ± 0.038", "attended": "0.136"},
    "guided_backprop": {"occlusion": "0.42 ± 0.038"},
    RANDOM: {"attended": "0"},
    PEOPLE: {"attended": "~0.623"},
}
PUBLISHED_ATTENTION: Final = {"HieCoAtt": "~0.264", "SAN": "~0.249"}
"""With human attention, of a model's own attention, by the name of its class."""
SOURCES: Final = (
    "Published: Grad-CAM, arXiv 1610.02391, VGG-16 and photographs of COCO; human attention is VQA-HAT's (Das et al., "
    "arXiv 1606.03556), 1374 questions of VQA v1's validation part, where people agree with one another by ~0.623, "
    "HieCoAtt's attention with theirs by ~0.264 and SAN-2's by ~0.249. ~ is remembered and was not read again. Other "
    "models and pictures than ours: only the order can be compared."
)

Record = dict[str, Any]


def tables(
    data: str,
    command: str,
    loaded: dict[str, Answerer],
    found: dict[str, tuple[list[Record], list[str]]],
    people: bool,
    drawn: str,
    out: Path,
) -> None:
    """Print and write the table of all questions, and that of each type; `drawn` is the picture's model, if any."""
    rows, typed, told = [], [], []
    for name, (records, methods) in found.items():
        told.append(f"- {name}: {covered(records, TEXT in methods, people)}")
        asks = [(record["picture"], question) for record in records for question in record["questions"]]
        rows += [row_of(name, "all", method, asks) for method in methods]
        for kind in sorted({question["type"] for _, question in asks}):
            own = [(picture, question) for picture, question in asks if question["type"] == kind]
            typed += [row_of(name, kind, method, own) for method in BY_TYPE if method in methods]
    pictures = max(len(records) for records, _ in found.values())
    report = {**stamp(command, pictures=pictures, seed=0), "settings": SQUARES, "published": PUBLISHED}
    against = "asked things" if data == "vignettes" else "human attention"
    head = ["model", "method", "n", "empty", "occlusion ↑", "published", f"{against} ↑", "published, human attention"]
    head += ["mass % ↑", "rank % ↑", "pointing % ↑"]
    cells_of = []
    for row in rows:
        known = dict(PUBLISHED.get(row["method"], {}))
        if row["method"] == "attention":
            known["attended"] = PUBLISHED_ATTENTION.get(type(loaded[row["model"]]).__name__, "")
        line = [row["model"], row["method"], str(row["n"]), str(row["empty"])]
        for key in ("occlusion", "attended"):
            line += [shown(row, key), known.get(key, "")]
        cells_of.append(line + [shown(row, key) for key in ("mass", "rank", "pointing")])
    below = ["", f"Maps of {drawn}: ![questions, what they are about, maps](vqa-maps.webp)"] if drawn else []
    above = [f"`{command}`", "", *told, "", legend(data, people), "", SOURCES]
    show(out / f"vqa-maps-{data}", report | {"rows": rows}, head, cells_of, above, below)
    if typed:
        head = ["model", "type of question", "method", "n", "empty", "occlusion ↑", f"{against} ↑"]
        head += ["mass % ↑", "rank % ↑", "pointing % ↑"]
        cells_of = [
            [*(str(row[key]) for key in ("model", "type", "method", "n", "empty")), *(shown(row, key) for key in KEYS)]
            for row in typed
        ]
        above = [
            f"`{command}`",
            "",
            f"As [all questions together](vqa-maps-{data}.md), where the columns are explained.",
        ]
        show(out / f"vqa-maps-types-{data}", report | {"rows": typed}, head, cells_of, above)


def row_of(name: str, kind: str, method: str, asks: list[tuple[str, Record]]) -> dict[str, Any]:
    """The figures of a method over questions, with standard errors clustered by picture."""
    row: dict[str, Any] = {"model": name, "type": kind, "method": method, "n": len(asks)}
    for key in KEYS:
        values = [question["figures"][method].get(key, float("nan")) for _, question in asks]
        figure = ev.mean(values, [picture for picture, _ in asks])
        if figure.n:
            row[key] = asdict(figure)
    row["empty"] = row["occlusion"]["undefined"] if "occlusion" in row else 0
    return row


def shown(row: dict[str, Any], key: str) -> str:
    """A figure and its standard error; correlations as they are, shares in percent; "" where there is none."""
    if key not in row:
        return ""
    scale, digits = (1, 3) if key in ("occlusion", "attended") else (100, 1)
    return with_error(row[key], scale, digits)


def covered(records: list[Record], prior: bool, people: bool) -> str:
    """How many questions were explained, how many of them rightly answered, and how often the text alone fell back."""
    asks = [question for record in records for question in record["questions"]]
    total, about = (sum(record[key] for record in records) for key in ("asked", "about"))
    pictures = [record["picture"] for record in records for _ in record["questions"]]
    text = f"{len(records)} pictures, {total} questions"
    if any(question["guessed"] is not None for question in asks):
        right = ev.mean([question["score"] for question in asks], pictures)
        guessed = ev.mean([question["guessed"] for question in asks], pictures)
        if len(asks) < total:
            text += f", of which {total - len(asks)} hold no word the model knows and are left out"
        text += f", VQA accuracy {with_error(right, 100)} %"
        text += f" (the question alone: {with_error(guessed, 100)} %)"
    else:
        text += f", {about} about things, of which {len(asks)} are answered rightly and explained"
        text += f" ({100 * len(asks) / max(total, 1):.0f} % of all)"
    if people:
        maps, black = (sum(question["people"][i] for question in asks) for i in (0, 1))
        text += f"; {black} of {maps} people's maps are black and left out"
    if prior and asks:
        text += f"; the text alone fell back in {100 * np.mean([ask['fell back'] for ask in asks]):.1f} %"
    return text + "."


def legend(data: str, people: bool) -> str:
    """What the columns and rows mean."""
    text = (
        "Occlusion: Spearman's rank correlation of the map with that of squares of "
        f"{SQUARES['patch']} pixels, stride {SQUARES['stride']}, covered with the mean colour, the score being the "
        "answer's before the softmax; both maps at 14×14, ties sharing their mean rank. "
    )
    if data == "vignettes":
        text += (
            "Asked things: the same with the exact mask of what the question is about, which stands in for human "
            "attention, so the published figures beside it are of something else. Mass, rank: CLEVR-XAI's relevance "
            "mass and rank accuracy, the share of the map, and of its K largest pixels, on that mask of K pixels. "
            "Pointing: the map's maximum lies on it, without tolerance. Explained are right answers to questions about "
            "things. Text alone: the mean mask of the same question asked of pictures of the train split, or, where it "
            f"was asked of fewer than {RARE} of them, of questions of its type (“fell back”). "
        )
    elif people:
        text += (
            "Human attention: the same with each person's map of VQA-HAT, averaged over the people of a question, then "
            "over questions. People: each person's map with those of the others, averaged over pairs. Text alone: the "
            "mean map of people for other questions that begin with the same two words, those about the picture left "
            "out, or, where there is none, for all other questions (“fell back”). Explained is what the model answers, "
            "right or wrong. No masks are known. "
        )
    else:
        text += "Explained is what the model answers, right or wrong. Neither human attention nor masks are known. "
    if data == "vignettes" or people:
        text += "The row “occlusion” is that map itself. "
    return text + (
        "Random and centre: noise at 14×14, and a Gaussian in the middle. Empty: questions whose map is the same "
        "everywhere; it has no ranks and is left out of the correlations. A pixel map counts by the largest magnitude "
        "over its channels. ±: standard error, the questions of one picture counting as one source of error."
    )
