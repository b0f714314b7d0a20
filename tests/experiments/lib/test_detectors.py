"""The bundled classifier's card and the code agree on which units were trained for a fact."""

import json
import re

import models
from experiments.lib.detectors import DETECTORS


def test_the_card_says_how_many_units_were_trained_for_a_fact():
    card = json.loads((models.WEIGHTS / "vignette-classifier.json").read_text())
    (said,) = re.findall(r"the first (\d+) units of the last convolution", card["auxiliary_losses"])
    assert int(said) == DETECTORS == 271
