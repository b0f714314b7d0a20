"""Do the names of units tell the truth? Dissect the bundled models and hold their texts against the vignettes.

    python -m experiments.paper.neuron_truth

Four questions. How many units are detectors, in trained encoders and in random ones? Is what a text names in the
picture, and does it belong to what was said? Does the score fall more without the named units than without as many
random ones? And when a classifier has learned that boats are at sea, does its text say so?

Most units of the classifier's last layer were trained to answer for one class or fact each (`train_classifier`), and
the other bundled encoders begin with its weights. That such units have names is no discovery, so the others are counted
apart, and texts are also made of the others' names alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
import typer
from rich.progress import track
from torch import Tensor, nn

import mmcam
import models
from experiments.lib.detectors import DETECTORS
from experiments.lib.tables import show, with_error
from experiments.lib.training import plain_pictures
from mmcam.datasets import vignettes
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.drawing.strip import stack
from mmcam.evaluation import mean
from mmcam.files import write_whole
from mmcam.neurons.fingerprint import fingerprint
from models import Classifier

MODELS: Final = ("vignette-classifier", "vignette-captioner", "vignette-vqa")
QUANTILES: Final = (0.005, 0.01)
THRESHOLDS: Final = (0.04, 0.1)
GROUPS: Final[dict[str, Callable[[int], bool]]] = {  # of the last layer's units, by number
    "all": lambda unit: True,
    "trained for a fact": lambda unit: unit < DETECTORS,
    "free": lambda unit: unit >= DETECTORS,
}
SETTINGS: Final = (  # of texts: quantile, IoU above, order of units, group whose names are used
    (0.005, 0.04, "contribution", "all"),
    (0.005, 0.04, "contribution", "free"),
    (0.005, 0.04, "weight", "all"),
    (0.005, 0.1, "contribution", "all"),
    (0.01, 0.1, "contribution", "all"),
)
REMOVED: Final = (1, 2, 5, 10, 20)
LAYER: Final = "encoder.features"
BIAS: Final = (("boat", "sea"), ("car", "street"))
BIAS_QUANTILE, BIAS_THRESHOLD = 0.02, 0.1  # scenes are large: their units are active on more of the picture
DECAY, STEPS = 0.3, 300

SUPERVISED: Final = (
    f"The first {DETECTORS} units of the classifier's last layer were each trained to answer for one class or fact of "
    "the picture (without masks), and the encoder of the captioner and the VQA model was trained on from it; only the "
    "others are free."
)

Fact = tuple[str, str]
"""A category and a name."""


def main(
    pictures: int = 100,
    probes: int = 1000,
    removals: int = 30,
    out: Path = Path("experiments/results"),
    work: Path = Path("runs/dissections"),
    seed: int = 0,
) -> None:
    """Write neuron-detectors, neuron-text, neuron-removal and neuron-bias (.md, .json) to a folder."""
    command = f"python -m experiments.paper.neuron_truth --pictures {pictures} --probes {probes} --removals {removals}"
    detectors(probes, work, out, command)
    texts(pictures, probes, work, out, command)
    removal(removals, probes, work, out, command, seed)
    bias(pictures, probes, work, out, command)


def dissected(model: nn.Module, layer: str, probes: int, quantile: float, work: Path) -> mmcam.Dissection:
    """A dissection with the first pictures of the validation split, made or read."""
    path = work / f"{fingerprint(model, layer)}-{probes}-{quantile:g}"
    if not path.with_name(f"{path.name}.json").exists():
        data = VignetteConcepts("val", probes)
        mmcam.dissect(model, data, layer, quantile=quantile, resume=path.with_name(f"{path.name}.part")).save(path)
    return mmcam.Dissection.load(path)


# --- how many units are detectors -------------------------------------------------------------------------------------


def detectors(probes: int, work: Path, out: Path, command: str) -> None:
    """Detectors by category, of the trained encoders, of earlier layers, and of random weights."""
    classifier = models.load("vignette-classifier")
    card = json.loads((models.WEIGHTS / "vignette-classifier.json").read_text())
    subjects: list[tuple[str, nn.Module, str, Iterable[str]]] = [
        ("vignette-classifier", classifier, LAYER, GROUPS),
        ("vignette-captioner and vignette-vqa", models.load("vignette-vqa"), LAYER, GROUPS),
        ("vignette-classifier, an earlier layer", classifier, "encoder.features.26", ("all",)),
        ("vignette-classifier, earlier still", classifier, "encoder.features.18", ("all",)),
    ]
    for seed in (0, 1):
        torch.manual_seed(seed)
        subjects.append((f"random weights, seed {seed}", models.build(card).eval(), LAYER, ("all",)))
    report = [
        {"model": name, **detected(dissected(model, layer, probes, quantile, work), threshold, group)}
        for name, model, layer, groups in subjects
        for quantile in QUANTILES
        for threshold in THRESHOLDS
        for group in groups
    ]
    show_detectors(report, probes, out, command)


def detected(found: mmcam.Dissection, threshold: float, group: str) -> dict[str, Any]:
    """How many units of a group have a name above a threshold, by category, and how many different names."""
    of = [unit for unit in range(found.units) if GROUPS[group](unit)]
    named = [name for unit, name in found.names(threshold).units.items() if GROUPS[group](unit)]
    return {
        "layer": found.layer, "group": group, "units": len(of), "quantile": found.quantile, "threshold": threshold,
        "detectors": {category: sum(n.category == category for n in named) for category in found.categories},
        "concepts": len({(n.name, n.category) for n in named}),
    }  # fmt: skip


def show_detectors(report: Sequence[dict[str, Any]], probes: int, out: Path, command: str) -> None:
    """The table of detectors."""
    rows = [
        [row["model"], f"{row['quantile']:g}", f"{row['threshold']:g}", row["group"],
         f"{sum(row['detectors'].values())} of {row['units']}", *(str(count) for count in row["detectors"].values()),
         str(row["concepts"])]
        for row in report
    ]  # fmt: skip
    head = ["model", "quantile", "IoU above", "units", "named units", *report[0]["detectors"], "different concepts"]
    above = [
        f"Units that detect a concept, by the category of the best one; {probes} vignettes of the validation split. "
        f"{SUPERVISED} Random weights are the classifier's shape before training.",
        "",
        f"    {command}",
    ]
    show(out / "neuron-detectors", {"command": command, "rows": report}, head, rows, above)


# --- is it true -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """Something a model said rightly of a vignette, with its explanation and what it is about."""

    scene: vignettes.Vignette
    exp: mmcam.Explanation
    meant: frozenset[Fact]
    position: int = 0  # of a word in its caption


def said(name: str, model: Any, pictures: int) -> Iterator[Said]:
    """Every class, true content word or right answer of a model about the first test vignettes."""
    for i in track(range(pictures), name):
        scene = vignettes.draw(vignettes.seed("test", i))
        if name == "vignette-classifier":
            kinds = sorted({thing.kind for thing in scene.truth.things})
            for kind, exp in zip(kinds, mmcam.explain_class(model, scene.image, kinds), strict=True):
                yield Said(scene, exp, facts(scene, [j for j, t in enumerate(scene.truth.things) if t.kind == kind]))
        elif name == "vignette-captioner":
            caption = mmcam.explain_caption(model, scene.image)
            for word in vignettes.captions.check(caption.caption, scene.truth):
                if word.correct:
                    where = {("scene", scene.truth.scene)} if word.category == "scene" else facts(scene, word.things)
                    yield Said(scene, caption[word.position], frozenset(where), word.position)
        else:
            asked = [question for question in scene.questions if question.things]
            if not asked:
                continue
            texts = [question.text for question in asked]
            exps = mmcam.explain_answer(model, [scene.image] * len(asked), texts)
            for question, exp in zip(asked, exps, strict=True):
                if exp.target == question.answer:
                    yield Said(scene, exp, facts(scene, question.things))


def facts(scene: vignettes.Vignette, things: Iterable[int] | None = None) -> frozenset[Fact]:
    """(category, name) of all that is true of some things; of the whole picture, with its scene, if none are named."""
    chosen = scene.truth.things if things is None else [scene.truth.things[j] for j in things]
    true = {("scene", scene.truth.scene)} if things is None else set()
    for thing in chosen:
        true |= {("object", thing.kind), ("colour", thing.colour), ("texture", thing.texture)}
        true |= {("part", part) for part in thing.parts}
    return frozenset(true)


SHARES: Final = ("for_in_picture", "for_meant", "against_in_picture", "any_in_picture", "any_meant")


def texts(pictures: int, probes: int, work: Path, out: Path, command: str) -> None:
    """Are the things that texts name in the picture, and do they belong to what was said?"""
    report, rows = [], []
    for name in MODELS:
        model = models.load(name)
        everything = list(said(name, model, pictures))
        for quantile, threshold, by, group in SETTINGS:
            every = dissected(model, LAYER, probes, quantile, work).names(threshold)
            known = replace(every, units={unit: n for unit, n in every.units.items() if GROUPS[group](unit)})
            units = [(unit.category, unit.name) for unit in known.units.values()]
            told: list[list[float]] = []
            told_of: list[int] = []
            empty = 0
            for one in everything:
                why = one.exp.why(known, threshold=threshold, by=by)
                true = facts(one.scene)
                for_, against = (
                    {(r.category, r.name) for r in why.table if r.name and r.speaks == side}
                    for side in ("for", "against")
                )
                empty += not for_
                if for_:
                    told.append(
                        [share(for_, true), share(for_, one.meant), share(against, true), share(units, true),
                         share(units, one.meant)]
                    )  # fmt: skip
                    told_of.append(one.scene.truth.seed)
            shares = [mean(column, told_of) for column in zip(*told, strict=True)]
            report.append(
                {"model": name, "units": group, "quantile": quantile, "threshold": threshold, "by": by,
                 "texts": len(everything), "pictures": pictures, "without_a_name": empty}
                | {key: asdict(figure) for key, figure in zip(SHARES, shares, strict=True)}
            )  # fmt: skip
            rows.append(
                [name, group, by, f"{quantile:g}", f"{threshold:g}", str(len(everything)),
                 f"{empty / len(everything):.0%}",
                 *(f"{figure.value:.1%} ± {figure.standard_error:.1%}" for figure in shares)]
            )  # fmt: skip
    head = ["model", "names of units", "units by", "quantile", "IoU above", "texts", "name nothing",
            "named is in the picture", "named is true of the thing meant", "named against is in the picture",
            "any unit's name is in the picture", "any unit's name is true of the thing"]  # fmt: skip
    above = [
        f"What the texts of right classes, true words and right answers name, on {pictures} test vignettes (mean over "
        "the texts that name something ± standard error, the texts of one picture counting as one source of error). "
        f"{SUPERVISED} The last two columns: what a unit drawn at random among the named ones would give.",
        "",
        f"    {command}",
    ]
    show(out / "neuron-text", {"command": command, "rows": report}, head, rows, above)


def share(named: Collection[Fact], true: Collection[Fact]) -> float:
    """Share of what is named that is true; nan of nothing."""
    return sum(fact in true for fact in named) / len(named) if named else float("nan")


# --- does it matter ---------------------------------------------------------------------------------------------------


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


def removal(removals: int, probes: int, work: Path, out: Path, command: str, seed: int) -> None:
    """How far scores fall without the named units of greatest contribution, and without random ones."""
    random = np.random.default_rng(seed)
    report, rows = [], []
    for name in MODELS:
        model = models.load(name)
        found = dissected(model, LAYER, probes, QUANTILES[0], work)
        known = found.names(THRESHOLDS[0]).units
        everything = list(said(name, model, removals))
        chosen = [everything[i] for i in random.permutation(len(everything))[:removals]]
        falls: dict[str, list[list[float]]] = {"named": [], "random": []}
        for one in track(chosen, f"{name}: removing units"):
            assert one.exp.activations is not None
            assert one.exp.weights is not None
            activity = one.exp.activations.mean(dim=(1, 2))
            order = (one.exp.weights * activity).argsort(descending=True).tolist()
            named = [unit for unit in order if unit in known]
            others = [unit for unit in activity.nonzero()[:, 0].tolist() if unit not in named[: REMOVED[-1]]]
            drawn = random.permutation(others).tolist()
            for which, units in (("named", named), ("random", drawn)):
                falls[which].append([one.exp.score - score(model, one, units[:n]) for n in REMOVED])
        for which, values in falls.items():
            means = [mean(column, [one.scene.truth.seed for one in chosen]) for column in zip(*values, strict=True)]
            report.append({"model": name, "removed": which, "n": REMOVED, "fall": [m.value for m in means],
                           "se": [m.standard_error for m in means], "targets": means[0].n,
                           "pictures": means[0].pictures})  # fmt: skip
            rows.append([name, which, *(with_error(m, digits=2) for m in means)])
    head = ["model", "removed", *(f"{n} unit{'s' if n > 1 else ''}" for n in REMOVED)]
    above = [
        "How far the score falls when units of the layer are set to 0: the named ones of greatest contribution, or as "
        "many random ones of the others that are active in the picture "
        f"({removals} targets a model, mean ± standard error, the targets of one picture counting as one source of "
        f"error; logits, log-probabilities). {SUPERVISED}",
        "",
        f"    {command}",
    ]
    show(out / "neuron-removal", {"command": command, "rows": report}, head, rows, above)
    plot(report, out / "neuron-removal.png")


def score(model: Any, one: Said, units: Sequence[int]) -> float:
    """The score of what was said without some units."""
    exp = one.exp
    with without(model, units):
        if type(model).__name__ == "Classifier":
            return mmcam.explain_class(model, exp.image, exp.target, method="gradient").score
        if type(model).__name__ == "Captioner":
            same: dict[str, Any] = {"caption": exp.context, "method": "gradient"}
            return mmcam.explain_caption(model, exp.image, one.position, **same).score
        return mmcam.explain_answer(model, exp.image, exp.context, exp.target, method="gradient").score


def plot(report: list[dict[str, Any]], path: Path) -> None:
    """The curves, one panel a model."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(MODELS), figsize=(12, 3.6), layout="constrained")
    for axis, name in zip(axes, MODELS, strict=True):
        for row in report:
            if row["model"] == name:
                axis.errorbar(row["n"], row["fall"], row["se"], label=f"{row['removed']} units", capsize=3, marker="o")
        axis.set(title=name, xlabel="units set to 0", ylabel="fall of the score", xscale="log")
        axis.set_xticks(REMOVED, [str(n) for n in REMOVED])
        axis.axhline(0, color="0.8", zorder=0)
    axes[0].legend(frameon=False)
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=110))
    plt.close(figure)


