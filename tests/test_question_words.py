"""What the words of a question have to do with the answer, against one ordinary backward pass a version of it."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny import SMALL, VQA, pictures, reference_evidence, seeded
from torch import nn

from mmcam import ExplainError, Explanation, Preprocess, QuestionExplanation, explain_answer
from models import load

QUESTION = "is the bright thing upon grassland"  # no two words of one length, so that the small model tells them apart


class Counting(nn.Sequential):
    """Layers that count the rows they have seen."""

    def __init__(self, *layers):
        super().__init__(*layers)
        self.rows = 0

    def forward(self, x):
        self.rows += len(x)
        return super().forward(x)


class Shared(VQA):
    """One encoder for all versions of a question, whose rows are counted; a word blanked is left out."""

    def __init__(self):
        super().__init__()
        self.encoder = Counting(*self.encoder)


class Filled(Shared):
    """Has a word without meaning, to be put in place of another."""

    blank_word = "x" * 40


class Stubborn(Shared):
    """Takes its number of rows from the pictures, so none may be added behind its encoder."""

    def answer_scores(self, x, questions):
        asked = torch.stack([self.words(torch.tensor([len(w) for w in q.split()])).sum(0) for q in questions])
        seen = self.picture(self.encoder(x).reshape(x.shape[0], 8 * 8 * 8))
        return self.output(torch.tanh(seen) * torch.tanh(asked))


class Strict(Shared):
    """Says with a ValueError that it wants one question a picture."""

    def answer_scores(self, x, questions):
        if len(x) != len(questions):
            raise ValueError(f"{len(questions)} questions for {len(x)} pictures")
        return super().answer_scores(x, questions)


class Normalising(Shared):
    """Works in place on its input."""

    def answer_scores(self, x, questions):
        x.sub_(0.2).mul_(2)
        return super().answer_scores(x, questions)


@pytest.fixture(params=[Shared, Filled, Stubborn, Strict, Normalising])
def model(request):
    return seeded(request.param)


@pytest.fixture
def vqa():
    return seeded(Shared)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def without(model, question, i):
    """The question with word i blanked, written out."""
    words = question.split()
    words[i : i + 1] = [model.blank_word] if hasattr(model, "blank_word") else []
    return " ".join(words)


def evidence(model, image, question, score):
    """Activations (K,h,w), gradient (K,h,w) and score of one version of a question, by ordinary backpropagation."""
    x = SMALL(image)[0][None]

    def run():
        return score(model.answer_scores(x.clone(), [question])[0])

    activations, gradient = reference_evidence(model, "encoder", run)
    with torch.no_grad():
        return activations[0], gradient[0], float(run())


def predicted(model, image, question):
    with torch.no_grad():
        return int(model.answer_scores(SMALL(image)[0][None], [question]).argmax())


def agrees(exp, model, image, question, score, word=None):
    """The answer's map, or a word's: that of the difference of two versions of the question."""
    activations, gradient, value = evidence(model, image, question, score)
    if word is not None:
        same, other, lost = evidence(model, image, without(model, question, word), score)
        torch.testing.assert_close(same, activations)
        gradient, value = gradient - other, value - lost
    weights = gradient.mean((1, 2))
    expected = torch.einsum("k,khw->hw", weights, activations).relu()
    torch.testing.assert_close(exp.weights, weights, rtol=1e-3, atol=1e-5 * float(weights.abs().max()))
    torch.testing.assert_close(exp.values, expected, rtol=1e-3, atol=1e-4 * float(expected.max()) + 1e-12)
    assert exp.score == pytest.approx(value, abs=1e-5)
    return bool(expected.max() > 0)


# --- exact ------------------------------------------------------------------------------------------------------------


def test_every_words_map_is_that_of_the_difference_of_two_questions(model):
    made = explain_answer(model, picture(), QUESTION, "red", by_word=True)
    assert isinstance(made, QuestionExplanation)
    assert [word.target for word in made] == QUESTION.split()
    assert agrees(made.answer, model, picture(), QUESTION, lambda scores: scores[2])
    nonempty = [agrees(word, model, picture(), QUESTION, lambda scores: scores[2], i) for i, word in enumerate(made)]
    assert sum(nonempty) >= 4, "empty maps agree with anything"
    assert len({round(word.score, 5) for word in made}) == len(made)


def test_the_answer_is_the_one_without_its_words(model):
    made = explain_answer(model, picture(), QUESTION, "no", by_word=True)
    alone = explain_answer(model, picture(), QUESTION, "no")
    torch.testing.assert_close(made.answer.values, alone.values, rtol=1e-4, atol=1e-6 * float(alone.values.max()))
    assert made.answer.score == pytest.approx(alone.score, abs=1e-5)
    assert made.answer.summary().keys() == alone.summary().keys()
    assert (made.answer.target, made.answer.context, made.answer.layer) == ("no", QUESTION, "encoder")


def test_a_contrast_of_two_answers(model):
    made = explain_answer(model, picture(), QUESTION, "no", contrast="two", by_word=True)
    assert made.answer.target == "no rather than two"
    assert {word.context for word in made} == {f"{QUESTION} — no rather than two"}
    assert agrees(made.answer, model, picture(), QUESTION, lambda scores: scores[1] - scores[4])
    for i, word in enumerate(made):
        agrees(word, model, picture(), QUESTION, lambda scores: scores[1] - scores[4], i)


def test_the_models_own_answer_stays_the_answer_when_a_word_is_blanked(vqa):
    """Without the word the model may answer otherwise; its loss is still that of the answer it gave."""
    torch.nn.init.zeros_(vqa.output.bias)  # else one answer is always given
    changed = 0
    for seed in range(4):
        index = predicted(vqa, picture(seed), QUESTION)
        made = explain_answer(vqa, picture(seed), QUESTION, by_word=True)
        assert made.answer.target == vqa.answers[index]
        for i, word in enumerate(made):
            changed += predicted(vqa, picture(seed), without(vqa, QUESTION, i)) != index
            agrees(word, vqa, picture(seed), QUESTION, lambda scores: scores[index], i)  # noqa: B023
    assert changed > 2, "the answers never change, so this shows nothing"


QUESTIONS = ("is it", QUESTION, "what on earth")


@pytest.mark.parametrize("answer", [None, "green grass"])
def test_questions_of_different_lengths_in_one_batch(model, answer):
    images = [picture(seed) for seed in range(3)]
    together = explain_answer(model, images, QUESTIONS, answer, by_word=True)
    assert [made.question for made in together] == list(QUESTIONS)
    for made, image, question in zip(together, images, QUESTIONS, strict=True):
        assert [word.target for word in made] == question.split()
        alone = explain_answer(model, image, question, answer, by_word=True)
        assert (made.answer.target, made.answer.context) == (alone.answer.target, question)
        for one, other in zip([*made, made.answer], [*alone, alone.answer], strict=True):
            torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-5 * float(other.values.max()))
            assert one.score == pytest.approx(other.score, abs=1e-5)
            assert (one.target, one.context, one.image.tobytes()) == (other.target, other.context, image.tobytes())


def test_one_question_for_all_pictures_and_lists_of_one(vqa):
    images = [picture(seed) for seed in range(2)]
    made = explain_answer(vqa, images, QUESTION, "red", by_word=True)
    assert [len(exp) for exp in made] == [6, 6]
    for i in (0, 3):
        agrees(made[1][i], vqa, images[1], QUESTION, lambda scores: scores[2], i)
    assert isinstance(explain_answer(vqa, images[:1], QUESTION, by_word=True), list)
    assert isinstance(explain_answer(vqa, images[0], QUESTION), Explanation), "words are not explained unasked"


def test_many_words_go_through_in_chunks(vqa):
    """25 targets of 25 versions of the question: one copy at a time."""
    question = " ".join(QUESTION.split() * 4)
    made = explain_answer(vqa, picture(), question, "yes", by_word=True)
    for i in (0, 13, 23):
        agrees(made[i], vqa, picture(), question, lambda scores: scores[0], i)


def test_a_layer_of_ones_choosing(vqa):
    made = explain_answer(vqa, picture(), QUESTION, "red", by_word=True, layer="encoder.0")
    assert {exp.layer for exp in (*made, made.answer)} == {"encoder.0"}
    assert made[2].values.shape == (16, 16)
    fused = explain_answer(vqa, picture(), QUESTION, "red", by_word=True, layer=["encoder.0", "encoder"])
    assert fused[2].layer == "encoder.0 + encoder"


@pytest.mark.parametrize("kind", [Shared, Stubborn])
def test_pixel_methods_give_the_difference_of_two_gradients(kind):
    model, x = seeded(kind), SMALL(picture())[0][None]
    made = explain_answer(model, picture(), QUESTION, "red", by_word=True, method="gradient")
    for i, word in enumerate(made):
        pixels = x.clone().requires_grad_()
        full, less = (model.answer_scores(pixels, [q])[0, 2] for q in (QUESTION, without(model, QUESTION, i)))
        (expected,) = torch.autograd.grad(full - less, pixels)
        scale = float(expected.abs().max())
        assert scale > 0
        torch.testing.assert_close(word.values, expected[0], rtol=1e-3, atol=1e-5 * scale)
        assert word.score == pytest.approx(float((full - less).detach()), abs=1e-5)
        assert word.layer == "pixels"


@pytest.mark.parametrize(("method", "options"), [("occlusion", {"patch": 16, "stride": 16}), ("guided_gradcam", {})])
def test_other_methods_of_several_questions(model, method, options):
    images, questions = [picture(0), picture(1)], [QUESTION, "is it"]
    together = explain_answer(model, images, questions, "red", by_word=True, method=method, **options)
    for made, image, question in zip(together, images, questions, strict=True):
        alone = explain_answer(model, image, question, "red", by_word=True, method=method, **options)
        assert any(word.values.any() for word in alone)
        for one, other in zip([*made, made.answer], [*alone, alone.answer], strict=True):
            scale = float(other.values.abs().max())
            torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-4 * scale + 1e-7)


# --- the picture meets the word ---------------------------------------------------------------------------------------


class Halves(nn.Module):
    """The brightness of the left half of a picture, and of its right half, a channel each."""

    def forward(self, x):
        left = torch.arange(x.shape[3]) < x.shape[3] // 2
        light = x.mean(1, keepdim=True)
        return torch.cat([light * left, light * ~left], dim=1)


class Planted(nn.Module):
    """Says "bright" by the half that is named, and by nothing else; "not" turns it round."""

    blank_word = ""

    def __init__(self):
        super().__init__()
        self.preprocess = Preprocess(size=(32, 32), mode="squash", mean=(0.0,) * 3, std=(1.0,) * 3)
        self.answers = ("dark", "bright")
        self.halves = Halves()

    def answer_scores(self, x, questions):
        gates = torch.tensor([[word in q.split() for word in ("left", "right")] for q in questions]).float()
        sign = torch.tensor([-1.0 if "not" in q.split() else 1.0 for q in questions])
        bright = sign * (self.halves(x).mean((2, 3)) * gates).sum(1)
        return torch.stack([-bright, bright], dim=1)


def halves(exp):
    """The share of a heatmap in the outer columns of the left and of the right half."""
    total = exp.heatmap.sum()
    width = exp.heatmap.shape[1] // 2
    return float(exp.heatmap[:, :width].sum() / total), float(exp.heatmap[:, -width:].sum() / total)


def test_a_words_map_falls_where_the_word_opens_a_gate():
    image = Image.fromarray(np.random.default_rng(0).integers(100, 256, (30, 80, 3), dtype=np.uint8))
    made = explain_answer(Planted(), image, "is it bright left or right", "bright", layer="halves", by_word=True)
    scores = {word.target: word.score for word in made}
    light = np.asarray(image).mean() / 255
    assert scores["left"] + scores["right"] == pytest.approx(made.answer.score, abs=1e-5)
    assert made.answer.score == pytest.approx(light, abs=0.01)
    for word in made:
        if word.target in ("left", "right"):
            assert word.score > 0.2
            assert halves(word)[word.target == "right"] > 0.98
            assert word.note == ""
        else:
            assert word.score == 0
            assert word.empty
            assert f"nothing in the picture raises the score of '{word.target}'" in word.note
    assert max(halves(made.answer)) < 0.6


def test_a_word_that_speaks_against_the_answer_has_a_negative_score_and_an_empty_map():
    image = Image.new("RGB", (40, 40), "white")
    made = explain_answer(Planted(), image, "not left", "bright", layer="halves", by_word=True)
    assert made[0].target == "not"
    assert made[0].score == pytest.approx(-1.0)
    assert made[0].empty
    dark = explain_answer(Planted(), image, "not left", "dark", layer="halves", by_word=True)
    assert dark[0].score == pytest.approx(1.0)
    assert halves(dark[0])[0] > 0.98


def test_gates_of_several_pictures_stay_apart():
    images = [Image.new("RGB", (40, 40), "white")] * 3
    questions = ["left", "is it bright on the right", "and left here"]
    model = Planted()
    model.blank_word = "so"
    made = explain_answer(model, images, questions, "bright", layer="halves", by_word=True)
    assert [len(exp) for exp in made] == [1, 6, 3]
    assert halves(made[0][0])[0] > 0.98
    assert halves(made[1][5])[1] > 0.98
    assert halves(made[2][1])[0] > 0.98
    assert sum(not word.empty for exp in made for word in exp) == 3


# --- cost -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Shared, Filled])
def test_all_words_share_one_pass_through_the_encoder(kind):
    model = seeded(kind)
    images, questions = [picture(0), picture(1)], [QUESTION, "is it"]
    explain_answer(model, images, questions, by_word=True)  # finds the layer
    model.encoder.rows = 0
    explain_answer(model, images, questions, by_word=True)
    assert model.encoder.rows == 2
    explain_answer(model, images[0], QUESTION, "no", contrast="yes", by_word=True)
    assert model.encoder.rows == 3


# --- callers, and what is left behind ---------------------------------------------------------------------------------


def test_callers_without_gradients(model):
    images = [picture(0), picture(1)]
    expected = explain_answer(model, images, [QUESTION, "is it"], contrast="two", by_word=True)
    prepared = pictures(1, 32)[0]
    own = explain_answer(model, prepared, QUESTION, by_word=True)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = explain_answer(model, images, [QUESTION, "is it"], contrast="two", by_word=True)
            within = explain_answer(model, prepared.clone(), QUESTION, by_word=True)
        for made, other in zip([*expected, own], [*got, within], strict=True):
            for one, same in zip([*made, made.answer], [*other, other.answer], strict=True):
                torch.testing.assert_close(one.values, same.values)
                assert one.score == same.score


def test_a_picture_given_as_a_tensor_is_not_touched():
    prepared = pictures(2, 32)
    before = prepared.clone()
    explain_answer(seeded(Normalising), prepared, QUESTION, by_word=True)
    assert torch.equal(prepared, before)


class BrokenError(Exception):
    pass


class Noisy(Shared):
    """Draws random numbers, drops some while training, and breaks at a word."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def answer_scores(self, x, questions):
        torch.rand(3)
        scores = super().answer_scores(self.dropout(x), questions)
        if any(question.startswith("broken") for question in questions):
            raise BrokenError
        return scores


