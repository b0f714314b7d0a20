"""Captions of different lengths read together follow from the same logits as each read alone."""

import pytest
import torch
import torch.nn.functional as F

from experiments.lib import caption_training, precision
from experiments.lib.caption_training import surprise
from models import load


@pytest.mark.parametrize("name", ["vignette-captioner", "vignette-show-attend-tell", "vignette-transformer-captioner"])
def test_the_loss_is_the_mean_over_captions_read_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (precision, caption_training):  # some processors would compute it in halves
        monkeypatch.setattr(module, "HALVES", False)
    model = load(name)
    torch.manual_seed(0)
    with torch.no_grad():
        seen = model.see(torch.rand(2, 3, 224, 224))
    captions = [["a red house", "a dog"], ["a boat at the sea with a blue car and a green tree", "a car with a boat"]]
    tokens = torch.zeros(2, 2, 14, dtype=torch.int16)
    total, words = 0.0, 0
    for i, own in enumerate(captions):
        for j, caption in enumerate(own):
            encoded = model.encode(caption)
            tokens[i, j, : len(encoded)] = torch.tensor(encoded)
            logits = model.decode(model.look(seen[i : i + 1]), torch.tensor([encoded]))[0]
            total += float(F.cross_entropy(logits, torch.tensor([*encoded, 0]), reduction="sum").detach())
            words += len(encoded) + 1
    assert float(surprise(model, seen, tokens).detach()) == pytest.approx(total / words, rel=1e-5)
