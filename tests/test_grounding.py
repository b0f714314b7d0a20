"""What words lose without the picture, against sums one can do by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from state import State
from tiny import SMALL, Captioner, Stubborn, pictures, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, Grounding, PictureError, Preprocess, grounding
from mmcam.grounding import FUNCTION_WORDS

COST = {"a": (0.5, 0.0), "The": (1.0, 0.4), "bright": (2.0, 1.5), "dark": (1.0, -0.8), "sun": (3.0, 2.0)}
COST |= {"##light": (1.5, 1.0), "guess": (2.5, 0.25)}


class Told(nn.Module):
    """A captioner whose log-probabilities are written down: what a token costs falls with the light of the picture."""

    def __init__(self):
        super().__init__()
        self.preprocess = Preprocess(size=(8, 8), mode="squash", mean=(0.0,) * 3, std=(1.0,) * 3)
        self.said = ["a sun ##light guess", "dark"]
        self.rows = []

    def token_log_probs(self, x, tokens):
        self.rows.append(len(x))
        light = x.mean((1, 2, 3))[:, None]
        cost, less = (torch.tensor([row[i] for row in ((0.0, 0.0), *COST.values())])[tokens] for i in (0, 1))
        return (less * light - cost).masked_fill(tokens == 0, -torch.inf)

    def generate(self, x):
        return [self.encode(self.said[n % len(self.said)]) for n in range(len(x))]

    def encode(self, caption):
        unknown = [word for word in caption.split() if word not in COST]
        if unknown:
            raise ValueError(f"The captioner does not know {unknown[0]!r}.")
        return [list(COST).index(word) + 1 for word in caption.split()]

    def words(self, tokens):
        spelt = []
        for i, token in enumerate(tokens):
            text = list(COST)[token - 1]
            if text.startswith("##"):
                spelt[-1] = (spelt[-1][0] + text[2:], [*spelt[-1][1], i])
            else:
                spelt.append((text, [i]))
        return spelt


def even(light, size=(8, 8)):
    """A picture of one grey, 0 to 1 (a multiple of 1/255)."""
    return Image.new("RGB", size, (round(255 * light),) * 3)


def log_prob(light, *tokens):
    return sum(COST[token][1] * light - COST[token][0] for token in tokens)


def mean_log(log_probs):
    return math.log(sum(math.exp(value) for value in log_probs) / len(log_probs))


# --- sums by hand -----------------------------------------------------------------------------------------------------


def test_the_drop_is_the_log_probability_without_the_even_picture():
    """The even picture is the mean colour, here black, so a word of Told loses what the light gave it."""
    found = grounding(Told(), even(0.8), "a bright sun")
    assert [(word.word, word.position) for word in found] == [("a", 0), ("bright", 1), ("sun", 2)]
    for word in found:
        assert isinstance(word, Grounding)
        assert word.log_prob == pytest.approx(log_prob(0.8, word.word), abs=1e-5)
        assert word.blind_log_prob == pytest.approx(log_prob(0, word.word), abs=1e-5)
        assert word.drop == word.log_prob - word.blind_log_prob
        assert word.drop == pytest.approx(0.8 * COST[word.word][1], abs=1e-5)


def test_a_word_of_several_tokens_is_their_sum():
    (light,) = grounding(Told(), even(1.0), "sun ##light")
    assert light.word == "sunlight"
    assert light.log_prob == pytest.approx(log_prob(1, "sun", "##light"), abs=1e-5)
    assert light.drop == pytest.approx(3, abs=1e-5)


def test_probabilities_are_averaged_over_the_blank_pictures():
    """Of a whole word: the mean of its tokens' products, not the product of their means."""
    lights = (0.0, 0.2, 1.0)
    found = grounding(Told(), even(0.6), "dark sun ##light", blank=[even(light, (9, 5)) for light in lights])
    for word, tokens in zip(found, (("dark",), ("sun", "##light")), strict=True):
        blind = mean_log([log_prob(light, *tokens) for light in lights])
        assert word.blind_log_prob == pytest.approx(blind, abs=1e-5)
        assert word.log_prob == pytest.approx(log_prob(0.6, *tokens), abs=1e-5)
    products = mean_log([log_prob(light, "sun") for light in lights]) + mean_log(
        [log_prob(light, "##light") for light in lights]
    )
    assert abs(found[1].blind_log_prob - products) > 0.05


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=6), st.integers(0, 255))
def test_any_blank_pictures(greys, seen):
    """The mean lies between the extremes, whatever the order, and a blank picture given twice is as good as once."""
    model = Told()
    found, turned, twice = (
        grounding(model, even(seen / 255), "bright dark", blank=[even(grey / 255) for grey in shown])
        for shown in (greys, greys[::-1], greys * 2)
    )
    for word, other, same in zip(found, turned, twice, strict=True):
        blind = [log_prob(grey / 255, word.word) for grey in greys]
        assert word.blind_log_prob == pytest.approx(mean_log(blind), abs=1e-5)
        assert min(blind) - 1e-5 <= word.blind_log_prob <= max(blind) + 1e-5
        assert other.blind_log_prob == pytest.approx(word.blind_log_prob, abs=1e-5)
        assert same.blind_log_prob == pytest.approx(word.blind_log_prob, abs=1e-5)


