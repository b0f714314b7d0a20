"""What `mmcam.check` prints is what is so: the layer, how its cells are known, the answer, the rows."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, VQA, Captioner, pictures, seeded
from torch import nn

import mmcam

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))


class Tokens(nn.Module):
    """Patches, a class token in front, and two blocks of attention."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True) for _ in range(2))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        tokens = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return {"features": tokens.mean(1), "logits": self.head(tokens[:, 0])}


class Coupled(nn.Module):
    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), nn.Linear(8, 3)

    def forward(self, x):
        pooled = self.features(x).mean((2, 3))
        return self.head(pooled - 0.5 * pooled.mean(0))


def findings(result):
    return {finding.what: finding for finding in result.findings}


def test_a_network_of_convolutions(capsys):
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    result = mmcam.check(net.eval(), PICTURE)
    found = findings(result)
    assert result.right
    assert found["layer"].found == "1"
    assert found["cells"].found == "8 × 112 × 112: a map"
    assert "no operation before it moves a cell" in found["cells"].proof
    assert found["answer"].proof == "out (1, 5): 5 classes"
    assert found["rows"].found == "independent"
    assert found["one pass"].found == "equal"
    printed = capsys.readouterr().out
    assert printed.strip() == str(result).strip()
    assert all(what in printed for what in found)


def test_tokens_are_measured_and_the_answer_is_named():
    model = seeded(Tokens)
    result = mmcam.check(model, pictures(1, 32)[0])
    found = findings(result)
    assert result.right
    assert "8×8 tokens after 1 other" in found["cells"].found
    assert found["cells"].proof.startswith("measured")
    assert found["answer"].proof == "out['logits'] (1, 4): 4 classes"
    exp = mmcam.explain_class(model, pictures(1, 32)[0])
    assert (exp.layer, exp.cells) == (found["layer"].found, "measured")


def test_coupled_rows_are_told():
    result = mmcam.check(seeded(Coupled), pictures(1, 32)[0])
    assert findings(result)["rows"].found == "coupled"
    assert findings(result)["one pass"].found == "equal", "each in a pass of its own"
    assert result.right


@pytest.mark.parametrize(("make", "said"), [(Captioner, "methods for texts"), (VQA, "methods for texts")])
def test_models_with_a_language_side(make, said):
    model = seeded(make)
    model.preprocess = SMALL
    found = findings(mmcam.check(model, PICTURE))
    assert said in found["answer"].proof
    assert found["cells"].right


def test_what_is_refused_is_a_sentence():
    flat = mmcam.check(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)).eval(), pictures(1, 32)[0])
    assert not flat.right
    assert "gives a spatial map" in findings(flat)["layer"].proof
    tokens = mmcam.check(seeded(Tokens), pictures(1, 32)[0], "head")
    assert not tokens.right
    assert findings(tokens)["cells"].found == ""
    boxes = mmcam.check(seeded(Tokens), pictures(1, 32)[0], target=17)
    assert not boxes.right
    assert "17" in findings(boxes)["answer"].proof


def test_the_model_is_left_as_found():
    model = seeded(Tokens).train()
    state = torch.get_rng_state()
    mmcam.check(model, pictures(1, 32)[0])
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())