def mixed(model):
    """Some modules in train mode, some not, one parameter frozen, one with a gradient of the user's own."""
    model.train()
    model.encoder[1].eval()
    model.picture.weight.requires_grad_(False)
    model.output.bias.grad = torch.ones_like(model.output.bias)
    return model


def test_the_model_is_left_as_found():
    model = mixed(seeded(Noisy))
    expected = explain_answer(seeded(Noisy), picture(), QUESTION, "red", by_word=True)
    state = State(model)
    made = explain_answer(model, picture(), QUESTION, "red", by_word=True)
    state.check()
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one.values, other.values)


@pytest.mark.parametrize("question", ["broken is it", "is broken"])
def test_the_model_is_left_as_found_after_an_exception(question):
    """The second breaks only at the version without its first word."""
    model = mixed(seeded(Noisy))
    explain_answer(model, picture(), QUESTION, by_word=True)
    state = State(model)
    with pytest.raises(BrokenError):
        explain_answer(model, picture(), question, by_word=True)
    state.check()


# --- wrong input ------------------------------------------------------------------------------------------------------


def test_a_question_of_one_word_needs_a_blank_word(vqa):
    sentence = "Nothing is left of 'what' without its one word; ask for the answer alone."
    with pytest.raises(ExplainError) as error:
        explain_answer(vqa, picture(), " what ", by_word=True)
    assert str(error.value) == sentence.replace("'what'", "' what '")
    with pytest.raises(ExplainError) as error:
        explain_answer(vqa, [picture(), picture()], [QUESTION, "what"], by_word=True)
    assert str(error.value) == sentence
    assert len(explain_answer(seeded(Filled), picture(), "what", by_word=True)) == 1
    assert explain_answer(vqa, picture(), "what").context == "what"


