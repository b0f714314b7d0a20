"""However many words a text has, the map explained is the encoder's: words are no tokens of a picture."""

import pytest

import mmcam
import models
from mmcam.datasets import vignettes

PICTURE = vignettes.draw(20_000_123).image


@pytest.mark.parametrize("words", [4, 9, 16, 25, 36])
def test_captions_of_as_many_words_as_a_map_has_cells(words):
    """A fresh model each time: the layer is remembered."""
    model = models.load("vignette-transformer-captioner")
    caption = " ".join((["a", "blue", "house", "and"] * words)[:words])
    exp = mmcam.explain_caption(model, PICTURE, "house", caption=caption)
    assert exp.layer == "features"
    assert exp.cam.shape == (14, 14)


@pytest.mark.parametrize("words", [4, 9, 16, 49])
@pytest.mark.parametrize("name", ["vignette-san", "vignette-hiecoatt-alternating"])
def test_questions_of_as_many_words_as_a_map_has_cells(name, words):
    model = models.load(name)
    question = " ".join((["what", "colour", "is", "the", "house"] * words)[:words])
    assert mmcam.explain_answer(model, PICTURE, question).layer == "features"
