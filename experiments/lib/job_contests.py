"""Jobs as tasks of the benchmark: from the files of pictures to tables, beside opening them and a plain forward."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

import mmcam
from experiments.lib.contestants import Run, Setting
from experiments.lib.other_contests import dissected, forwards
from experiments.lib.small_models import Matcher, seeded
from mmcam.datasets import vignettes
from mmcam.engine.modules import unwrap
from mmcam.jobs.dissection import run_dissection
from mmcam.jobs.plan import Plan, Worker
from mmcam.jobs.run import go_on
from mmcam.jobs.sources import Source, read_source
from mmcam.jobs.store import Store
from mmcam.jobs.wanted import Wanted
from mmcam.models import default

FULL = 224
"""Side of the pictures of a whole run; a quick one has a few of the pictures."""

QUESTION = "what is in the picture?"
TEXT = "a dog on the grass"


class Comparer(nn.Module):
    """ResNet-50's features of a picture beside the letters of a text: no model that compares is bundled."""

    preprocess = mmcam.Preprocess(size=(FULL, FULL))

    def __init__(self) -> None:
        super().__init__()
        net = torchvision.models.resnet50(weights=None, num_classes=8)
        self.head = net.fc
        self.features = nn.Sequential(*list(net.children())[:-2])
        self.text = Matcher()

    def similarity(self, x: Tensor, texts: list[str]) -> Tensor:
        """The product of what is seen and mean letters."""
        seen = self.head(self.features(x).mean((2, 3)))
        return (seen.repeat(len(texts) // len(seen), 1) * self.text.read(texts)).sum(1)


def comparer() -> nn.Module:
    """The same random weights every time."""
    return seeded(Comparer)


def job_task(task: str, count: int, setting: Setting) -> dict[str, Run]:
    """A job of so many pictures by a bundled model, in one process."""
    source = photographs(count if setting.side == FULL else max(4, count // 32))
    similar = task == "similarity"
    name = f"{__name__}:comparer" if similar else default("vignette-" + {"metrics": "class"}.get(task, task))
    questions, targets = (QUESTION,) if task == "answer" else (), (TEXT,) if similar else ()
    wanted = Wanted(task, {"gradcam": {}}, targets, questions, how={"layer": None})
    worker = Worker.load(Plan(wanted, name, batch=setting.batch, device=setting.device), source)
    folder, numbers = tempfile.TemporaryDirectory(), itertools.count()
    forward = _forward(unwrap(worker.model), task)

    @torch.no_grad()
    def plain() -> None:
        for batch in worker.batches(source.items):
            opened: list[Any] = [worker.decoder[item] for item in batch]
            forward(torch.cat([one.x for one in opened]).to(setting.device))

    def job() -> None:
        go_on(worker, source, Store(f"{folder.name}/{next(numbers)}"), tell=lambda text: None)

    return {"forward": plain, "mmcam": job}


def dissection_job(setting: Setting) -> dict[str, Run]:
    """A dissection as a job, to tables on disk."""
    model, data, layer, how = dissected(setting)
    folder, numbers = tempfile.TemporaryDirectory(), itertools.count()

    def job() -> None:
        run_dissection(
            model, "mobilenet_v2", data, f"{folder.name}/{next(numbers)}", layer=layer, batch=32, preprocess=how,
            tell=lambda text: None,
        )  # fmt: skip

    return {"forward": forwards(model, data, how, setting), "mmcam": job}


def _forward(model: Any, task: str) -> Callable[[torch.Tensor], object]:
    """What the model does for the task without an explanation."""
    if task == "caption":
        return lambda x: model.generate(x)
    if task == "answer":
        return lambda x: model.answer_scores(x, [QUESTION] * len(x))
    if task == "similarity":
        return lambda x: model.similarity(x, [TEXT] * len(x))
    return lambda x: model(x)


@cache
def photographs(count: int) -> Source:
    """JPEGs of 500×375 pixels, vignettes with noise, in a folder that is there until the process ends."""
    folder = Path(_kept().name) / str(count)
    folder.mkdir()
    random = np.random.default_rng(0)
    scenes = [vignettes.draw(vignettes.seed("val", n)).image.resize((500, 375)) for n in range(8)]
    for n in range(count):
        pixels = np.asarray(scenes[n % 8], np.int16) + random.integers(-10, 11, (375, 500, 1))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{n:04d}.jpg", quality=90)
    return read_source(str(folder))


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()
