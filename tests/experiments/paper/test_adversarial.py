"""Adversarial noise: it fools, it is as small as told, it fits into a file, and the script goes on where it stopped."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn

import mmcam
from experiments.lib.boxes import Net
from experiments.paper import adversarial
from tests.tiny import network

PREPROCESS = mmcam.Preprocess(size=(64, 64), mode="squash")


@pytest.fixture
def x():
    pixels = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return PREPROCESS(Image.fromarray(pixels.numpy()))[0]


def test_the_network_is_sure_of_what_is_not_there(x):
    net = Net("resnet18", network("resnet18", 10), PREPROCESS)
    before = int(net.model(x[None]).argmax())
    wrong = (before + 3) % 10
    fooled, steps, largest = adversarial.fool(net, x, wrong, [before])
    p = net.model(fooled[None]).softmax(1)[0]
    assert p[wrong] > 0.9999
    assert 0 < largest <= steps <= adversarial.STEPS
    # The picture survives a file of 8 bits a value, and is as far from the clean one as told.
    held, _ = PREPROCESS(PREPROCESS.denormalise(fooled))
    assert torch.allclose(held, fooled, atol=1e-5)
    a, b = (np.asarray(PREPROCESS.denormalise(made), dtype=int) for made in (x, fooled))
    assert np.abs(a - b).max() == largest


def test_where_several_can_be_there_all_of_them_go(x):
    class Several(nn.Module):
        """Four logits, each the mean of a quarter of the picture."""

        def forward(self, pictures):
            return 40 * nn.functional.adaptive_avg_pool2d(pictures.mean(1), (2, 2)).flatten(1)

    net = Net("several", Several(), PREPROCESS, classes=(0, 1, 2, 3))
    fooled, _, _ = adversarial.fool(net, x, 3, [0, 1])
    p = net.model(fooled[None]).sigmoid()[0]
    assert p[3] > 0.9999
    assert p[:2].max() < 1e-4


def test_one_that_cannot_be_fooled_is_given_up(x):
    class Stubborn(nn.Module):
        def forward(self, pictures):
            return pictures.mean((1, 2, 3))[:, None] * 1e-6 + torch.tensor([[5.0, 0.0]])

    fooled, steps, _ = adversarial.fool(Net("stubborn", Stubborn(), PREPROCESS), x, 1, [0])
    assert steps == adversarial.STEPS
    assert Stubborn()(fooled[None]).softmax(1)[0, 1] < 0.1


def test_on_vignettes_and_on_again(tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "METHODS", ("gradcam", "gradient"))
    adversarial.main("vignettes", 2, None, tmp_path / "out", tmp_path / "work")
    report = json.loads((tmp_path / "out" / "adversarial-vignettes.json").read_text())
    rows = {row["method"]: row for row in report["rows"]}
    assert rows["gradcam"]["fooled"] == 2
    assert rows["gradcam"]["before"]["n"] == rows["gradient"]["before"]["n"] >= 2
    assert rows["gradcam"]["sure before"]["value"] > 0.5 > 1e-4 > rows["gradcam"]["sure after"]["value"]
    assert Image.open(tmp_path / "out" / "adversarial-vignettes.webp").width > 600
    (path,) = (tmp_path / "work").iterdir()
    lines = path.read_text()
    monkeypatch.setattr(adversarial, "judged", lambda *args: pytest.fail("done before"))
    adversarial.main("vignettes", 2, None, tmp_path / "out", tmp_path / "work")
    assert path.read_text() == lines
    assert json.loads((tmp_path / "out" / "adversarial-vignettes.json").read_text()) == report


def test_photographs_need_their_folder():
    with pytest.raises(typer.BadParameter, match="MMCAM_REAL_DATA"):
        adversarial.main("real", 2, None)
    with pytest.raises(typer.BadParameter, match="no data"):
        adversarial.main("voc")
