"""Answers to questions."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, VQA, reference_gradcam, seeded

import mmcam
from mmcam import ExplainError, explain_answer

QUESTION = "is it on the grass"


@pytest.fixture
def vqa():
    return seeded(VQA)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def agrees(exp, model, image, question, score):
    x = SMALL(image)[0][None]
    expected = reference_gradcam(model, "encoder", lambda: score(model.answer_scores(x, [question])[0]))[0]
    assert expected.max() > 0, "two empty maps agree"
    torch.testing.assert_close(exp.values, expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
    assert exp.score == pytest.approx(score(model.answer_scores(x, [question])[0]).item(), abs=1e-5)


def predicted(model, image, question):
    return int(model.answer_scores(SMALL(image)[0][None], [question]).argmax())


def test_the_models_own_answer_is_the_default(vqa):
    exp = explain_answer(vqa, picture(), QUESTION)
    index = predicted(vqa, picture(), QUESTION)
    assert exp.target == vqa.answers[index]
    assert exp.context == QUESTION
    agrees(exp, vqa, picture(), QUESTION, lambda scores: scores[index])


@pytest.mark.parametrize(("answer", "index"), [("no", 1), ("RED", 2), ("Green Grass", 3), (4, 4), (-1, 4)])
def test_a_chosen_answer(vqa, answer, index):
    """Explained as asked: never silently replaced by the prediction."""
    exp = explain_answer(vqa, picture(), QUESTION, answer)
    assert exp.target == vqa.answers[index]
    agrees(exp, vqa, picture(), QUESTION, lambda scores: scores[index])


def test_a_contrast_is_a_difference(vqa):
    exp = explain_answer(vqa, picture(), QUESTION, "no", contrast="yes")
    assert exp.target == "no rather than yes"
    agrees(exp, vqa, picture(), QUESTION, lambda scores: scores[1] - scores[0])
    index = predicted(vqa, picture(), QUESTION)
    default = explain_answer(vqa, picture(), QUESTION, contrast=4)
    agrees(default, vqa, picture(), QUESTION, lambda scores: scores[index] - scores[4])


@pytest.mark.parametrize("by_word", [False, True])
def test_a_contrast_that_is_the_answer_itself(vqa, by_word):
    own = vqa.answers[predicted(vqa, picture(), QUESTION)]
    for images, answer, contrast, name in (
        (picture(), None, own, own),
        (picture(), "red", 2, "red"),
        (picture(), "two", -1, "two"),
        ([picture(1), picture(0)], None, own, own),
    ):
        with pytest.raises(ExplainError) as error:
            explain_answer(vqa, images, QUESTION, answer, contrast=contrast, by_word=by_word)
        assert str(error.value) == f"The answer and its contrast are both {name!r}; choose two."


@pytest.mark.parametrize("question", [None, 3, [None], ["is it", 5]])
def test_a_question_is_a_text(vqa, question):
    images = [picture(0), picture(1)] if isinstance(question, list) and len(question) == 2 else picture()
    bad = question[-1] if isinstance(question, list) else question
    with pytest.raises(ExplainError) as error:
        explain_answer(vqa, images, question)
    assert str(error.value) == f"A question is a text, and {bad!r} is none; pass one, or a list of one a picture."


def test_questions_may_come_as_an_array(vqa):
    made = explain_answer(vqa, [picture(0), picture(1)], np.array(["is it red", QUESTION]))
    assert [exp.context for exp in made] == ["is it red", QUESTION]


def test_an_unknown_answer_lists_close_ones(vqa):
    with pytest.raises(ExplainError, match="There is no answer 'grass'; the closest are green grass"):
        explain_answer(vqa, picture(), QUESTION, "grass")
    with pytest.raises(ExplainError, match="There is no answer 'zebra'; there are yes, no, red"):
        explain_answer(vqa, picture(), QUESTION, "no", contrast="zebra")
    for bad in (5, -6):
        with pytest.raises(ExplainError, match=f"There is no answer {bad}: the model has answers 0…4"):
            explain_answer(vqa, picture(), QUESTION, bad)
        with pytest.raises(ExplainError, match=f"There is no answer {bad}: the model has answers 0…4"):
            explain_answer(vqa, picture(), QUESTION, "no", contrast=bad)


def test_several_pictures_and_questions(vqa):
    images = [picture(seed) for seed in range(3)]
    questions = ["is it red", QUESTION, "what is on the grass there"]
    for exp, image, question in zip(explain_answer(vqa, images, questions), images, questions, strict=True):
        index = predicted(vqa, image, question)
        assert (exp.target, exp.context) == (vqa.answers[index], question)
        agrees(exp, vqa, image, question, lambda scores: scores[index])  # noqa: B023
    for exp, image in zip(explain_answer(vqa, images, QUESTION, "red"), images, strict=True):
        agrees(exp, vqa, image, QUESTION, lambda scores: scores[2])


def test_not_one_question_a_picture(vqa):
    for questions in (["a"], ["a", "b", "c"], []):
        with pytest.raises(ExplainError, match=rf"2 pictures and {len(questions)} questions; give one a picture"):
            explain_answer(vqa, [picture(0), picture(1)], questions)
    with pytest.raises(ExplainError, match="1 pictures and 2 questions"):
        explain_answer(vqa, picture(), ["a", "b"])


@pytest.mark.parametrize("method", ["guided_backprop", "guided_gradcam"])
def test_pixel_methods(vqa, method):
    exp = explain_answer(vqa, picture(), QUESTION, "red", method=method)
    assert exp.values.shape == (3, 32, 32)
    assert exp.heatmap.shape == (30, 40)
    assert exp.values.abs().max() > 0


def test_callers_without_gradients(vqa):
    expected = explain_answer(vqa, [picture(0), picture(1)], QUESTION, contrast="two")
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            got = explain_answer(vqa, [picture(0), picture(1)], QUESTION, contrast="two")
        for one, other in zip(expected, got, strict=True):
            torch.testing.assert_close(one.values, other.values)


def test_a_model_that_answers_no_questions():
    with pytest.raises(ExplainError, match="Conv2d is no VQA model: it lacks answer_scores, answers"):
        explain_answer(torch.nn.Conv2d(3, 3, 1), picture(), QUESTION)
    assert isinstance(seeded(VQA), mmcam.VQAModel)