def test_the_picture_as_its_own_blank_costs_nothing():
    for word in grounding(Told(), even(0.4), "a bright sun ##light", blank=even(0.4)):
        assert word.drop == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", [Captioner, Stubborn])
def test_a_captioner_of_convolutions_and_an_lstm(kind):
    model, captions = seeded(kind), ["a dog runs on the grass", "big tree"]
    images = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (30, 40, 3), dtype=np.uint8)) for n in range(2)]
    blanks = pictures(3, 32)
    made = grounding(model, images, captions, blank=blanks)
    for own, image, caption in zip(made, images, captions, strict=True):
        tokens = torch.tensor([model.encode(caption)])
        with torch.no_grad():
            seen = model.token_log_probs(SMALL(image)[0][None], tokens)[0]
            blind = [model.token_log_probs(blank[None], tokens)[0] for blank in blanks]
        for i, word in enumerate(own):
            assert word.log_prob == pytest.approx(float(seen[i]), abs=1e-5)
            assert word.blind_log_prob == pytest.approx(mean_log([float(one[i]) for one in blind]), abs=1e-5)
    scores = mmcam.explain_caption(model, images[0], caption=captions[0])
    assert [word.log_prob for word in made[0]] == pytest.approx([exp.score for exp in scores], abs=1e-4)


# --- flags ------------------------------------------------------------------------------------------------------------


def test_words_that_lose_little_are_flagged():
    drops = {"a": 0.0, "bright": 1.5, "dark": -0.8, "sun": 2.0, "guess": 0.25}
    caption = " ".join(drops)
    for threshold, flagged in ((0.5, "dark guess"), (0.2, "dark"), (-1.0, ""), (1.6, "bright dark guess")):
        found = grounding(Told(), even(1.0), caption, threshold=threshold)
        assert {word.word for word in found if word.flagged} == set(flagged.split())
        assert [word.drop for word in found] == pytest.approx(list(drops.values()), abs=1e-5)
        assert all(type(word.flagged) is bool for word in found)
    assert [word.flagged for word in grounding(Told(), even(1.0), caption)] == [False, False, True, False, True]


def test_a_drop_as_large_as_the_threshold_is_enough():
    """Black for white is no drop at all for a word the picture does not change, so 0 is not below 0."""
    (word,) = grounding(Told(), even(0.0), "guess", threshold=0.0)
    assert word.drop == 0
    assert not word.flagged


def test_function_words_are_never_flagged_whatever_their_case():
    a, the = grounding(Told(), even(0.0), "a The", threshold=9.0)
    assert a.drop == the.drop == 0
    assert not a.flagged
    assert not the.flagged
    assert {"a", "the", "with", "is"} <= FUNCTION_WORDS
    assert all(word == word.casefold() for word in FUNCTION_WORDS)


