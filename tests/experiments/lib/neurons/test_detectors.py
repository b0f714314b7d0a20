"""Detectors are counted anew, units that were trained to have a name apart from those that found it."""

import pytest

import models
from experiments.lib.neurons import detectors


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
