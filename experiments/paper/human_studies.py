"""The two studies with people (Grad-CAM, sections 5.1 and 5.2), from build to analysis, with simulated raters.

People told which of the two things of a picture a visualisation showed: with Guided Grad-CAM 61.23 % of the answers
were right, with guided backpropagation 44.44 %, with deconvolution 60.37 % with Grad-CAM and 53.33 % without. Others
told which of two models, both right, seemed more reliable: on average +1.27 for the more accurate one with Guided
Grad-CAM, +1.00 with guided backpropagation. Here the same instrument that people would use (`mmcam study`) is built
on vignettes, and simulated raters (`mmcam.studies.raters`), which are programs and no people, take part through its
server.

* discrimination: `vignette-classifier`, 40 vignettes with exactly two things, four visualisations.
* trust: `vignette-classifier` and a worn copy, every convolution's weights of which were disturbed by noise of a share
  of their standard deviation; 40 vignettes that both get right, two visualisations.

    python -m experiments.paper.human_studies
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from torch import nn

import models
from experiments.lib.stamp import stamp
from experiments.lib.tables import Part, show_parts
from mmcam.files import json_text, parsed
from mmcam.studies.analysis import Analysis
from mmcam.studies.build import Order, build
from mmcam.studies.design import Design
from mmcam.studies.outcome import write_outcome
from mmcam.studies.report import differences, lines
from mmcam.studies.simulate import simulate

METHODS: Final = {
    "discrimination": ("guided_gradcam", "guided_backprop", "deconv_gradcam", "deconvnet"),
    "trust": ("guided_gradcam", "guided_backprop"),
}
RATERS: Final = {"discrimination": 43, "trust": 54}
"""As many as there were people."""
PAIRS: Final = {
    "discrimination": (("guided_gradcam", "guided_backprop"), ("deconv_gradcam", "deconvnet")),
    "trust": (("guided_gradcam", "guided_backprop"),),
}
"""Of which the paper says that the first is better."""
EYES: Final = "photo-classifier"


def main(
    items: Annotated[int, typer.Option(min=2, help="Of each study.")] = 40,
    training: Annotated[int, typer.Option(min=2, help="Vignettes that raters learn from.")] = 60,
    worn: Annotated[
        float, typer.Option(min=0, help="Noise of the worn model's weights, in standard deviations.")
    ] = 0.3,
    raters: Annotated[
        int | None, typer.Option(min=2, help="Of each study; default as many as there were people.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the studies; a built one is used again.")] = Path(
        "runs/human-studies"
    ),
) -> None:
    """Build, simulate and analyse both studies; write human-studies.json and .md."""
    good = models.load("vignette-classifier")
    candidates: dict[str, list[tuple[str, Any, Any]]] = {
        "discrimination": [("vignette-classifier", good, None)],
        "trust": [("vignette-classifier", good, None), (f"worn by {worn}", worn_copy(worn), None)],
    }
    report: dict[str, Any] = {"rows": []}
    parts = []
    below = []
    for kind, methods in METHODS.items():
        folder = work / f"{kind}-{items}-{training}-{worn}"
        if not folder.exists():
            order = Order(
                kind,
                candidates[kind],
                "vignettes",
                methods,
                items,
                training=training,
                command="experiments.paper.human_studies",
            )
            build(order, folder, print)
        simulate(folder, models.load(EYES), raters or RATERS[kind], tell=print)
        design, analyses, _ = write_outcome(folder, work / kind, RATERS[kind])
        (analysis,) = analyses
        summary = parsed(json_text(analysis.summary()))
        report["rows"] += [{"study": kind, "raters": "simulated", **one} for one in summary.pop("methods")]
        report[kind] = {"design": asdict(design), **summary}
        parts += tables(kind, design, analysis)
        below += verdicts(kind, analysis)
    command = f"python -m experiments.paper.human_studies --items {items} --training {training} --worn {worn}"
    stamped = stamp(command, pictures=2 * items, seed=0, libraries=("krippendorff",))
    accuracy = report["trust"]["design"]["accuracy"]
    notes = [
        "",
        *below,
        "",
        "All raters here are simulated: programs, and no people. Intervals (95 %) resample raters and items together, "
        "and so speak of other items, too; p, of a permutation test over raters against chance, against 0, or between "
        "methods, speaks of other raters on these items. Of the published studies only the order of methods can be "
        "compared: other pictures, other models, other raters. The models of the second: "
        f"right on {100 * accuracy[0]:.0f} % and {100 * accuracy[1]:.0f} % of the vignettes they were asked about.",
    ]
    show_parts(out / "human-studies", {**stamped, **report}, parts, [f"`{command}`"], notes)


def worn_copy(noise: float, seed: int = 0) -> nn.Module:
    """The classifier of vignettes with noise on the weights of its convolutions."""
    model: nn.Module = models.load("vignette-classifier")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                drawn = torch.randn(module.weight.shape, generator=generator)
                module.weight += noise * module.weight.std() * drawn
    return model


def tables(kind: str, design: Design, analysis: Analysis) -> list[Part]:
    """The two tables of a study."""
    name = f"{kind}: {analysis.raters} simulated raters, {analysis.answers} answers"
    return [
        Part(f"## {name}", *lines(design, analysis)),
        Part(f"{kind}, between methods", *differences(design, analysis)),
    ]


def verdicts(kind: str, analysis: Analysis) -> list[str]:
    """Whether the order of the published figures comes again, a line a pair."""
    found = {(one.first, one.second): one.figure for one in analysis.differences}
    said = []
    for pair in PAIRS[kind]:
        gap: Mapping[str, float] = vars(found[pair])
        if gap["low"] > 0:
            verdict = "the first is better, as published"
        elif gap["high"] < 0:
            verdict = "the other way round than published"
        else:
            side = (
                "first is better, as published" if gap["value"] > 0 else "second is better, and published is the other"
            )
            verdict = f"on these items the {side}; over other items the interval reaches over 0"
        said.append(f"* {kind}, {pair[0]} and {pair[1]}: {verdict}.")
    return said


if __name__ == "__main__":
    typer.run(main)