class Reader(Shared):
    """Knows few words, and says so."""

    def answer_scores(self, x, questions):
        for question in questions:
            if "grassland" not in question.split():
                raise ValueError(f"The question {question!r} holds no word the model knows.")
        return super().answer_scores(x, questions)


@pytest.mark.parametrize("by_word", [False, True])
def test_a_question_the_model_cannot_read(by_word):
    with pytest.raises(ExplainError, match=r"^The question 'is it' holds no word the model knows\.$"):
        explain_answer(seeded(Reader), picture(), "is it", by_word=by_word)
    with pytest.raises(ExplainError, match=r"^The question 'is it' holds no word the model knows\.$"):
        explain_answer(seeded(Reader), picture(), "is it", by_word=by_word, layer="encoder")


def test_a_question_that_cannot_be_read_without_a_word():
    """It is told in the user's words: nobody asked the question without it, or with a blank word in its place."""
    sentence = (
        f"Without 'grassland' the model can read nothing in {QUESTION!r}; ask for the answer alone, or with more words "
        "it knows."
    )
    with pytest.raises(ExplainError) as error:
        explain_answer(seeded(Reader), picture(), QUESTION, by_word=True)
    assert str(error.value) == sentence
    with pytest.raises(ExplainError) as error:
        explain_answer(seeded(Reader), [picture()] * 2, ["grassland grassland", QUESTION], by_word=True)
    assert str(error.value) == sentence