def test_a_groundings_fields_are_plain_and_fixed():
    (word,) = grounding(Told(), even(0.2), "sun")
    assert type(word.log_prob) is type(word.blind_log_prob) is type(word.drop) is float
    with pytest.raises(AttributeError):
        word.flagged = False


# --- pictures and captions --------------------------------------------------------------------------------------------


def test_lists_give_lists_and_the_captions_are_the_models_own():
    images = [even(0.5), even(1.0, (20, 10))]
    made = grounding(Told(), images)
    assert [[word.word for word in own] for own in made] == [["a", "sunlight", "guess"], ["dark"]]
    assert [[word.position for word in own] for own in made] == [[0, 1, 2], [0]]
    assert [word.word for word in grounding(Told(), images[0])] == ["a", "sunlight", "guess"]
    ((only,),) = grounding(Told(), images[1:], "dark")
    assert only == made[1][0]


def test_a_batch_is_its_pictures_one_by_one():
    """Captions of different lengths; the padding of the shorter is -inf here."""
    images, captions = [even(0.2), even(0.6), even(1.0)], ["dark", "a bright sun ##light guess", "The sun"]
    blank = [even(0.4), even(0.0)]
    together = grounding(Told(), images, captions, blank=blank)
    for own, image, caption in zip(together, images, captions, strict=True):
        for word, alone in zip(own, grounding(Told(), image, caption, blank=blank), strict=True):
            assert (word.word, word.position, word.flagged) == (alone.word, alone.position, alone.flagged)
            assert word.log_prob == pytest.approx(alone.log_prob, abs=1e-5)
            assert word.drop == pytest.approx(alone.drop, abs=1e-5)
    for own, image in zip(grounding(Told(), images, "a sun"), images, strict=True):
        assert own == grounding(Told(), image, "a sun")


def test_blank_pictures_of_every_kind(tmp_path):
    even(0.6).save(tmp_path / "grey.png")
    grey = np.full((5, 7, 3), 153, np.uint8)
    expected = grounding(Told(), even(0.2), "sun", blank=even(0.6))
    for blank in (str(tmp_path / "grey.png"), grey, [tmp_path / "grey.png"], grey[None], torch.full((3, 8, 8), 0.6)):
        (word,) = grounding(Told(), even(0.2), "sun", blank=blank)
        assert word.blind_log_prob == pytest.approx(expected[0].blind_log_prob, abs=1e-5)


def test_the_default_blank_is_the_mean_colour():
    """Which is 0.5 for this captioner: between the greys 127 and 128."""
    model, image = seeded(Captioner), even(0.9)
    default = grounding(model, image, "a dog")
    assert default == grounding(model, image, "a dog", blank=torch.zeros(3, 32, 32))
    for word, other in zip(default, grounding(model, image, "a dog", blank=even(0.5, (4, 4))), strict=True):
        assert word.blind_log_prob == pytest.approx(other.blind_log_prob, abs=1e-3)


def test_a_preprocess_of_ones_own_makes_the_blank_pictures_too():
    half = Preprocess(size=(8, 8), mode="squash", mean=(0.0,) * 3, std=(2.0,) * 3)
    (word,) = grounding(Told(), even(1.0), "sun", blank=even(0.4), preprocess=half)
    assert word.log_prob == pytest.approx(log_prob(0.5, "sun"), abs=1e-5)
    assert word.blind_log_prob == pytest.approx(log_prob(0.2, "sun"), abs=1e-5)


def test_every_blank_picture_is_one_pass():
    model = Told()
    grounding(model, [even(0.2), even(0.4)], "sun", blank=[even(0.0), even(0.6), even(1.0)])
    assert model.rows == [2] * 4


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_a_model_that_is_no_captioner():
    with pytest.raises(ExplainError, match="Conv2d is no captioner: it lacks generate, token_log_probs, encode, words"):
        grounding(nn.Conv2d(3, 3, 1), even(0.0))


