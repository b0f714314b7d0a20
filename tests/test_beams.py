"""Every caption of a beam, in one pass, against each explained alone and against ordinary backpropagation."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny import SMALL, Captioner, Stubborn, pictures, reference_gradcam, seeded

from mmcam import CaptionExplanation, ExplainError, explain_caption

CAPTIONS = ("a dog runs on the grass", "the big tree", "on water", "a cat on a tree", "the dog", "cat", "big grass on")


class Beams:
    """Gives a beam search's answer: of a few captions, the likeliest for each picture, with their log-probabilities."""

    captions = CAPTIONS

    def beams(self, x, beam):
        found = []
        for picture in x:
            own = []
            for caption in self.captions:
                tokens = self.encode(caption)
                log_probs = self.token_log_probs(picture[None].clone(), torch.tensor([tokens]))
                own.append((tokens, float(log_probs.detach().sum())))
            found.append(sorted(own, key=lambda item: -item[1])[:beam])
        return found


class Searching(Beams, Captioner):
    pass


class StubbornSearching(Beams, Stubborn):
    """Takes its number of rows from the pictures, so none may be added behind its encoder."""


class Normalising(Searching):
    """Works in place on its input wherever it sees it."""

    def generate(self, x):
        x.add_(1)
        return super().generate(x)

    def beams(self, x, beam):
        found = super().beams(x.clone(), beam)
        x.add_(1)
        return found

    def token_log_probs(self, x, tokens):
        return super().token_log_probs(x.mul_(2), tokens)


class Muted(Searching):
    """Cannot say token 0, which fills up the shorter captions of a batch."""

    def token_log_probs(self, x, tokens):
        return super().token_log_probs(x, tokens).masked_fill(tokens == 0, -torch.inf)


class Uneven(Searching):
    """Finds one caption for dark pictures, two for light ones, and an empty one for each."""

    def beams(self, x, beam):
        found = super().beams(x, beam)
        return [[*own[: 1 + int(picture.mean() > 0)], ([], -9.0)] for own, picture in zip(found, x, strict=True)]


def built(kind):
    """A captioner that says different captions of different pictures."""
    model = seeded(kind)
    model.picture.weight.data *= 40
    model.output.weight.data *= 10
    return model


@pytest.fixture(params=[Searching, StubbornSearching, Normalising, Muted])
def model(request):
    return built(request.param)


@pytest.fixture
def captioner():
    return built(Searching)


def picture(seed=0, width=40, low=0, high=256):
    return Image.fromarray(np.random.default_rng(seed).integers(low, high, (30, width, 3), dtype=np.uint8))


def searched(model, image, beam):
    """The captions of the model's own search and their log-probabilities."""
    with torch.no_grad():
        (found,) = model.beams(SMALL(image)[0][None], beam)
    return [(" ".join(text for text, _ in model.words(tokens)), score) for tokens, score in found]


def everything(captions):
    return [exp for caption in captions for exp in (*caption, caption.whole)]


def same(one, other):
    assert (one.target, one.context, one.layer, one.method) == (other.target, other.context, other.layer, other.method)
    assert one.image.tobytes() == other.image.tobytes()
    assert one.geometry == other.geometry
    assert one.score == pytest.approx(other.score, abs=1e-4)
    torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-5 * float(other.values.max()) + 1e-12)


# --- exact ------------------------------------------------------------------------------------------------------------


def test_every_word_of_every_caption_equals_one_pass_a_word(model):
    made = explain_caption(model, picture(), beam=3)
    assert len(made) == 3
    nonempty = 0
    for caption in made:
        assert isinstance(caption, CaptionExplanation)
        tokens = torch.tensor([model.encode(caption.caption)])
        assert [word.target for word in caption] == caption.caption.split()
        for at, exp in [*(([i], word) for i, word in enumerate(caption)), (range(len(caption)), caption.whole)]:

            def score(tokens=tokens, at=at):
                return model.token_log_probs(SMALL(picture())[0][None], tokens)[0, list(at)].sum()

            expected = reference_gradcam(model, "encoder", score)[0]
            nonempty += bool(expected.max() > 0)
            torch.testing.assert_close(exp.values, expected, rtol=1e-3, atol=1e-5 * float(expected.max()) + 1e-12)
            assert exp.score == pytest.approx(float(score().detach()), abs=1e-4)
            assert exp.context == caption.caption
    assert nonempty >= 6