# --- does it find a bias ----------------------------------------------------------------------------------------------


def bias(pictures: int, probes: int, work: Path, out: Path, command: str, size: int = 4000) -> None:
    """Does the text of a classifier that learned in a biased world name the bias?

    Two new classifiers on the frozen encoder: one from a world in which boats are only at sea and cars only in the
    street, one from the world as it is. Their weights decay strongly, so they lean on everything that goes along with
    a class. Both are asked about the same pictures of the world as it is.
    """
    heads = {
        "as it is": head_of(vignettes.World(), size, work),
        "biased": head_of(vignettes.World(bias=BIAS), size, work),
    }
    report, sheets = [], []
    for kind, where in BIAS:
        scenes = [vignettes.draw(vignettes.seed("test", i)) for i in track(range(20 * pictures), f"{kind} and {where}")]
        groups = {
            f"{kind}, {where}": [s for s in scenes if there(s, kind) and s.truth.scene == where],
            f"{kind}, elsewhere": [s for s in scenes if there(s, kind) and s.truth.scene != where],
            f"no {kind}, {where}": [s for s in scenes if not there(s, kind) and s.truth.scene == where],
        }
        for world, model in heads.items():
            found = dissected(model, LAYER, probes, BIAS_QUANTILE, work)
            for group, all_of_it in groups.items():
                asked = all_of_it[:pictures]
                exps = [mmcam.explain_class(model, scene.image, kind) for scene in asked]
                whys = [exp.why(found, threshold=BIAS_THRESHOLD) for exp in exps]
                names = [{r.name for r in why.table if r.speaks == "for"} for why in whys]
                figures = [[exp.score > 0 for exp in exps], [where in told for told in names],
                           [kind in told for told in names]]  # fmt: skip
                report.append(
                    {"kind": kind, "world": world, "pictures_of": group, "pictures": len(asked)}
                    | {key: asdict(mean(shares)) for key, shares in zip(BIASED, figures, strict=True)}
                )
        scene = groups[f"{kind}, {where}"][0]
        found = dissected(heads["biased"], LAYER, probes, BIAS_QUANTILE, work)
        sheets += [
            mmcam.explain_class(model, scene.image, kind)
            .why(found, threshold=BIAS_THRESHOLD)
            .figure(VignetteConcepts("val", probes))
            for model in heads.values()
        ]
    sheet = stack(sheets)
    write_whole(out / "neuron-bias.png", lambda file: sheet.save(file, "PNG"))
    show_bias(report, size, out, command)


