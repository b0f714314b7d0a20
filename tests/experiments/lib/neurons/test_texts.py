"""What texts name is counted anew, of all units and of those that were not trained to have a name."""

import json

import numpy as np
import pytest

import models
from experiments.lib.neurons import targets, texts


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
