"""A folder of small pictures, one of them broken, and a small network in a file beside it."""

import numpy as np
import pytest
from PIL import Image

from mmcam.jobs.plan import Plan
from mmcam.jobs.wanted import Wanted

NETWORK = """
import torch
from torch import nn
import mmcam

class Net(nn.Module):
    preprocess = mmcam.Preprocess(size=(32, 32), mode="squash", mean=(0.5,) * 3, std=(0.25,) * 3)
    classes = ["red", "green", "blue", "none"]

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8 * 256, 4)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))

def seeded(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net().eval()

def make():
    return seeded(0)

def other():
    return seeded(1)
"""


def paint(path, seed, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The current folder: photos/{red,blue}/0.png … 21 of them, of which one is broken, and net.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK)
    for n in range(20):
        paint(tmp_path / "photos" / ("red", "blue")[n % 2] / f"{n:02d}.png", n, (40 + n, 30))
    (tmp_path / "photos" / "red" / "broken.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def plan():
    """Of a job: Grad-CAM of the network's own class, in batches of 4 and parts of 8, or what else is given."""

    def of(task="class", methods=("gradcam",), model="net:make", shard=8, batch=4, keep_weights=False, **wanted):
        return Plan(
            Wanted(task, {name: {} for name in methods}, **{"how": {"layer": None}, **wanted}),
            model, batch=batch, shard=shard, keep_weights=keep_weights,
        )  # fmt: skip

    return of
