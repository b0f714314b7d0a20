"""The table beside other libraries: everything agrees that is defined alike."""

import json

import torch
from torch import nn
from torchvision.models import vgg

from experiments.checks import agreement
from experiments.lib.settled import settle
from mmcam import METHODS


def narrow(name):
    """VGG-11 with an eighth of its channels and one linear layer: as deep, and a hundredth of the work."""
    torch.manual_seed(0)
    features = vgg.make_layers([8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"], batch_norm=True)
    model = vgg.VGG(features)
    model.classifier = nn.Linear(64 * 7 * 7, 10)
    return settle(model, torch.randn(8, 3, agreement.SIDE, agreement.SIDE))


def test_all_agree_but_those_whose_definition_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "network", narrow)
    agreement.main(out=tmp_path, networks=["vgg11_bn"])
    rows = json.loads((tmp_path / "agreement.json").read_text())["rows"]
    errors = {(row["method"], row["library"]): row["error"] for row in rows}
    differ = {("gradcam++", "torchcam"), ("smooth_gradcam++", "torchcam"), ("scorecam", "grad-cam")}
    assert {key: error for key, error in errors.items() if key not in differ and not error < 1e-4} == {}
    assert errors["gradcam++", "torchcam"] > 0.1, "torchcam was mended: take the note away"
    assert {method for method, _ in errors} <= METHODS.keys()
    text = (tmp_path / "agreement.md").read_text()
    assert "| gradcam | captum |" in text
    assert "[1] gradcam++, torchcam:" in text