BIASED: Final = ("says_it", "names_the_scene", "names_the_kind")


def show_bias(report: Sequence[dict[str, Any]], size: int, out: Path, command: str) -> None:
    """The table of what biased and unbiased classifiers' texts name."""
    rows = [
        [row["kind"], row["world"], row["pictures_of"], str(row["pictures"]),
         *(f"{row[key]['value']:.0%} ± {row[key]['standard_error']:.0%}" for key in BIASED)]
        for row in report
    ]  # fmt: skip
    head = ["class", "learned in a world", "pictures", "number", "says the class", "text names the scene",
            "text names the kind"]  # fmt: skip
    above = [
        f"Classifiers on the frozen encoder of vignette-classifier, trained on {size} vignettes of a world in which "
        "boats are only at sea and cars only in the street, or of the world as it is; asked about test vignettes of "
        "the latter (share ± standard error over pictures; it is 0 where all of n pictures agree, which says only that "
        f"fewer than about 3 in n differ). Names from quantile {BIAS_QUANTILE:g}, IoU above {BIAS_THRESHOLD:g}. "
        f"{SUPERVISED}",
        "",
        f"    {command}",
    ]
    show(out / "neuron-bias", {"command": command, "rows": report}, head, rows, above)


def there(scene: vignettes.Vignette, kind: str) -> bool:
    """The kind is in the picture."""
    return any(thing.kind == kind for thing in scene.truth.things)


