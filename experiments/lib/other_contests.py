"""What else is timed: a transformer's tokens, a dissection, the start of a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn

import mmcam
from experiments.lib.contestants import Run, Setting, likely, network, pictures, plain
from mmcam.datasets.concepts import Labels
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.preparation import batch_of

DISSECTED = 64
VIT_LAYER = "encoder.layers.encoder_layer_10"
"""The last whose patches have a say: nothing but the class token leaves the last block."""


def vit_task(setting: Setting) -> dict[str, Run]:
    """Grad-CAM of a vision transformer's tokens; "by hand": a hook, a backward pass, tokens put in their places."""
    model, x = network("vit_b_16", setting), pictures(1, setting)
    (target,) = likely(model, x)

    def by_hand() -> Tensor:
        kept: list[Tensor] = []

        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = model.get_submodule(VIT_LAYER).register_forward_hook(hook)
        score = model(x)[:, target].sum()
        handle.remove()
        (gradient,) = torch.autograd.grad(score, kept[0])
        side = round((kept[0].shape[1] - 1) ** 0.5)
        a, g = (t.detach()[:, 1:].transpose(1, 2).unflatten(2, (side, side)) for t in (kept[0], gradient))
        return (g.mean((2, 3), keepdim=True) * a).sum(1).relu()

    return {
        "forward": plain(model, x),
        "mmcam": lambda: mmcam.attribute(model, x, [target], layer=VIT_LAYER)[0],
        "by hand": by_hand,
    }


class Drawn:
    """Vignettes that are kept, so that drawing them is not timed."""

    def __init__(self, count: int) -> None:
        data = VignetteConcepts(size=count)
        self.name, self.concepts = data.name, data.concepts
        self._kept = [(data.picture(i), data.labels(i)) for i in range(count)]

    def __len__(self) -> int:
        return len(self._kept)

    def picture(self, index: int) -> Image.Image:
        """A vignette."""
        return self._kept[index][0]

    def labels(self, index: int) -> Sequence[Labels]:
        """What is labelled in it."""
        return self._kept[index][1]


def dissection_task(setting: Setting) -> dict[str, Run]:
    """A dissection of 320 units by 64 pictures, beside preparing the pictures and one forward pass of each."""
    model, data, layer, how = dissected(setting)

    def dissection() -> None:
        mmcam.dissect(model, data, layer, preprocess=how)

    return {"forward": forwards(model, data, how, setting), "mmcam": dissection}


def dissected(setting: Setting) -> tuple[nn.Module, Drawn, str, mmcam.Preprocess]:
    """What is dissected: a network, pictures, a layer, and how the pictures are prepared."""
    how = mmcam.Preprocess(size=(setting.side, setting.side), mode="squash")
    return network("mobilenet_v2", setting), Drawn(DISSECTED), "features.17", how


def forwards(model: nn.Module, data: Drawn, how: mmcam.Preprocess, setting: Setting) -> Run:
    """The pictures prepared, and one forward pass of each."""

    @torch.no_grad()
    def forward() -> None:
        for start in range(0, len(data), 32):
            model(batch_of(model, [data.picture(i) for i in range(start, start + 32)], how).x.to(setting.device))

    return forward


def start_task() -> dict[str, Run]:
    """A process that imports what every one with torch and torchvision does, and one that can explain a class, too."""

    def process(code: str) -> Run:
        def run() -> None:
            subprocess.run([sys.executable, "-c", code], check=True)

        return run

    return {
        "forward": process("import torch, torchvision"),
        "mmcam": process("import torch, torchvision, mmcam; mmcam.explain_class, mmcam.Preprocess"),
    }
