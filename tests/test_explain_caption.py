"""Words of a caption, in one pass, against one ordinary backward pass a word."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, Captioner, Stubborn, reference_evidence, reference_gradcam, seeded

import mmcam
from mmcam import CaptionExplanation, ExplainError, Explanation, explain_caption

CAPTION = "a dog runs on the grass"
LAYER = "encoder"


@pytest.fixture(params=(Captioner, Stubborn))
def model(request):
    return seeded(request.param)


@pytest.fixture
def captioner():
    return seeded(Captioner)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def manual(model, image, caption, positions, minus=()):
    """One word or several by one ordinary forward and backward pass; `minus` is (other caption, its positions)."""
    x = SMALL(image)[0][None]

    def score():
        found = model.token_log_probs(x, torch.tensor([model.encode(caption)]))[0, list(positions)].sum()
        if minus:
            found = found - model.token_log_probs(x, torch.tensor([model.encode(minus[0])]))[0, list(minus[1])].sum()
        return found

    if not minus:
        return reference_gradcam(model, LAYER, score)[0], float(score().detach())
    # The encoder runs for both captions; their activations are the same, so the gradients add up.
    x2 = torch.cat([x, x])

    def both():
        width = max(len(caption.split()), len(minus[0].split()))
        tokens = [model.encode(text) for text in (caption, minus[0])]
        rows = model.token_log_probs(x2, torch.tensor([[*row, *[0] * (width - len(row))] for row in tokens]))
        return rows[0, list(positions)].sum() - rows[1, list(minus[1])].sum()

    activations, gradients = reference_evidence(model, LAYER, both)
    weights = gradients.sum(0).mean((1, 2))
    return torch.einsum("k,khw->hw", weights, activations[0]).relu(), float(score().detach())


def agrees(exp, expected):
    values, score = expected
    assert values.max() > 0, "two empty maps agree"
    torch.testing.assert_close(exp.values, values, rtol=1e-4, atol=1e-5 * float(values.max()))
    assert exp.score == pytest.approx(score, abs=1e-4)


def test_every_word_in_one_pass_equals_one_pass_a_word(model):
    made = explain_caption(model, picture())
    assert isinstance(made, CaptionExplanation)
    assert made.caption == CAPTION
    assert [exp.target for exp in made] == CAPTION.split()
    nonempty = 0
    for i, exp in enumerate(made):
        values, score = manual(model, picture(), CAPTION, [i])
        nonempty += bool(values.max() > 0)
        torch.testing.assert_close(exp.values, values, rtol=1e-4, atol=1e-5 * float(values.max()) + 1e-12)
        assert exp.score == pytest.approx(score, abs=1e-4)
        assert exp.context == CAPTION
        assert exp.layer == LAYER
    assert nonempty >= 5


def test_the_whole_caption_is_the_sum_of_its_words(model):
    """The end token is left out, as in the original implementation."""
    made = explain_caption(model, picture())
    agrees(made.whole, manual(model, picture(), CAPTION, range(6)))
    assert made.whole.score == pytest.approx(sum(exp.score for exp in made), abs=1e-4)
    assert made.whole.target == CAPTION
    signed = sum(exp.weights for exp in made)
    torch.testing.assert_close(made.whole.weights, signed, rtol=1e-4, atol=1e-7)


def test_the_encoder_runs_once_for_all_words(captioner):
    explain_caption(captioner, picture())  # finds the layer
    captioner.encoded = 0
    explain_caption(captioner, picture())
    assert captioner.encoded == 1
    explain_caption(captioner, [picture(0), picture(1)])
    assert captioner.encoded == 3


@pytest.mark.parametrize(
    ("word", "at"),
    [("dog", 1), ("DOG", 1), ("dogs", 1), ("run", 2), ("running", 2), (3, 3), (-1, 5), ("on", 3), ("grasses", 5)],
)
def test_a_word_by_spelling_stem_and_position(captioner, word, at):
    exp = explain_caption(captioner, picture(), word)
    assert isinstance(exp, Explanation)
    assert exp.target == CAPTION.split()[at]
    agrees(exp, manual(captioner, picture(), CAPTION, [at]))


def test_spelling_comes_before_the_stem(captioner):
    captioner.VOCABULARY = ("", "a", "dogs", "dog")
    captioner.said = [[1, 2, 1, 3]]
    assert explain_caption(captioner, picture(), "dog").target == "dog"
    assert explain_caption(captioner, picture(), "dogs").target == "dogs"


def test_which_occurrence(captioner):
    caption = "the dog on the grass the cat"
    for position, at in ((None, 0), (0, 0), (3, 3), (-2, 5)):
        exp = explain_caption(captioner, picture(), "the", caption=caption, position=position)
        agrees(exp, manual(captioner, picture(), caption, [at]))


def test_a_phrase(model):
    exp = explain_caption(model, picture(), "on the grass")
    assert exp.target == "on the grass"
    agrees(exp, manual(model, picture(), CAPTION, [3, 4, 5]))
    with pytest.raises(ExplainError, match="no 'grass the'"):
        explain_caption(model, picture(), "grass the")


def test_a_caption_of_the_users_own(model):
    exp = explain_caption(model, picture(), "cat", caption="the big cat on a tree")
    assert exp.context == "the big cat on a tree"
    agrees(exp, manual(model, picture(), "the big cat on a tree", [2]))
    with pytest.raises(ExplainError, match="does not know 'zebra'"):
        explain_caption(model, picture(), caption="a zebra")


def test_an_absent_word_shows_the_caption_and_its_nearest_words(captioner):
    with pytest.raises(ExplainError, match=f"The caption '{CAPTION}' has no 'doge' .*nearest of its words: dog"):
        explain_caption(captioner, picture(), "doge")
    with pytest.raises(ExplainError, match=r"has no 'jumps' .*its words: a, dog, runs, on, the, grass.*position="):
        explain_caption(captioner, picture(), "jumps")
    with pytest.raises(ExplainError, match="An empty word"):
        explain_caption(captioner, picture(), "  ")


@pytest.mark.parametrize("position", [6, -7, 99])
def test_a_position_outside_the_caption(captioner, position):
    with pytest.raises(ExplainError, match=f"has positions 0…5; there is no position {position}"):
        explain_caption(captioner, picture(), position)
    with pytest.raises(ExplainError, match=f"no position {position}"):
        explain_caption(captioner, picture(), "cat", position=position)


def test_an_absent_word_scored_in_place_of_another(model):
    exp = explain_caption(model, picture(), "cat", position=1)
    assert exp.target == "cat"
    assert exp.context == "a cat runs on the grass"
    agrees(exp, manual(model, picture(), "a cat runs on the grass", [1]))
    phrase = explain_caption(model, picture(), "big cat", position=1)
    assert phrase.context == "a big cat runs on the grass"
    agrees(phrase, manual(model, picture(), "a big cat runs on the grass", [1, 2]))
    with pytest.raises(ExplainError, match="does not know 'zebra'"):
        explain_caption(model, picture(), "zebra", position=1)


def test_a_contrast_is_the_difference_of_two_captions(model):
    exp = explain_caption(model, picture(), "dog", contrast="cat")
    assert exp.target == "dog rather than cat"
    agrees(exp, manual(model, picture(), CAPTION, [1], ("a cat runs on the grass", [1])))
    longer = explain_caption(model, picture(), "grass", contrast="big tree")
    agrees(longer, manual(model, picture(), CAPTION, [5], ("a dog runs on the big tree", [5, 6])))
    with pytest.raises(ExplainError, match="does not know 'zebra'"):
        explain_caption(model, picture(), "dog", contrast="zebra")


def test_a_contrast_that_is_the_word_itself(model):
    for word, contrast, said in (("dog", "dog", "word"), ("dogs", "dog", "word"), ("the grass", "the grass", "phrase")):
        with pytest.raises(ExplainError) as error:
            explain_caption(model, picture(), word, contrast=contrast)
        assert str(error.value) == f"The {said} and its contrast are both {contrast!r}; choose two."
    with pytest.raises(ExplainError, match="The word and its contrast are both 'cat'"):
        explain_caption(model, [picture(0), picture(1)], 1, caption=["a dog", "a cat"], contrast="cat")


def test_contrast_and_position_need_a_word(captioner):
    for extra in ({"contrast": "cat"}, {"position": 2}):
        with pytest.raises(ExplainError, match="belong to one word"):
            explain_caption(captioner, picture(), **extra)


CAPTIONS = ("a dog runs on the grass", "the big tree", "water")


def test_captions_of_different_lengths_in_one_batch(model):
    images = [picture(seed) for seed in range(3)]
    made = explain_caption(model, images, caption=CAPTIONS)
    for exp, image, caption in zip(made, images, CAPTIONS, strict=True):
        assert [word.target for word in exp] == caption.split()
        for i, word in enumerate(exp):
            values, score = manual(model, image, caption, [i])
            torch.testing.assert_close(word.values, values, rtol=1e-4, atol=1e-5 * float(values.max()) + 1e-12)
            assert word.score == pytest.approx(score, abs=1e-4)
        values, _ = manual(model, image, caption, range(len(caption.split())))
        torch.testing.assert_close(exp.whole.values, values, rtol=1e-4, atol=1e-5 * float(values.max()) + 1e-12)


def test_the_models_own_captions_of_several_pictures(captioner):
    made = explain_caption(captioner, [picture(0), picture(1)])
    assert [exp.caption for exp in made] == [CAPTION, "the big tree"]
    assert isinstance(explain_caption(captioner, [picture(0)]), list)


def test_one_word_or_contrast_in_every_caption(model):
    captions = ["a dog on the grass", "the big dog"]
    images = [picture(0), picture(1)]
    made = explain_caption(model, images, "dog", caption=captions, contrast="cat")
    agrees(made[0], manual(model, images[0], captions[0], [1], ("a cat on the grass", [1])))
    agrees(made[1], manual(model, images[1], captions[1], [2], ("the big cat", [2])))
    with pytest.raises(ExplainError, match="The caption 'the big tree' has no 'dog'"):
        explain_caption(model, images, "dog")


def test_not_one_caption_a_picture(captioner):
    with pytest.raises(ExplainError, match="2 pictures and 3 captions; give one a picture"):
        explain_caption(captioner, [picture(0), picture(1)], caption=CAPTIONS)


def test_an_empty_caption(captioner):
    captioner.said = [[]]
    with pytest.raises(ExplainError, match="The caption has no word"):
        explain_caption(captioner, picture())


def test_a_caption_of_blanks_only(captioner):
    """Tokens that spell no word."""
    captioner.words = lambda tokens: [(captioner.VOCABULARY[t], [i]) for i, t in enumerate(tokens) if t]
    captioner.said = [[0, 0, 0]]
    for explain in (explain_caption, mmcam.grounding):
        with pytest.raises(ExplainError) as error:
            explain(captioner, picture())
        assert str(error.value) == "The caption has no word, so there is nothing to explain; pass one with caption=."
    captioner.beams = lambda x, beam: [[([0, 0], -1.0), ([2], -2.0)] for _ in x]
    assert [exp.caption for exp in explain_caption(captioner, picture(), beam=2)] == ["dog"]


def test_more_words_than_rows():
    """40 words of 3 pictures are 123 targets' rows: they go through the text side in chunks."""
    model = seeded(Captioner)
    caption = " ".join(CAPTIONS[0].split() * 7)[: -len(" on the grass")]
    images = [picture(seed) for seed in range(3)]
    made = explain_caption(model, images, caption=caption)
    for i in (0, 17, 38):
        values, _ = manual(model, images[2], caption, [i])
        torch.testing.assert_close(made[2][i].values, values, rtol=1e-3, atol=1e-4 * float(values.max()) + 1e-12)