@pytest.mark.parametrize("beam", [1, 2, 5, 50])
def test_the_captions_are_the_searchs_own_the_likeliest_first(model, beam):
    found = searched(model, picture(), beam)
    made = explain_caption(model, picture(), beam=beam)
    assert [caption.caption for caption in made] == [text for text, _ in found]
    assert len(made) == min(beam, len(CAPTIONS))
    for caption, (_, score) in zip(made, found, strict=True):
        assert caption.whole.score == pytest.approx(score, abs=1e-4)
    assert all(one.whole.score > other.whole.score for one, other in itertools.pairwise(made))


def test_a_caption_of_a_beam_is_explained_as_any_caption(model):
    for caption in explain_caption(model, picture(), beam=4):
        alone = explain_caption(model, picture(), caption=caption.caption)
        for one, other in zip(everything([caption]), everything([alone]), strict=True):
            same(one, other)


def test_a_batch_is_its_pictures_one_by_one(model):
    """Pictures of different sizes keep their own."""
    images = [picture(seed, width) for seed, width in ((0, 40), (2, 25), (3, 60))]
    together = explain_caption(model, images, beam=2)
    assert len({tuple(caption.caption for caption in own) for own in together}) > 1
    for own, image in zip(together, images, strict=True):
        alone = explain_caption(model, image, beam=2)
        assert [caption.caption for caption in own] == [caption.caption for caption in alone]
        for one, other in zip(everything(own), everything(alone), strict=True):
            same(one, other)
            assert one.heatmap.shape == (30, image.width)


def test_a_picture_gives_a_list_of_captions_and_a_list_a_list_of_lists(captioner):
    assert isinstance(explain_caption(captioner, picture(), beam=1)[0], CaptionExplanation)
    ((only,),) = explain_caption(captioner, [picture()], beam=1)
    assert isinstance(only, CaptionExplanation)
    rows = explain_caption(captioner, pictures(2, 32), beam=2)
    assert [len(own) for own in rows] == [2, 2]


def test_pictures_with_different_numbers_of_captions_and_empty_ones():
    model = built(Uneven)
    images = [picture(0, high=60), picture(1, 25, low=200), picture(2, 50, high=60), picture(3, 33, low=200)]
    made = explain_caption(model, images, beam=3)
    assert [len(own) for own in made] == [1, 2, 1, 2]
    for own, image in zip(made, images, strict=True):
        for caption, text in zip(own, searched(built(Searching), image, len(own)), strict=True):
            assert caption.caption == text[0]
            same(caption.whole, explain_caption(model, image, caption=text[0]).whole)


def test_captions_of_pixel_methods_and_other_layers(model):
    for options in ({"method": "guided_backprop"}, {"layer": "encoder.0"}, {"layer": ["encoder.0", "encoder"]}):
        made = explain_caption(model, picture(), beam=2, **options)
        for caption in made:
            alone = explain_caption(model, picture(), caption=caption.caption, **options)
            for one, other in zip(everything([caption]), everything([alone]), strict=True):
                scale = float(other.values.abs().max())
                torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-5 * scale + 1e-12)
                assert one.layer == other.layer


def test_short_captions_are_filled_up_with_the_token_0():
    model = built(Searching)
    lengths = sorted(len(model.encode(caption)) for caption in CAPTIONS)
    seen = []
    scores = model.token_log_probs
    model.token_log_probs = lambda x, tokens: seen.append(tokens) or scores(x, tokens)
    explain_caption(model, picture(), beam=len(CAPTIONS))
    rows = seen[-1]
    assert rows.shape[1] == lengths[-1]
    assert sorted(set((rows != 0).sum(1).tolist())) == sorted(set(lengths))
    assert ((rows != 0).long().diff(dim=1) <= 0).all(), "the tokens stand first"


# --- cost -------------------------------------------------------------------------------------------------------------


def test_a_caption_costs_one_pass_through_the_encoder(captioner):
    images = [picture(0), picture(1)]
    explain_caption(captioner, images, beam=3)  # finds the layer
    captioner.encoded = 0
    captioner.beams(torch.stack([SMALL(image)[0] for image in images]), 3)
    searching, captioner.encoded = captioner.encoded, 0
    explain_caption(captioner, images, beam=3)
    assert captioner.encoded == searching + 2 * 3


# --- callers, and what is left behind ---------------------------------------------------------------------------------


def test_callers_without_gradients(model):
    images, prepared = [picture(0), picture(1)], pictures(2, 32)
    expected = [explain_caption(model, asked, beam=2) for asked in (images, prepared)]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = [explain_caption(model, asked, beam=2) for asked in (images, prepared.clone())]
        for own, others in zip(itertools.chain(*expected), itertools.chain(*got), strict=True):
            for one, other in zip(everything(own), everything(others), strict=True):
                torch.testing.assert_close(one.values, other.values)


