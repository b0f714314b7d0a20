"""Excitation backprop's rules in the pointing game as TorchRay plays it.

TorchRay's published game (VOC07 test and COCO val2014, VGG-16 and ResNet-50 finetuned on them) sees the whole picture:
its shorter side is the network's, the network slides over the longer one, and p starts at the places in the ratio of
exp(score), the slope of their log-sum-exp. The map is read at the stage before the last, enlarged bilinearly, and its
maximum has to be within 15 pixels of the category. Here the same is done with the two ImageNet networks at hand, by the
rules that `excitation_backprop` and `c_mwp` offer; the networks' own figures do not compare with the published ones,
the rules' do with each other.

    MMCAM_REAL_DATA=… python -m experiments.paper.excitation_pointing
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.category_outputs import outputs_of
from experiments.lib.modified_game import RESAMPLES, SEED, spread
from experiments.lib.pointing_subjects import Subject, coco_game
from experiments.lib.sliding import sliding, whole
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts, with_error
from mmcam.evaluation import centre, class_mean, inside
from mmcam.evaluation.pointing import peak

SMALL: Final = 0.25
"""A category that covers less of a picture than this is difficult if it is not alone there."""
CENTRE: Final = "(centre)"


@dataclass(frozen=True)
class Rule:
    """A line of the table: a method, its options, and the layer its maps are read at."""

    network: str
    layer: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.method, *(f"{key}={value}" for key, value in self.options)])


SIGNED: Final = (("signed", True),)
OVER: Final = (("over_cells", True),)
MOBILE, SQUEEZE = "MobileNetV2", "SqueezeNet 1.0"
RULES: Final = (
    Rule(MOBILE, "0.18", "gradcam"),
    *(Rule(MOBILE, "0.13", method, options) for method in ("excitation_backprop", "c_mwp") for options in ((), SIGNED)),
    Rule(SQUEEZE, "0.12", "gradcam"),
    Rule(SQUEEZE, "0.12", "excitation_backprop"),
    Rule(SQUEEZE, "0.12", "excitation_backprop", OVER),
    Rule(SQUEEZE, "0.12", "c_mwp", OVER),  # the literal rule's contrast is zero in each cell of this layer
    *(Rule(SQUEEZE, "0.10", method, options) for method in ("excitation_backprop", "c_mwp") for options in ((), OVER)),
)
PAIRS: Final = tuple(
    (Rule(network, layer, method), Rule(network, layer, method, options))
    for network, layer, method, options in (
        (MOBILE, "0.13", "excitation_backprop", SIGNED),
        (MOBILE, "0.13", "c_mwp", SIGNED),
        (SQUEEZE, "0.12", "excitation_backprop", OVER),
        (SQUEEZE, "0.10", "excitation_backprop", OVER),
        (SQUEEZE, "0.10", "c_mwp", OVER),
    )
)
"""The default and the rule it is compared with."""
PUBLISHED: Final = (
    # method, then all and difficult: VOC07 VGG-16, VOC07 ResNet-50, COCO VGG-16, COCO ResNet-50
    (CENTRE, "69.6 / 42.4", "69.6 / 42.4", "27.8 / 19.5", "27.8 / 19.5"),
    ("excitation_backprop", "77.1 / 56.6", "84.5 / 70.8", "39.8 / 32.8", "49.6 / 43.9"),
    ("c_mwp", "79.9 / 66.5", "90.7 / 82.1", "49.7 / 44.3", "58.5 / 53.6"),
    ("gradcam", "86.6 / 74.0", "90.4 / 82.3", "54.2 / 49.0", "57.3 / 52.3"),
)

Trial = tuple[str, float, bool]
"""A category, whether its map hits it, whether it is difficult there."""


def main(
    real: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of the weights, and of coco/.")],
    root: Annotated[Path | None, typer.Option(help="COCO's folder, if another.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first pictures.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Play, and write excitation-pointing.json and .md."""
    game = coco_game(root or real / "coco")
    subjects = list(islice(game.subjects(), limit))
    outputs = outputs_of(game.categories, 1000)
    played: dict[str, dict[str, list[list[Trial]]]] = {}
    for name, (model, side) in sliding(real).items():
        rules = [rule for rule in RULES if rule.network == name]
        played[name] = {line: [] for line in (*map(at, rules), CENTRE)}
        for subject in track(subjects, name):
            for line, trials in play(model, side, rules, subject, outputs).items():
                played[name][line].append(trials)
    rows = [
        {"network": name, "rule": line, **figures(pictures)}
        for name, lines in played.items()
        for line, pictures in lines.items()
    ]
    pairs = [
        {
            "network": first.network, "rule": at(first), "other": at(second),
            **gains(played[first.network][at(first)], played[first.network][at(second)]),
        }
        for first, second in PAIRS
    ]  # fmt: skip
    command = "MMCAM_REAL_DATA=… python -m experiments.paper.excitation_pointing" + f" --limit {limit}" * bool(limit)
    report = {**stamp(command, pictures=len(subjects), seed=SEED), "rows": rows, "pairs": pairs}
    table(report, out / "excitation-pointing")


