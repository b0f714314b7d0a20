"""A model's own attention, on models whose attention is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny import SMALL, VQA, Captioner, Gap, Stubborn, pictures, seeded
from torch import nn

from mmcam import METHODS, ExplainError, attribute, explain_answer, explain_caption, explain_class

CAPTION = "a dog runs on the grass"
QUESTION = "is it on the grass"


def one_hot(cells, side=4):
    """Cells (…) → maps (…, side, side) that are 1 there."""
    return nn.functional.one_hot(cells % side**2, side**2).float().unflatten(-1, (side, side))


def brightest(x, side=4):
    """The brightest cell of each picture, (R,)."""
    return nn.functional.adaptive_avg_pool2d(x.mean(1), side).flatten(1).argmax(1)


class Looking:
    """A captioner that looks at the cell of a token's number, three for each step later, and at the brightest one."""

    def attention(self, x, tokens):
        assert not torch.is_grad_enabled(), "attention needs no graph"
        steps = torch.arange(tokens.shape[1])
        light = one_hot(brightest(x))[:, None].expand(-1, tokens.shape[1], -1, -1)
        return {"light": light, "step": one_hot(tokens + 3 * steps)}


class Attending(Looking, Captioner):
    pass


class StubbornAttending(Looking, Stubborn):
    """Takes its number of rows from the pictures."""


class Searching(Attending):
    def beams(self, x, beam):
        return [[([1, 2, 4], -1.0), ([6, 9], -2.0), ([8], -3.0)][:beam] for _ in x]


class Subwords(Attending):
    """Spells the word after "big" as one with it."""

    def words(self, tokens):
        spelt = []
        for i, token in enumerate(tokens):
            if spelt and spelt[-1][0] == "big":
                spelt[-1] = ("big" + self.VOCABULARY[token], [*spelt[-1][1], i])
            else:
                spelt.append((self.VOCABULARY[token], [i]))
        return spelt


class Asked(VQA):
    """Looks where the number of letters of the question says, then at the brightest cell."""

    def attention(self, x, questions):
        assert not torch.is_grad_enabled(), "attention needs no graph"
        letters = torch.tensor([len(question) for question in questions])
        return {"hop 1": one_hot(letters), "hop 2": one_hot(brightest(x), 4)}


@pytest.fixture(params=[Attending, StubbornAttending])
def model(request):
    return seeded(request.param)


@pytest.fixture
def captioner():
    return seeded(Attending)


@pytest.fixture
def vqa():
    return seeded(Asked)