def test_a_model_that_works_in_place_sees_each_picture_as_it_is():
    model, prepared = built(Normalising), pictures(2, 32)
    before = prepared.clone()
    expected = explain_caption(model, prepared, caption="the big tree")
    made = explain_caption(model, prepared, beam=1)
    model.said = [model.encode("the big tree")]
    for generated, other in zip(explain_caption(model, prepared), expected, strict=True):
        same(generated.whole, other.whole)
    for (caption,), one in zip(made, before, strict=True):
        same(caption.whole, explain_caption(model, one, caption=caption.caption).whole)
    assert torch.equal(prepared, before)


class BrokenError(Exception):
    pass


class Noisy(Searching):
    """Draws random numbers, drops some of the picture while training, and breaks where told to."""

    breaks = ""

    def __init__(self):
        super().__init__()
        self.dropout = torch.nn.Dropout(0.5)

    def beams(self, x, beam):
        torch.rand(3)
        assert not torch.is_grad_enabled(), "a search needs no graph"
        found = super().beams(x, beam)
        if self.breaks == "search":
            raise BrokenError
        self.breaks = self.breaks.replace("later", "words")
        return found

    def token_log_probs(self, x, tokens):
        torch.rand(3)
        found = super().token_log_probs(self.dropout(x), tokens)
        if self.breaks == "words":
            raise BrokenError
        return found


def mixed(model):
    """Some modules in train mode, some not, one parameter frozen, one with a gradient of the user's own."""
    model.breaks, model.encoded = "", 0
    model.train()
    model.lstm.eval()
    model.picture.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones_like(model.output.bias)
    return model


def test_the_model_is_left_as_found():
    expected = explain_caption(seeded(Noisy), picture(), beam=2)
    model = mixed(seeded(Noisy))
    state = State(model)
    made = explain_caption(model, picture(), beam=2)
    state.check()
    for one, other in zip(everything(made), everything(expected), strict=True):
        same(one, other)


@pytest.mark.parametrize("where", ["search", "later"])
def test_the_model_is_left_as_found_after_an_exception(where):
    model = mixed(seeded(Noisy))
    explain_caption(model, picture(), beam=2)
    model.breaks = where
    state = State(model)
    with pytest.raises(BrokenError):
        explain_caption(model, picture(), beam=2)
    state.check()


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_a_captioner_without_a_search():
    with pytest.raises(ExplainError) as error:
        explain_caption(seeded(Captioner), picture(), beam=2)
    assert str(error.value) == "Captioner has no method `beams`, so it gives one caption; leave beam= out."


@pytest.mark.parametrize("beam", [0, -1])
def test_a_beam_of_no_captions(captioner, beam):
    with pytest.raises(ExplainError) as error:
        explain_caption(captioner, picture(), beam=beam)
    assert str(error.value) == f"A beam of {beam} captions holds none; pass at least 1."


@pytest.mark.parametrize("beam", [2.5, "3", [2]])
def test_a_beam_of_a_broken_number(captioner, beam):
    with pytest.raises(ExplainError) as error:
        explain_caption(captioner, picture(), beam=beam)
    sentence = f"A beam holds a whole number of captions, and beam={beam!r} is none; pass for example 3."
    assert str(error.value) == sentence


def test_a_beam_finds_its_own_captions_and_explains_all_words(captioner):
    for extra in ({"word": "dog"}, {"word": 0}, {"caption": "the dog"}, {"word": "dog", "contrast": "cat"}):
        with pytest.raises(ExplainError) as error:
            explain_caption(captioner, picture(), beam=2, **extra)
        sentence = "beam= explains every word of the captions it finds; leave word= and caption= out."
        assert str(error.value) == sentence
    for extra in ({"contrast": "cat"}, {"position": 1}):
        with pytest.raises(ExplainError, match=r"^contrast= and position= belong to one word; name it with word=\.$"):
            explain_caption(captioner, picture(), beam=2, **extra)


@pytest.mark.parametrize("found", [[], [([], -1.0)]])
def test_a_search_that_finds_nothing(captioner, found):
    captioner.beams = lambda x, beam: [[([2], -1.0)], found][: len(x)]
    assert explain_caption(captioner, picture(), beam=2)[0].caption == "dog"
    with pytest.raises(ExplainError) as error:
        explain_caption(captioner, [picture(0), picture(1)], beam=2)
    assert str(error.value) == (
        "The captions of the beam have no word, so there is nothing to explain; pass one with caption=."
    )