def head_of(world: vignettes.World, size: int, work: Path) -> Classifier:
    """A new linear layer on the bundled encoder, from training pictures of a world; made or read."""
    model = models.load("vignette-classifier")
    path = work / f"head-{'biased' if world.bias else 'plain'}-{size}.safetensors"
    if not path.exists():
        inputs, labels = [], []
        for start in track(range(0, size, 50), f"{path.stem}: encoding"):
            seeds = [vignettes.seed("train", i) for i in range(start, start + 50)]
            pixels = np.stack([vignettes.image(seed, world) for seed in seeds])
            with torch.no_grad():
                inputs.append(model.encoder(plain_pictures(pixels)))
            for seed in seeds:
                truth = vignettes.describe(seed, world)
                seen = {thing.kind for thing in truth.things} | {truth.scene}
                labels.append([float(name in seen) for name in model.classes])
        x, y = torch.cat(inputs), torch.tensor(labels)
        torch.manual_seed(0)
        output = nn.Linear(model.encoder.width, len(model.classes))
        optimiser = torch.optim.AdamW(output.parameters(), lr=1e-3, weight_decay=DECAY)
        for _ in track(range(STEPS), f"{path.stem}: training"):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(output(x), y).backward()
            optimiser.step()
        content = safetensors.torch.save({key: value.detach() for key, value in output.state_dict().items()})
        write_whole(path, lambda file: file.write(content))
    model.output.load_state_dict(safetensors.torch.load(path.read_bytes()))
    return model


if __name__ == "__main__":
    typer.run(main)