@pytest.mark.parametrize("method", ["guided_backprop", "guided_gradcam"])
def test_pixel_methods_of_every_word(model, method):
    made = explain_caption(model, picture(), method=method)
    assert len(made) == 6
    assert any(exp.values.abs().max() > 0 for exp in made)
    for i, exp in enumerate(made):
        alone = explain_caption(model, picture(), i, method=method)
        torch.testing.assert_close(exp.values, alone.values, rtol=1e-4, atol=1e-9)
        assert exp.values.shape == (3, 32, 32)
    if method == "guided_gradcam":
        cams = explain_caption(model, picture())
        guided = explain_caption(model, picture(), method="guided_backprop")
        for both, cam, pixels in zip(made, cams, guided, strict=True):
            up = torch.nn.functional.interpolate(cam.values[None, None], (32, 32), mode="bilinear")[0]
            torch.testing.assert_close(both.values, up * pixels.values, rtol=1e-4, atol=1e-10)
    contrast = explain_caption(model, picture(), "dog", contrast="cat", method=method)
    assert contrast.values.shape == (3, 32, 32)
    assert contrast.score == pytest.approx(explain_caption(model, picture(), "dog", contrast="cat").score, abs=1e-5)


def test_callers_without_gradients(model):
    expected = explain_caption(model, [picture(0), picture(1)], "the", contrast="a")
    every = explain_caption(model, picture())
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = explain_caption(model, [picture(0), picture(1)], "the", contrast="a")
            words = explain_caption(model, picture())
        for one, other in zip([*expected, *every], [*got, *words], strict=True):
            torch.testing.assert_close(one.values, other.values)