def test_captions_that_cannot_be_said():
    with pytest.raises(ExplainError, match=r"^The captioner does not know 'zebra'\.$"):
        grounding(Told(), even(0.0), "a zebra")
    with pytest.raises(ExplainError, match="The caption has no word"):
        grounding(Told(), even(0.0), "")
    with pytest.raises(ExplainError, match="2 pictures and 3 captions; give one a picture"):
        grounding(Told(), [even(0.0)] * 2, ["a", "a", "a"])


def test_no_picture():
    for blank in ([], ()):
        with pytest.raises(ExplainError) as error:
            grounding(Told(), even(0.0), "a", blank=blank)
        assert str(error.value) == "blank=[] holds no picture; leave it out for an even one."
    with pytest.raises(PictureError, match="There is no picture in the list"):
        grounding(Told(), [])
    with pytest.raises(PictureError, match=r"There is no picture at nowhere\.png"):
        grounding(Told(), even(0.0), "a", blank="nowhere.png")


def test_blank_pictures_of_another_size():
    with pytest.raises(ExplainError) as error:
        grounding(Told(), torch.zeros(3, 16, 16), "a", blank=even(0.0))
    assert str(error.value) == (
        "The blank pictures become inputs of shape (3, 8, 8) and the pictures of (3, 16, 16); prepare them alike."
    )


# --- callers, and what is left behind ---------------------------------------------------------------------------------


class BrokenError(Exception):
    pass


class Unsettled(Captioner):
    """Draws random numbers, drops some of the picture while training, works on it in place, and breaks at a call."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.left = 99

    def generate(self, x):
        torch.rand(3)
        x.add_(1)
        return super().generate(x)

    def token_log_probs(self, x, tokens):
        assert not torch.is_grad_enabled(), "this needs no graph"
        assert not self.training
        self.left -= 1
        if not self.left:
            raise BrokenError
        torch.rand(3)
        return super().token_log_probs(self.dropout(x.mul_(2)), tokens)


def mixed(model):
    """Some modules in train mode, some not, one parameter frozen, one with a gradient of the user's own."""
    model.train()
    model.lstm.eval()
    model.picture.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones_like(model.output.bias)
    return model


def test_a_model_that_works_in_place_sees_each_picture_as_it_is():
    usual, model = seeded(Captioner), seeded(Unsettled)
    prepared, blanks = pictures(2, 32), pictures(3, 32, seed=5)
    kept = prepared.clone(), blanks.clone()
    expected = grounding(usual, 2 * prepared, blank=2 * blanks)
    for own, others in zip(grounding(model, prepared, blank=blanks), expected, strict=True):
        for word, other in zip(own, others, strict=True):
            assert word.log_prob == pytest.approx(other.log_prob, abs=1e-5)
            assert word.blind_log_prob == pytest.approx(other.blind_log_prob, abs=1e-5)
    assert torch.equal(prepared, kept[0])
    assert torch.equal(blanks, kept[1])


def test_callers_without_gradients():
    model, prepared = seeded(Unsettled), pictures(2, 32)
    expected = grounding(model, prepared, blank=prepared)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert grounding(model, prepared.clone(), blank=prepared.clone()) == expected
    with torch.enable_grad():
        assert grounding(model, prepared.clone().requires_grad_()) == grounding(model, prepared)


@pytest.mark.parametrize("left", [99, 1, 2, 3])
def test_the_model_is_left_as_found_also_after_an_exception(left):
    model, blanks = mixed(seeded(Unsettled)), pictures(2, 32)
    model.left = left
    state = State(model)
    if left == 99:
        found = grounding(model, pictures(1, 32)[0], blank=blanks)
        assert found == grounding(seeded(Unsettled), pictures(1, 32)[0], blank=blanks)
    else:
        with pytest.raises(BrokenError):
            grounding(model, pictures(1, 32)[0], blank=blanks)
    state.check()