def picture(seed=0, cell=5):
    """Noise, brighter in one of 4×4 cells."""
    pixels = np.random.default_rng(seed).integers(0, 100, (32, 64, 3), dtype=np.uint8)
    pixels[8 * (cell // 4) :, 16 * (cell % 4) :][:8, :16] += 100
    return Image.fromarray(pixels)


def attend(model, *asked, **options):
    explain = explain_answer if isinstance(model, VQA) else explain_caption
    return explain(model, *asked, method="attention", **options)


def cells(model, caption):
    """Where each token of a caption is looked for."""
    return [(token + 3 * step) % 16 for step, token in enumerate(model.encode(caption))]


def spread(places):
    """The mean of the maps of several cells."""
    expected = torch.zeros(16)
    for place in places:
        expected[place] += 1 / len(places)
    return expected.view(4, 4)


# --- captions ---------------------------------------------------------------------------------------------------------


def test_a_words_map_is_that_of_its_step(model):
    made = attend(model, picture())
    assert made.caption == CAPTION
    for exp, cell in zip(made, cells(model, CAPTION), strict=True):
        assert torch.equal(exp.values, spread([cell]))
        assert (exp.method, exp.layer, exp.weights, exp.note) == ("attention", "attention", None, "")
        x, y = exp.peak()
        assert (y // 8, x // 16) == divmod(cell, 4)
        assert exp.heatmap.shape == (32, 64)


def test_the_whole_caption_is_the_mean_over_its_tokens(model):
    whole = attend(model, picture()).whole
    torch.testing.assert_close(whole.values, spread(cells(model, CAPTION)))
    assert whole.values.sum() == pytest.approx(1)


@pytest.mark.parametrize("word", ["dog", "on the grass", 4, "runs on"])
def test_one_word_or_phrase(model, word):
    exp = attend(model, picture(), word)
    words = CAPTION.split()
    wanted = [words[word]] if isinstance(word, int) else word.split()
    start = words.index(wanted[0])
    torch.testing.assert_close(exp.values, spread(cells(model, CAPTION)[start : start + len(wanted)]))
    assert exp.target == " ".join(wanted)


def test_a_word_of_several_tokens_is_their_mean():
    model = seeded(Subwords)
    made = attend(model, picture(), caption="the big dog runs")
    at = cells(model, "the big dog runs")
    assert [exp.target for exp in made] == ["the", "bigdog", "runs"]
    assert len(set(at)) == 4
    torch.testing.assert_close(made[1].values, spread(at[1:3]))
    torch.testing.assert_close(made.whole.values, spread(at))
    phrase = attend(model, picture(), "bigdog runs", caption="the big dog runs")
    torch.testing.assert_close(phrase.values, spread(at[1:]))


def test_the_score_is_that_of_other_methods(model):
    for exp, other in zip(attend(model, picture()), explain_caption(model, picture()), strict=True):
        assert exp.score == pytest.approx(other.score, abs=1e-5)


def test_captions_of_different_lengths_in_one_batch(model):
    """Padding is not looked at."""
    captions, bright = [CAPTION, "the big tree", "water"], [2, 11, 7]
    images = [picture(seed, cell) for seed, cell in enumerate(bright)]
    together = attend(model, images, caption=captions)
    light = attend(model, images, caption=captions, level="light")
    for n, caption in enumerate(captions):
        for exp, cell in zip(together[n], cells(model, caption), strict=True):
            assert torch.equal(exp.values, spread([cell]))
        torch.testing.assert_close(together[n].whole.values, spread(cells(model, caption)))
        alone = attend(model, images[n], caption=caption)
        assert [exp.score for exp in alone] == pytest.approx([exp.score for exp in together[n]], abs=1e-5)
        assert all(torch.equal(exp.values, spread([bright[n]])) for exp in light[n])


def test_captions_of_a_beam():
    model = seeded(Searching)
    made = attend(model, [picture(0, 3), picture(1, 9)], beam=3, level="light")
    assert [[caption.caption for caption in own] for own in made] == [["a dog runs", "the big", "water"]] * 2
    for own, cell in zip(made, (3, 9), strict=True):
        assert all(torch.equal(exp.values, spread([cell])) for caption in own for exp in caption)
    (first, *_) = attend(model, picture(), beam=2)
    assert torch.equal(first[2].values, spread([cells(model, "a dog runs")[2]]))


# --- answers ----------------------------------------------------------------------------------------------------------


def test_an_answers_map(vqa):
    images = [picture(0, 6), picture(1, 13)]
    questions = [QUESTION, "what is it"]
    for exp, cell in zip(attend(vqa, images, questions), (6, 13), strict=True):
        assert torch.equal(exp.values, spread([cell]))
        assert exp.layer == "attention"
        assert exp.weights is None
    for exp, question in zip(attend(vqa, images, questions, level="hop 1"), questions, strict=True):
        assert torch.equal(exp.values, spread([len(question) % 16]))
    single = attend(vqa, images[1], questions[1])
    assert torch.equal(single.values, spread([13]))


def test_every_answer_has_the_same_map_and_its_own_score(vqa):
    made = [attend(vqa, picture(), QUESTION, answer) for answer in (None, "no", "two")]
    assert all(torch.equal(exp.values, made[0].values) for exp in made)
    for exp, answer in zip(made, (None, "no", "two"), strict=True):
        other = explain_answer(vqa, picture(), QUESTION, answer)
        assert (exp.target, exp.context) == (other.target, QUESTION)
        assert exp.score == pytest.approx(other.score, abs=1e-5)


# --- levels -----------------------------------------------------------------------------------------------------------


def test_the_last_level_is_the_default_and_the_mean_is_of_all(captioner, vqa):
    exp = {level: attend(captioner, picture(0, 14), "dog", level=level) for level in ("", "step", "light", "mean")}
    at = cells(captioner, CAPTION)[1]
    assert torch.equal(exp[""].values, exp["step"].values)
    assert torch.equal(exp["light"].values, spread([14]))
    torch.testing.assert_close(exp["mean"].values, spread([at, 14]))
    mean = attend(vqa, picture(0, 9), QUESTION, level="mean")
    torch.testing.assert_close(mean.values, spread([len(QUESTION) % 16, 9]))


def test_an_unknown_level_names_those_there_are(captioner, vqa):
    with pytest.raises(ExplainError) as error:
        attend(captioner, picture(), level="layer 1")
    assert str(error.value) == "The attention has no level 'layer 1'; there are light, step and mean."
    with pytest.raises(ExplainError, match=r"has no level 'hop 3'; there are hop 1, hop 2 and mean\."):
        attend(vqa, picture(), QUESTION, level="hop 3")
    with pytest.raises(ExplainError, match="Option level=2 of method 'attention' has to be of type str"):
        attend(vqa, picture(), QUESTION, level=2)
    with pytest.raises(ExplainError, match="Method 'gradcam' has no option 'level'"):
        explain_answer(vqa, picture(), QUESTION, level="hop 1")


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_a_model_without_attention():
    sentence = (
        " shows no attention of its own; a captioner or VQA model with a method `attention` does, and "
        "method='gradcam' needs none."
    )
    for kind, asked in ((Captioner, ()), (VQA, (QUESTION,))):
        with pytest.raises(ExplainError) as error:
            attend(seeded(kind), picture(), *asked)
        assert str(error.value) == kind.__name__ + sentence
    with pytest.raises(ExplainError) as error:
        attribute(seeded(Gap), pictures(), [0], method="attention")
    assert str(error.value) == "Gap" + sentence
    with pytest.raises(ExplainError, match="Gap shows no attention of its own"):
        explain_class(seeded(Gap), picture(), 0, method="attention", preprocess=SMALL)


def test_a_contrast(captioner, vqa):
    with pytest.raises(ExplainError, match=r"^Attention compares no two versions of a text; leave contrast= .* out\.$"):
        attend(captioner, picture(), "dog", contrast="cat")
    with pytest.raises(ExplainError, match=r"^Attention knows no contrast: it is the same for both; leave contrast= "):
        attend(vqa, picture(), QUESTION, "no", contrast="yes")


def test_words_of_a_question(vqa):
    with pytest.raises(ExplainError, match=r"^Attention compares no two versions of a text; leave .*by_word= out\.$"):
        attend(vqa, picture(), QUESTION, by_word=True)


def test_it_reads_no_layer(captioner):
    """A layer that is there is not claimed to be read; one that is not is named."""
    assert attend(captioner, picture(), "dog", layer="encoder.0").layer == "attention"
    with pytest.raises(ExplainError, match="There is no layer 'encodr' in Attending; did you mean encoder"):
        attend(captioner, picture(), "dog", layer="encodr")
    with pytest.raises(ExplainError, match="Method 'attention' reads no layer, so there is nothing to fuse"):
        attend(captioner, picture(), "dog", layer=["encoder.0", "encoder"])
    assert METHODS["attention"].family == "attention"
    assert not METHODS["attention"].pixels


def test_a_question_the_model_cannot_read(vqa):
    def refuse(x, questions):
        raise ValueError("The question holds no word the model knows.")

    vqa.attention = refuse
    with pytest.raises(ExplainError, match=r"^The question holds no word the model knows\.$"):
        attend(vqa, picture(), QUESTION)


# --- callers, and what is left behind ---------------------------------------------------------------------------------


def test_callers_without_gradients(model, vqa):
    prepared = pictures(2, 32)
    for asked in ((model, prepared, "dog"), (vqa, prepared, QUESTION)):
        model.said = [model.encode(CAPTION)]
        expected = attend(*asked)
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                got = attend(asked[0], prepared.clone(), asked[2])
            for one, other in zip(expected, got, strict=True):
                assert torch.equal(one.values, other.values)
                assert not other.values.is_inference()


class BrokenError(Exception):
    pass


class Unsettled:
    """Draws random numbers, drops some of the picture while training, works on it in place, and breaks where told."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.breaks = ""

    def unsettle(self, x, what):
        torch.rand(3)
        assert not self.dropout.training
        if self.breaks == what:
            raise BrokenError
        return self.dropout(x.mul_(-1))

    def attention(self, x, texts):
        return super().attention(self.unsettle(x, "attention"), texts)

    def token_log_probs(self, x, tokens):
        return super().token_log_probs(self.unsettle(x, "scores"), tokens)

    def answer_scores(self, x, questions):
        return super().answer_scores(self.unsettle(x, "scores"), questions)


class UnsettledCaptioner(Unsettled, Attending):
    pass


class UnsettledVQA(Unsettled, Asked):
    pass


def mixed(model):
    """Some modules in train mode, some not, one parameter frozen, one with a gradient of the user's own."""
    model.train()
    model.encoder[1].eval()
    model.picture.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones_like(model.output.bias)
    return model


@pytest.mark.parametrize(("kind", "asked"), [(UnsettledCaptioner, "dog"), (UnsettledVQA, QUESTION)])
@pytest.mark.parametrize("where", ["", "attention", "scores"])
def test_the_model_is_left_as_found_also_after_an_exception(kind, asked, where):
    model, prepared = mixed(seeded(kind)), pictures(1, 32)
    model.breaks, model.encoded, before = where, 7, prepared.clone()
    state = State(model)
    if where:
        with pytest.raises(BrokenError):
            attend(model, prepared[0], asked)
    else:
        exp = attend(model, prepared[0], asked)
        turned = brightest(-prepared)
        if kind is UnsettledVQA:
            assert torch.equal(exp.values, spread(turned.tolist()))
        same = explain_answer if kind is UnsettledVQA else explain_caption
        assert exp.score == pytest.approx(same(model, prepared[0], asked).score, abs=1e-5)
    state.check()
    assert torch.equal(prepared, before)
