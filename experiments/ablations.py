"""What each step of Grad-CAM is worth: the paper's ablations and earlier layers, on vignettes.

    python -m experiments.ablations

The ablations are those of the Grad-CAM paper's appendix (arXiv 1610.02391): no ReLU, |gradient|, the gradient's maximum
in place of its mean, and the guided and deconvnet rules between score and layer. Without the ReLU a map is scaled from
its minimum to its maximum, as any map is before it is cut; negative values cannot reach 15 % of the maximum otherwise,
and the box would be the same. A box is that of the largest segment
above 15 % of the map's maximum; it localises a kind if its intersection over union with one thing of that kind is 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import typer
from rich.progress import track
from torch import Tensor
from torchvision.ops import box_iou

import mmcam
import models
from experiments.tables import show
from mmcam.datasets import vignettes
from mmcam.evaluation.pointing import inside

PUBLISHED: Final = {  # top-1 localisation error on ILSVRC-15, remembered, not read again
    "Grad-CAM": 59.65,
    "no ReLU": 74.98,
    "absolute gradients": 58.19,
    "global max pooling": 59.96,
    "deconvnet ReLUs": 83.95,
    "guided ReLUs": 59.14,
}
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "Grad-CAM": {},
    "no ReLU": {"relu": False},
    "absolute gradients": {"absolute": True},
    "global max pooling": {"pooling": "max"},
    "deconvnet ReLUs": {"relu_rule": "deconv"},
    "guided ReLUs": {"relu_rule": "guided"},
}
LAYERS: Final = ("encoder.features.6", "encoder.features.13", "encoder.features.19", "encoder.features.26")


def main(pictures: int = 200, out: Path = Path("experiments/results")) -> None:
    """Write ablations.md and .json to a folder."""
    model = models.load("vignette-classifier")
    rows: dict[str, list[tuple[bool, bool]]] = {name: [] for name in (*OPTIONS, *map(at, LAYERS))}
    settings = {**OPTIONS, **{at(layer): {"layer": layer} for layer in LAYERS}}
    for i in track(range(pictures), "vignettes"):
        scene = vignettes.draw(vignettes.seed("test", i))
        kinds = sorted({thing.kind for thing in scene.truth.things})
        for name, options in settings.items():
            exps = mmcam.explain_class(model, scene.image, kinds, **options)
            rows[name] += list(judged(scene, kinds, exps))
    report, table = [], []
    base = np.array(rows["Grad-CAM"])
    for name, hits in rows.items():
        values = np.array(hits)
        error, miss = 1 - values.mean(0)
        spread = values.std(0) / np.sqrt(len(values))
        # The same pictures and kinds, so the difference to the whole method is far better known than either.
        change = base[:, 0].astype(float) - values[:, 0]
        known = change.std() / np.sqrt(len(change))
        published = PUBLISHED.get(name)
        report.append(
            {"name": name, "maps": len(values), "localisation_error": error, "localisation_se": spread[0],
             "difference": change.mean(), "difference_se": known, "pointing_error": miss, "pointing_se": spread[1],
             "published_localisation_error": published}
        )  # fmt: skip
        told = "" if published is None else f"~{published:.2f} ({published - PUBLISHED['Grad-CAM']:+.2f})"
        table.append(
            [name, f"{error:.1%} ± {spread[0]:.1%}", f"{change.mean():+.1%} ± {known:.1%}",
             f"{miss:.1%} ± {spread[1]:.1%}", told]
        )  # fmt: skip
    head = ["", "localisation error", "difference", "pointing error", "published: ILSVRC-15 top-1 error (difference)"]
    command = f"python -m experiments.ablations --pictures {pictures}"
    above = [
        f"vignette-classifier, each kind in the first {pictures} test vignettes ({len(base)} maps), ± standard error. "
        "The published figures are of another network and data set and remembered (~): only their differences compare.",
        "",
        f"    {command}",
    ]
    show(out / "ablations", {"command": command, "rows": report}, head, table, above)


def at(layer: str) -> str:
    """The row of a layer."""
    return f"at {layer}"


def judged(
    scene: vignettes.Vignette, kinds: Sequence[str], exps: Sequence[mmcam.Explanation]
) -> Iterator[tuple[bool, bool]]:
    """Whether each map's box localises a thing of its kind, and whether its maximum lies on one."""
    for kind, exp in zip(kinds, exps, strict=True):
        boxes = [thing.box for thing in scene.truth.things if thing.kind == kind]
        found = replace(exp, values=exp.values - exp.values.min().clamp(max=0)).box()
        localised = found is not None and bool((box_iou(Tensor([found]), Tensor(boxes)) >= 0.5).any())
        yield localised, inside(exp.peak(), scene.kind_mask(kind))


if __name__ == "__main__":
    typer.run(main)
