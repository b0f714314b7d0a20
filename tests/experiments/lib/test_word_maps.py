"""Maps of words of several captions, read beside one another behind one encoding: those of `explain_caption`."""

import numpy as np
import pytest
import torch

import mmcam
import models
from experiments.lib.word_evidence import Word, seen
from experiments.lib.word_maps import READINGS, Reading, heatmaps, maps_of, places_of
from experiments.paper import why_gradcam_words
from mmcam.datasets import vignettes

CAPTIONS = ("a red dog and a house", "two cats", "a cat and a dog")
WORDS = (Word(0, 2), Word(1, 1), Word(2, 4))


@pytest.fixture(scope="module")
def captioner():
    return models.load("vignette-show-attend-tell")


@pytest.fixture(scope="module")
def image():
    return vignettes.draw(vignettes.seed("test", 3)).image


def evidence(captioner, image, score="log_prob", guided=True):
    x, _ = captioner.preprocess(image)
    captions = [captioner.encode(text) for text in CAPTIONS]
    return seen(captioner, x[None], captions, WORDS, list(places_of(captioner).values()), score=score, guided=guided)


def asked(captioner, image, score="log_prob", **how):
    """The same words, one caption at a time by the public function."""
    return torch.stack(
        [
            mmcam.explain_caption(captioner, image, w.token, caption=CAPTIONS[w.caption], score=score, **how).values
            for w in WORDS
        ]
    )


def test_places_are_the_last_layer_and_those_twice_as_fine(captioner):
    sides = {}
    for place, name in places_of(captioner).items():
        captioner.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, place=place: sides.__setitem__(place, output.shape[-1])
        )
    with torch.no_grad():
        captioner.features(torch.zeros(1, 3, 224, 224))
    assert sides == {"finest": 56, "first finer": 28, "finer": 28, "last": 14}


def test_maps_are_those_of_the_public_function(captioner, image):
    places = places_of(captioner)
    found = evidence(captioner, image)

    def same(name, **how):
        expected = asked(captioner, image, **how)
        got = maps_of(READINGS[name], found, list(places))
        assert expected.abs().max() > 0
        expected = expected.abs().amax(1) if expected.ndim == 4 else expected
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))

    both = [places["last"], places["first finer"]]
    same("gradcam")
    same("layercam, finer", method="layercam", layer=places["finer"])
    same("layercam × first finer", method="layercam", layer=both, fuse="product")
    same("attention", method="attention")
    same("guided_gradcam", method="guided_gradcam")
    finest = places["finest"]
    same("guided layercam, finest", method="guided_gradcam", cam="layercam", layer=finest)


def test_a_logit_is_explained_as_by_the_public_function(captioner, image):
    got = maps_of(
        Reading((("layercam", "last"),)), evidence(captioner, image, "logit", False), list(places_of(captioner))
    )
    torch.testing.assert_close(got, asked(captioner, image, "logit", method="layercam"), rtol=1e-3, atol=1e-6)


def test_the_next_best_word_is_the_likeliest_other_one(captioner, image):
    """The score is the least of the word's logits less another's."""
    x, _ = captioner.preprocess(image)
    captions = [captioner.encode(text) for text in CAPTIONS]
    scores = evidence(captioner, image, "next best", False).layers[0].scores[:, 0]
    for word, score in zip(WORDS, scores.tolist(), strict=True):
        with torch.no_grad():
            logits = captioner.token_logits(x[None], torch.tensor([captions[word.caption]]))[0, word.token]
        token = captions[word.caption][word.token]
        others = [float(logits[token] - logits[i]) for i in range(len(logits)) if i != token]
        assert score == pytest.approx(min(others), abs=1e-4)


def test_a_picture_twice_as_large_has_maps_twice_as_fine(captioner, image):
    """The captioner's knowledge of places is spread: at the same features, every region's key is its neighbour's."""
    larger = why_gradcam_words.twice(captioner)
    assert larger.place.shape == (28 * 28, captioner.place.shape[1])
    known = captioner.place.detach().view(14, 14, -1)
    wide = larger.place.detach().view(28, 28, -1)
    torch.testing.assert_close(wide[0, 0], known[0, 0])  # beyond the outermost centres
    between = (9 * known[3, 5] + 3 * known[3, 6] + 3 * known[4, 5] + known[4, 6]) / 16
    torch.testing.assert_close(wide[7, 11], between)
    assert captioner.side == 14, "the captioner itself stays as it was"
    x, _ = larger.preprocess(image)
    found = seen(larger, x[None], [captioner.encode("two cats")], [Word(0, 1)], [places_of(captioner)["last"]])
    assert found.layers[0].activations.shape[2:] == (28, 28)
    assert found.attention.shape == (1, 1, 28, 28)


@pytest.mark.parametrize(("side", "there"), [(7, False), (14, True)])
def test_a_small_thing_between_the_cells_cannot_be_hit(side, there):
    mask = np.zeros((140, 280), bool)
    mask[3:7, 8:12] = True  # the middle of the first of 14×14 cells
    assert why_gradcam_words.reachable(mask, side) == there


@pytest.mark.parametrize("mode", ["squash", "crop"])
def test_maps_over_the_photograph_are_the_geometrys(mode):
    geometry = mmcam.Preprocess(size=(20, 24), mode=mode).geometry(63, 101)
    cams = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = geometry.to_original(cams).numpy()
    np.testing.assert_allclose(heatmaps(cams, geometry), expected, atol=1e-5)
