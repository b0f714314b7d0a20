"""Does the score fall more without the named units than without as many random ones?"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track
from torch import Tensor, nn

import mmcam
import models
from experiments.lib.neurons.dissected import LAYER, MODELS, QUANTILES, SUPERVISED, THRESHOLDS, dissected
from experiments.lib.neurons.targets import Target, right_targets
from experiments.lib.sheets import keep_plot
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from mmcam.evaluation import mean

REMOVED: Final = (1, 2, 5, 10, 20)


@contextmanager
def without(model: nn.Module, units: Sequence[int]) -> Iterator[None]:
    """Units of the layer set to 0."""

    def silence(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        changed = output.clone()
        changed[:, list(units)] = 0
        return changed

    handle = model.get_submodule(LAYER).register_forward_hook(silence)
    try:
        yield
    finally:
        handle.remove()


def removal(removals: int, probes: int, work: Path, seed: int) -> list[dict[str, Any]]:
    """Rows of the table of removals: of each model, without its named units and without random ones.

    Args:
        removals: targets of each model, drawn from what it says rightly of as many vignettes.
        probes: vignettes that the models are dissected with.
        work: folder of the dissections.
        seed: of the targets and of the random units.
    """
    random = np.random.default_rng(seed)
    rows = []
    for name in MODELS:
        model = models.load(name)
        known = dissected(model, LAYER, probes, QUANTILES[0], work).names(THRESHOLDS[0]).units
        targets = list(right_targets(name, model, removals))
        chosen = [targets[i] for i in random.permutation(len(targets))[:removals]]
        falls: dict[str, list[list[float]]] = {"named": [], "random": []}
        for target in track(chosen, f"{name}: removing units"):
            for which, units in zip(falls, units_of(target, known, random), strict=True):
                falls[which].append([target.exp.score - score(model, target, units[:n]) for n in REMOVED])
        for which, values in falls.items():
            pictures = [target.scene.truth.seed for target in chosen]
            means = [mean(column, pictures) for column in zip(*values, strict=True)]
            rows.append({"model": name, "removed": which, "n": REMOVED, "fall": [m.value for m in means],
                         "se": [m.standard_error for m in means], "targets": means[0].n,
                         "pictures": means[0].pictures})  # fmt: skip
    return rows


def units_of(target: Target, known: Container[int], random: np.random.Generator) -> tuple[list[int], list[int]]:
    """Named units in the order of their contribution, and others that are active in the picture in a random one."""
    exp = target.exp
    assert exp.activations is not None
    assert exp.weights is not None
    activity = exp.activations.mean(dim=(1, 2))
    order = (exp.weights * activity).argsort(descending=True).tolist()
    named = [unit for unit in order if unit in known]
    others = [unit for unit in activity.nonzero()[:, 0].tolist() if unit not in named[: REMOVED[-1]]]
    return named, random.permutation(others).tolist()


def score(model: Any, target: Target, units: Sequence[int]) -> float:
    """The score of what was said without some units."""
    exp = target.exp
    with without(model, units):
        if type(model).__name__ == "Classifier":
            return mmcam.explain_class(model, exp.image, exp.target, method="gradient").score
        if type(model).__name__ == "Captioner":
            same: dict[str, Any] = {"caption": exp.context, "method": "gradient"}
            return mmcam.explain_caption(model, exp.image, target.position, **same).score
        return mmcam.explain_answer(model, exp.image, exp.context, exp.target, method="gradient").score


def show_removal(rows: Sequence[dict[str, Any]], removals: int, seed: int, out: Path, command: str) -> None:
    """Print and write neuron-removal, and its plot."""
    head = ["model", "removed", *(f"{n} unit{'s' if n > 1 else ''}" for n in REMOVED)]
    cells = [
        [row["model"], row["removed"]]
        + [
            with_error({"value": fall, "standard_error": error}, digits=2)
            for fall, error in zip(row["fall"], row["se"], strict=True)
        ]
        for row in rows
    ]
    above = [
        "How far the score falls when units of the layer are set to 0: the named ones of greatest contribution, or as "
        "many random ones of the others that are active in the picture "
        f"({removals} targets a model, mean ± standard error, the targets of one picture counting as one source of "
        f"error; logits, log-probabilities). {SUPERVISED}",
        "",
        f"    {command}",
    ]
    stamped = stamp(command, pictures=max(row["pictures"] for row in rows), seed=seed)
    show(out / "neuron-removal", {**stamped, "rows": rows}, head, cells, above)
    plot(rows, out / "neuron-removal.png")


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The curves, one panel a model."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(MODELS), figsize=(12, 3.6), layout="constrained")
    for axis, name in zip(axes, MODELS, strict=True):
        for row in rows:
            if row["model"] == name:
                axis.errorbar(row["n"], row["fall"], row["se"], label=f"{row['removed']} units", capsize=3, marker="o")
        axis.set(title=name, xlabel="units set to 0", ylabel="fall of the score", xscale="log")
        axis.set_xticks(REMOVED, [str(n) for n in REMOVED])
        axis.axhline(0, color="0.8", zorder=0)
    axes[0].legend(frameon=False)
    keep_plot(path, figure)
    plt.close(figure)