def test_a_captioner_of_subwords():
    """A word's score is the sum over its tokens."""

    class Subwords(Captioner):
        def words(self, tokens):
            spelt = []
            for i, token in enumerate(tokens):
                if spelt and self.VOCABULARY[token] == "dog":
                    spelt[-1] = (spelt[-1][0] + "dog", [*spelt[-1][1], i])
                else:
                    spelt.append((self.VOCABULARY[token], [i]))
            return spelt

    model = seeded(Subwords)
    model.said = [[6, 9, 2, 4]]  # the bigdog runs
    made = explain_caption(model, picture())
    assert [exp.target for exp in made] == ["the", "bigdog", "runs"]
    agrees(made[1], manual(model, picture(), "the big dog runs", [1, 2]))
    swapped = explain_caption(model, picture(), "bigdog", contrast="cat")
    agrees(swapped, manual(model, picture(), "the big dog runs", [1, 2], ("the cat runs", [1])))


def test_a_model_that_is_no_captioner():
    with pytest.raises(ExplainError, match="Conv2d is no captioner: it lacks generate, token_log_probs, encode, words"):
        explain_caption(torch.nn.Conv2d(3, 3, 1), picture())
    assert isinstance(seeded(Captioner), mmcam.Captioner)


def test_the_captioner_is_left_as_found(model):
    model.train()
    explain_caption(model, picture(), "dog", contrast="cat")
    assert all(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_word_is_explained_without_what_comes_behind_it():
    """The model reads as far as the last token that counts, and the map is that of the whole caption."""
    net, lengths = seeded(Captioner), []
    original = net.token_log_probs
    picture = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    caption = " ".join(word for word, _ in net.words(net.said[0]))
    words = caption.split()
    every = explain_caption(net, picture, caption=caption)
    net.token_log_probs = lambda x, tokens: lengths.append(tokens.shape[1]) or original(x, tokens)
    one = explain_caption(net, picture, 1, caption=caption)
    assert set(lengths) == {2}
    assert len(words) > 2
    torch.testing.assert_close(one.values, every[1].values, rtol=1e-4, atol=1e-7)
    assert one.context == every[1].context
