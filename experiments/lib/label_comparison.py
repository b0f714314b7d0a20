"""Maps of models that learnt the same pictures with true and with permuted labels, compared method by method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from experiments.lib.protocol import METHODS
from experiments.lib.records import add, read
from experiments.lib.sanity import compared, figures, maps, told
from experiments.lib.sheets import keep_plot
from experiments.lib.tables import show, with_error
from mmcam.evaluation import Mean, mean
from mmcam.places.find import find_layer
from models import Classifier

PAIRS: Final = {
    "random labels": ("true", "random"),
    "another start": ("true", "again"),
    "another picture": ("true", "true"),
}
"""What is compared with what; the last with its own map of the next picture."""


def examine(nets: dict[str, Classifier], x: Tensor, labels: np.ndarray, folder: Path) -> None:
    """Write what is missing of the records: a line a method and picture, with the figures of every pair."""
    layer = find_layer(nets["true"], nets["true"], x[:1])
    target = torch.from_numpy(labels)
    for method in track(METHODS, "maps"):
        path = folder / f"{method}.jsonl"
        done = {record["picture"] for record in read(path)}
        todo = [n for n in range(len(x)) if n not in done]
        for n in todo:
            following = (n + 1) % len(x)
            rows = [n, following]
            made = {name: maps(net, x[rows], target[rows], layer, method) for name, net in nets.items()}
            record: dict[str, Any] = {"picture": n, "next": following}
            for pair, (first, second) in PAIRS.items():
                record[pair] = compared(made[first][0], made[second][int(first == second)], x.shape[-2:])
            add(path, [record])


def rows_from(folder: Path, shown: int) -> Iterator[dict[str, Any]]:
    """A method's mean figures over the first pictures."""
    for method in METHODS:
        records = [r for r in read(folder / f"{method}.jsonl") if r["picture"] < shown]
        row: dict[str, Any] = {"method": method, "pictures": len(records)}
        for pair in PAIRS:
            row[pair] = figures([record[pair] for record in records])
        for key in ("rank", "ssim"):
            same = [record["another start"][key] - record["random labels"][key] for record in records]
            row[f"{key}, another start less random labels"] = mean(same)
        yield row


def table(
    folder: Path, shown: int, cards: dict[str, dict[str, Any]], chance: str, stamped: dict[str, Any], out: Path
) -> None:
    """Print and write the comparison."""
    rows = list(rows_from(folder, shown))
    head = ["method", "pictures"]
    for measure in ("rank", "SSIM"):
        head += [*(f"{measure}: {pair}" for pair in PAIRS), f"{measure}: another start less random labels"]
    cells = []
    for row in rows:
        line = [row["method"], str(row["pictures"])]
        for key in ("rank", "ssim"):
            line += [told(row[pair][key]) for pair in PAIRS]
            line.append(told(row[f"{key}, another start less random labels"]))
        cells.append(line)
    trained = "; ".join(
        f"{name} (seed {card['seed']}): {card['accuracy']:.1%} of {card['pictures']} training labels right after "
        f"{card['epochs']} epochs, {with_error(card['unseen'], 100)} % of "
        f"{card['unseen']['pictures']} unseen pictures' true kinds"
        for name, card in cards.items()
    )
    above = [
        f"`{stamped['command']}`: {trained}. {chance}.",
        "",
        "Maps of the true class on the first pictures that were learned, of a model trained on true labels, compared "
        "with those of one trained on permuted labels, of one trained on true labels from another start and in "
        "another order, and with its own map of the next picture. Rank: Spearman's correlation; SSIM: structural "
        "similarity at the picture's size. Pixel maps by magnitude. The fourth column of each, the difference of the "
        "first two on the same pictures, is what true labels are worth: 0 for a method that does not show what was "
        "learned. It can only be as telling as the models differ: see how many unseen pictures each gets right; where "
        "that is few, the models trained on true labels know their pictures by heart, too. Mean ± standard error over "
        "pictures; (n): how many pictures, where a map was empty on the others. "
        "The networks are the bundled classifier's architecture at its full width and 224×224 pixels, with a softmax "
        "over the kinds, as every picture shows one kind.",
    ]
    report = {**stamped, "trained": cards, "rows": [plain(row) for row in rows]}
    below = ["", "![Similarity of maps to those of a model that learnt other labels](sanity-labels.png)"]
    show(out / "sanity-labels", report, head, cells, above, below)
    draw(rows, out / "sanity-labels.png")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """For every method a bar a pair of models, with its standard error; a panel a measure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    places = np.arange(len(rows))
    for panel, key, name in zip(panels, ("rank", "ssim"), ("rank correlation", "structural similarity"), strict=True):
        for i, pair in enumerate(PAIRS):
            bars = [row[pair][key] for row in rows]
            errors = [bar.standard_error for bar in bars]
            style = {"color": ("C3", "C0", "0.75")[i], "ecolor": "0.3", "capsize": 2}
            panel.bar(places + 0.27 * (i - 1), [bar.value for bar in bars], 0.25, yerr=errors, label=pair, **style)
        panel.set_xticks(places, [row["method"] for row in rows], rotation=30, ha="right")
        panel.set_ylabel(name)
        panel.axhline(0, color="0.5", lw=0.8)
    figure.suptitle("Maps compared with the model's own", fontsize=10)
    panels[0].legend(title="maps of a model with", fontsize=8, title_fontsize=8, frameon=False)
    keep_plot(path, figure)


def plain(value: Any) -> Any:
    """A row with its means as dictionaries, as JSON takes them."""
    if isinstance(value, Mean):
        return vars(value)
    return {key: plain(own) for key, own in value.items()} if isinstance(value, dict) else value
