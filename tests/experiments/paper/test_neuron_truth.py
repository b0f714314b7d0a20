"""What neuron_truth counts: units that were trained to have a name apart from those that found it."""

import json
import re

import numpy as np
import pytest

import models
from experiments.lib.detectors import DETECTORS
from experiments.lib.neurons import detectors, targets, texts


def test_the_card_says_how_many_units_were_trained_for_a_fact():
    card = json.loads((models.WEIGHTS / "vignette-classifier.json").read_text())
    (said,) = re.findall(r"the first (\d+) units of the last convolution", card["auxiliary_losses"])
    assert int(said) == DETECTORS == 271


@pytest.mark.parametrize("name", ["vignette-classifier", "vignette-vqa"])
@pytest.mark.parametrize("threshold", [0.04, 0.1])
def test_detectors_of_both_groups(name, threshold):
    """Counted anew from the tallies."""
    found = models.dissection(name)
    iou = found.both.numpy() / (found.active + found.truth - found.both).clamp(min=1).numpy()
    best = [found.concepts[i] for i in iou.argmax(1)]
    for group, units in (("all", range(384)), ("trained for a fact", range(271)), ("free", range(271, 384))):
        row = detectors.detected(found, threshold, group)
        named = [best[unit] for unit in units if iou[unit].max() > threshold]
        assert row["units"] == len(units)
        assert row["detectors"] == {c: sum(n.category == c for n in named) for c in found.categories}
        assert row["concepts"] == len(set(named))
    assert len(named) > 50, "a group of none would agree with anything"


def test_texts_of_free_units_only(tmp_path, monkeypatch):
    """A free text names nothing but what free units detect, and errors count pictures, not texts."""
    found = models.dissection("vignette-classifier")
    monkeypatch.setattr(texts, "MODELS", ("vignette-classifier",))
    monkeypatch.setattr(texts, "dissected", lambda *_: found)
    monkeypatch.setattr(texts, "SETTINGS", texts.SETTINGS[:2])
    texts.show_texts(texts.texts(3, 1000, tmp_path), 3, tmp_path, "command")
    every, free = json.loads((tmp_path / "neuron-text.json").read_text())["rows"]
    assert (every["units"], free["units"]) == ("all", "free")
    said = list(targets.right_targets("vignette-classifier", models.load("vignette-classifier"), 3))
    names = found.names(0.04).units
    for row, first in ((every, 0), (free, 271)):
        known = [(n.category, n.name) for unit, n in names.items() if unit >= first]
        told = []
        for one in said:
            contribution = (one.exp.weights * one.exp.activations.mean((1, 2))).numpy()
            top = [unit for unit in np.argsort(-contribution)[:5] if contribution[unit] > 0]
            mine = {(names[u].category, names[u].name) for u in top if u >= first and u in names}
            if mine:
                true = targets.facts(one.scene)
                told.append(
                    (one.scene.truth.seed, np.mean([n in true for n in mine]), np.mean([n in true for n in known]))
                )
        seeds, shares, chance = map(np.array, zip(*told, strict=True))
        assert row["texts"] == len(said)
        assert row["without_a_name"] == len(said) - len(told)
        assert row["for_in_picture"]["value"] == pytest.approx(shares.mean())
        assert row["any_in_picture"]["value"] == pytest.approx(chance.mean())
        sums = [(shares[seeds == seed] - shares.mean()).sum() for seed in set(seeds)]
        groups = len(sums)
        error = np.sqrt(groups / (groups - 1) * np.square(sums).sum()) / len(shares)
        assert row["for_in_picture"]["standard_error"] == pytest.approx(error)
        assert row["for_in_picture"]["pictures"] == groups > 1
