"""Text priors: means of exact masks, by hand and against a second implementation."""

import numpy as np
import pytest

from experiments.lib import text_prior
from experiments.lib.text_prior import Tally, expected, on_grid, peak_on
from mmcam.datasets import vignettes


@pytest.fixture(autouse=True)
def _kept_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(text_prior, "KEPT", tmp_path)
    text_prior._prior.cache_clear()


def test_a_grid_has_shares_and_its_peak_is_the_middle_of_a_cell():
    mask = np.zeros((8, 16), bool)
    mask[4:6, 8:16] = True
    grid = on_grid(mask, 2)
    np.testing.assert_allclose(grid, [[0, 0], [0, 0.5]])
    assert peak_on(grid, (16, 8)) == (12, 6)
    assert peak_on(np.zeros((2, 2), np.float32), (100, 40)) == (25, 10)


def test_means_are_of_those_met_often_and_of_their_category():
    tally = Tally()
    grid = np.zeros((text_prior.SIDE, text_prior.SIDE), np.float32)
    for i in range(5):
        one = grid.copy()
        one[i % 2, 0] = 1
        tally.add("colour", "red", one)
    one = grid.copy()
    one[7, 7] = 1
    tally.add("colour", "blue", one)
    tally.add("colour", "green", grid)  # about nothing that could be seen
    means = tally.means()
    assert set(means) == {"colour", "colour/red"}
    assert means["colour/red"][0, 0] == pytest.approx(3 / 5)
    assert means["colour"][7, 7] == pytest.approx(1 / 6)
    assert expected(means, "colour", "red") is means["colour/red"]
    assert expected(means, "colour", "blue") is means["colour"]
    with pytest.raises(KeyError):
        expected(means, "texture", "striped")


def test_the_prior_of_a_class_is_the_mean_of_its_masks():
    scenes = [vignettes.draw(vignettes.seed("train", i)) for i in range(40)]
    masks = {}
    for scene in scenes:
        for kind in {thing.kind for thing in scene.truth.things}:
            if scene.kind_mask(kind).any():
                masks.setdefault(kind, []).append(scene.kind_mask(kind).reshape(56, 4, 56, 4).mean((1, 3)))
    prior = text_prior.text_prior("class", 40)
    for kind, own in masks.items():
        assert (f"object/{kind}" in prior) == (len(own) >= 5)
        if len(own) >= 5:
            np.testing.assert_allclose(prior[f"object/{kind}"], np.mean(own, 0), atol=1e-5)
    np.testing.assert_allclose(prior["object"], np.mean([m for own in masks.values() for m in own], 0), atol=1e-5)


def test_the_prior_of_a_question_is_the_mean_mask_of_what_the_same_question_is_about():
    texts, types = {}, {}
    for i in range(25):
        scene = vignettes.draw(vignettes.seed("train", i))
        asked = {q.text: q for draw in range(3) for q in vignettes.questions.ask(scene.truth, 12, draw)}
        for question in asked.values():
            about = scene.scene_mask if question.type == "scene" else scene.mask(question.things)
            if about.any():
                mask = about.reshape(56, 4, 56, 4).mean((1, 3))
                texts.setdefault(f"{question.type}/{question.text}", []).append(mask)
                types.setdefault(question.type, []).append(mask)
    often = {text: masks for text, masks in texts.items() if len(masks) >= 5}
    prior = text_prior.text_prior("answer", 25)
    assert 0 < len(often) < len(texts)
    assert set(prior) == set(often) | set(types)
    for key, masks in {**often, **types}.items():
        np.testing.assert_allclose(prior[key], np.mean(masks, 0), atol=1e-5)


def test_it_is_made_once(tmp_path, monkeypatch):
    made = text_prior.text_prior("answer", 30)
    assert {key for key in made if "/" not in key} == set(vignettes.questions.TYPES)
    text_prior._prior.cache_clear()
    monkeypatch.setattr(text_prior.vignettes, "draw", lambda seed: pytest.fail("drawn again"))
    again = text_prior.text_prior("answer", 30)
    assert again.keys() == made.keys()
    assert all(np.array_equal(again[key], made[key]) for key in made)
    assert (tmp_path / "answer-30.safetensors").exists()


def test_words_are_about_what_makes_them_true():
    prior = text_prior.text_prior("word", 60)
    # A scene is most of the picture, a thing a small part of it.
    assert prior["scene"].mean() > 0.5 > 5 * prior["colour"].mean()
    asked = text_prior.text_prior("question word", 60)
    assert {key for key in asked if "/" not in key} <= {"object", "colour", "texture", "scale"}