def at(rule: Rule) -> str:
    """The rule and the layer, by which lines are told apart; "0." is the sequence of features."""
    return f"{rule}, features.{rule.layer.removeprefix('0.')}"


def play(
    model: nn.Module, side: int, rules: Sequence[Rule], subject: Subject, outputs: dict[str, list[int]]
) -> dict[str, list[Trial]]:
    """The trials of one picture by every rule: its categories that the network knows."""
    picture, truth = subject.picture(), subject.truth()
    asked = [name for name in truth if name in outputs]
    hard = {name: len(truth) > 1 and float(truth[name].mean()) < SMALL for name in asked}
    middles = {name: float(inside(centre(truth[name]), truth[name], subject.tolerance)) for name in asked}
    found = {CENTRE: [(name, middles[name], hard[name]) for name in asked]}
    x = whole(picture, side)
    for rule in rules if asked else ():
        targets = [score_of(outputs[name]) for name in asked]
        options: dict[str, Any] = dict(rule.options)
        maps = mmcam.attribute(model, x, targets, layer=rule.layer, method=rule.method, **options)
        large = F.interpolate(maps, picture.size[::-1], mode="bilinear", align_corners=False)[:, 0]
        found[at(rule)] = [
            (name, float(inside(peak(heatmap.numpy()), truth[name], subject.tolerance)), hard[name])
            for name, heatmap in zip(asked, large, strict=True)
        ]
    return found


def score_of(classes: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """The log-sum-exp of a category's classes and of all places, (N,) of scores (N,classes,h,w)."""
    return lambda scores: scores[:, list(classes)].flatten(1).logsumexp(1)


def accuracy(pictures: Sequence[Sequence[Trial]], difficult: bool) -> float:
    """The mean over categories of their accuracies; nan where there is no map."""
    own = [(name, hit) for trials in pictures for name, hit, hard in trials if hard or not difficult]
    return class_mean(*zip(*own, strict=True)) if own else math.nan


def figures(pictures: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """Both accuracies, and of how many maps they are."""
    every = [trial for trials in pictures for trial in trials]
    return {
        "maps": len(every),
        "pointing": spread(pictures, lambda own: accuracy(own, False)),
        "difficult maps": sum(hard for _, _, hard in every),
        "pointing difficult": spread(pictures, lambda own: accuracy(own, True)),
    }


def gains(first: Sequence[list[Trial]], second: Sequence[list[Trial]]) -> dict[str, Any]:
    """What the first has more than the second, over the same resamplings of pictures."""
    both = list(zip(first, second, strict=True))

    def gain(own: Sequence[tuple[list[Trial], list[Trial]]], difficult: bool) -> float:
        one, other = ([pair[i] for pair in own] for i in (0, 1))
        return accuracy(one, difficult) - accuracy(other, difficult)

    return {
        "pointing": spread(both, lambda own: gain(own, False)),
        "pointing difficult": spread(both, lambda own: gain(own, True)),
    }


def table(report: dict[str, Any], path: Path) -> None:
    """Print the tables and write them."""

    def percent(figure: dict[str, Any], sign: str = "") -> str:
        return with_error(figure, 100, bounds=1 if sign else 0, sign=sign)

    lines = [
        [
            row["network"], row["rule"], str(row["maps"]), percent(row["pointing"]), str(row["difficult maps"]),
            percent(row["pointing difficult"]),
        ]
        for row in report["rows"]
    ]  # fmt: skip
    pairs = [
        [row["network"], row["rule"], row["other"].rpartition(", ")[0]]
        + [percent(row[name], "+") for name in ("pointing", "pointing difficult")]
        for row in report["pairs"]
    ]
    parts = [
        Part("", ("network", "rule, layer", "maps", "pointing %", "difficult maps", "difficult %"), lines),
        Part(
            "The default rule less the other, in points, over the same pictures:",
            ("network", "rule, layer", "less", "pointing", "difficult"), pairs,
        ),
        Part(
            "Published (TorchRay's, all / difficult; networks finetuned on the data set):",
            ("method", "VOC07 VGG-16", "VOC07 ResNet-50", "COCO VGG-16", "COCO ResNet-50"), PUBLISHED,
        ),
    ]  # fmt: skip
    show_parts(path, report, parts, [f"`{report['command']}`", "", legend(report)])


def legend(report: dict[str, Any]) -> str:
    """How the game is played, and what the rules are."""
    return (
        f"{report['pictures']} COCO photographs, TorchRay's convention: the whole picture, its shorter side the "
        "network's own, over which the network slides; p starts at the places in the ratio of exp(score); maps are "
        "read at one layer, enlarged bilinearly; the maximum lies within 15 pixels of the original photograph of the "
        "category, all instances one mask; the accuracy of each category, then their mean. A category is the "
        "log-sum-exp of its ImageNet classes; categories without any are left out. Difficult: it covers less than "
        f"{SMALL:.0%} of a picture that shows another one, too. signed=True: values with their sign, as TorchRay has "
        "them (MobileNetV2's sums and bottlenecks are signed; SqueezeNet has neither, so its lines would be the same). "
        "over_cells=True: the head's weights and its pool as one layer. In brackets 95% intervals, "
        f"{RESAMPLES} resamplings of the pictures, seed {SEED}."
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
