"""When a classifier has learnt that boats are at sea, does its text say so?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from rich.progress import track
from torch import nn

import mmcam
import models
from experiments.lib.neurons.dissected import LAYER, SUPERVISED, dissected
from experiments.lib.stamp import stamp
from experiments.lib.tables import show, with_error
from experiments.lib.training import plain_pictures
from mmcam.datasets import vignettes
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.drawing.strip import stack
from mmcam.evaluation import mean
from mmcam.files import write_whole
from models import Classifier

BIAS: Final = (("boat", "sea"), ("car", "street"))
BIAS_QUANTILE, BIAS_THRESHOLD = 0.02, 0.1  # scenes are large: their units are active on more of the picture
DECAY, STEPS = 0.3, 300
BIASED: Final = ("says_it", "names_the_scene", "names_the_kind")


def bias(pictures: int, probes: int, work: Path, size: int) -> tuple[list[dict[str, Any]], Image.Image]:
    """Rows of the table of the bias, and the texts of both classifiers about one picture of each kind.

    Two new classifiers on the frozen encoder: one from a world in which boats are only at sea and cars only in the
    street, one from the world as it is. Their weights decay strongly, so they lean on everything that goes along with
    a class. Both are asked about the same pictures of the world as it is.

    Args:
        pictures: test vignettes of each group.
        probes: vignettes that the classifiers are dissected with.
        work: folder of the dissections and of the classifiers' last layers.
        size: vignettes that they learn from.
    """
    heads = {
        "as it is": head_of(vignettes.World(), size, work),
        "biased": head_of(vignettes.World(bias=BIAS), size, work),
    }
    rows, sheets = [], []
    for kind, where in BIAS:
        scenes = [vignettes.draw(vignettes.seed("test", i)) for i in track(range(20 * pictures), f"{kind} and {where}")]
        groups = {
            f"{kind}, {where}": [s for s in scenes if there(s, kind) and s.truth.scene == where],
            f"{kind}, elsewhere": [s for s in scenes if there(s, kind) and s.truth.scene != where],
            f"no {kind}, {where}": [s for s in scenes if not there(s, kind) and s.truth.scene == where],
        }
        for world, model in heads.items():
            found = dissected(model, LAYER, probes, BIAS_QUANTILE, work)
            for group, own in groups.items():
                about = {"kind": kind, "world": world, "pictures_of": group}
                rows.append(about | judged(model, found, own[:pictures], kind, where))
        scene = groups[f"{kind}, {where}"][0]
        found = dissected(heads["biased"], LAYER, probes, BIAS_QUANTILE, work)
        sheets += [
            mmcam.explain_class(model, scene.image, kind)
            .why(found, threshold=BIAS_THRESHOLD)
            .figure(VignetteConcepts("val", probes))
            for model in heads.values()
        ]
    return rows, stack(sheets)


def judged(
    model: Classifier, found: mmcam.Dissection, scenes: Sequence[vignettes.Vignette], kind: str, where: str
) -> dict[str, Any]:
    """How often a classifier says the kind of these pictures, and how often its texts name the scene and the kind."""
    exps = [mmcam.explain_class(model, scene.image, kind) for scene in scenes]
    texts = [exp.why(found, threshold=BIAS_THRESHOLD) for exp in exps]
    names = [{r.name for r in text.table if r.speaks == "for"} for text in texts]
    shares = [
        [exp.score > 0 for exp in exps],
        [where in own for own in names],
        [kind in own for own in names],
    ]
    means = {key: asdict(mean(values)) for key, values in zip(BIASED, shares, strict=True)}
    return {"pictures": len(scenes), **means}


def show_bias(rows: Sequence[dict[str, Any]], size: int, out: Path, command: str) -> None:
    """Print and write neuron-bias: what the texts of both classifiers name."""
    cells = [
        [row["kind"], row["world"], row["pictures_of"], str(row["pictures"])]
        + [with_error(row[key], 100, 0) for key in BIASED]
        for row in rows
    ]
    head = ["class", "learned in a world", "pictures", "number", "says the class %", "text names the scene %",
            "text names the kind %"]  # fmt: skip
    above = [
        f"Classifiers on the frozen encoder of vignette-classifier, trained on {size} vignettes of a world in which "
        "boats are only at sea and cars only in the street, or of the world as it is; asked about test vignettes of "
        "the latter (share ± standard error over pictures; it is 0 where all of n pictures agree, which says only that "
        f"fewer than about 3 in n differ). Names from quantile {BIAS_QUANTILE:g}, IoU above {BIAS_THRESHOLD:g}. "
        f"{SUPERVISED}",
        "",
        f"    {command}",
    ]
    pictures = sum(row["pictures"] for row in rows if row["world"] == "biased")
    show(out / "neuron-bias", {**stamp(command, pictures=pictures, seed=0), "rows": rows}, head, cells, above)


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