def test_a_bundled_model_never_speaks_of_its_blank_word():
    vqa = load("vignette-vqa")
    with pytest.raises(ExplainError) as error:
        explain_answer(vqa, picture(), "house", by_word=True)
    assert str(error.value) == (
        "Without 'house' the model can read nothing in 'house'; ask for the answer alone, or with more words it knows."
    )
    assert len(explain_answer(vqa, picture(), "what house", by_word=True)) == 2


def test_wrong_answers_and_counts_are_named_as_without_words(vqa):
    with pytest.raises(ExplainError, match="There is no answer 'grass'; the closest are green grass"):
        explain_answer(vqa, picture(), QUESTION, "grass", by_word=True)
    with pytest.raises(ExplainError, match="2 pictures and 3 questions; give one a picture"):
        explain_answer(vqa, [picture(), picture()], QUESTIONS, by_word=True)
    with pytest.raises(ExplainError, match="There is no layer 'encodr' in Shared; did you mean encoder"):
        explain_answer(vqa, picture(), QUESTION, by_word=True, layer="encodr")


# --- the result -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    return explain_answer(seeded(Shared), picture(), QUESTION, "red", by_word=True)


def test_a_question_is_a_sequence_of_its_words(made):
    assert len(made) == 6
    assert made[1].target == "the"
    assert [word.target for word in made[-2:]] == ["upon", "grassland"]
    assert made[2].context == f"{QUESTION} — red"
    assert made.text == QUESTION
    assert made.all is made.answer
    assert repr(made).startswith(f"QuestionExplanation({QUESTION!r}: is ")


def test_the_strip_shows_the_picture_the_words_and_the_answer(made, tmp_path):
    row, column = made.strip(columns=20), made.strip(columns=1)
    assert row.width > 7 * column.width  # the picture, six words and the answer
    assert Image.open(io.BytesIO(made._repr_png_())).size == made.strip().size
    assert Image.open(made.save(tmp_path / "words.png")).size == made.strip().size
    assert made.answer.target == "red", "what stands before it is only drawn"
    with pytest.raises(
        ValueError, match=r"Cannot write 'words.npy': use .png, .jpg, .pdf or .svg for the strip or .npz"
    ):
        made.save(tmp_path / "words.npy")


def test_the_summary_is_json(made):
    read = json.loads(json.dumps(made.summary()))
    assert (read["question"], read["target"], read["score"]) == (QUESTION, "red", made.answer.score)
    assert [word["target"] for word in read["words"]] == QUESTION.split()
    assert [word["score"] for word in read["words"]] == [word.score for word in made]
