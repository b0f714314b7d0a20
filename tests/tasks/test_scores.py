"""What is scored of words and answers: closed forms, autograd by hand, and a user's own score."""

import math

import pytest
import torch
from tiny import VQA, Captioner, pictures, reference_gradcam, seeded

import mmcam
from mmcam import ExplainError
from mmcam.tasks import scores


class Scored(Captioner):
    """A captioner that also gives its logits."""

    def token_logits(self, x, tokens):
        first = self.picture(self.encoder(x).flatten(1))[:, None]
        steps = torch.cat([first, self.embedding(tokens[:, :-1])], dim=1)
        return self.output(self.lstm(steps)[0])


@pytest.fixture
def model():
    return seeded(Scored)


@pytest.fixture
def x():
    return pictures(1, 32)


def by_hand(model, x, name, caption="a dog runs on the grass", places=(1,)):
    """The score of some tokens, recorded."""
    tokens = torch.tensor([model.encode(caption)])
    logits = model.token_logits(x, tokens)[0, list(places)]
    chosen = tokens[0, list(places)]
    log_probs = logits.log_softmax(-1)
    own = log_probs[range(len(chosen)), chosen]
    return {
        "log_prob": lambda: own.sum(),
        "logit": lambda: logits[range(len(chosen)), chosen].sum(),
        "prob": lambda: own.sum().exp(),
        "entropy": lambda: torch.stack(
            [torch.distributions.Categorical(logits=row).entropy() for row in logits]
        ).mean(),
    }[name]()


@pytest.mark.parametrize("name", ["log_prob", "logit", "prob", "entropy"])
@pytest.mark.parametrize(("word", "places"), [("dog", (1,)), ("dog runs", (1, 2))])
def test_a_words_score_and_map_are_autograds(model, x, name, word, places):
    found = mmcam.explain_caption(model, x[0], word, caption="a dog runs on the grass", score=name)
    expected = by_hand(model, x, name, places=places).detach()
    assert found.score == pytest.approx(float(expected), rel=1e-5)
    reference = reference_gradcam(model, "encoder", lambda: by_hand(model, x, name, places=places))[0]
    torch.testing.assert_close(found.values, reference, rtol=1e-4, atol=1e-6 * float(reference.max()))


def test_the_logit_of_a_contrast_is_the_difference_of_log_probabilities(model, x):
    """Both words stand at the same place, so what normalises them cancels."""
    how = {"caption": "a dog runs on the grass", "contrast": "cat"}
    logit = mmcam.explain_caption(model, x[0], "dog", score="logit", **how)
    log_prob = mmcam.explain_caption(model, x[0], "dog", **how)
    assert logit.score == pytest.approx(log_prob.score, abs=1e-5)
    torch.testing.assert_close(logit.values, log_prob.values, rtol=1e-3, atol=1e-6)


def test_every_word_and_beams_take_a_score(model, x):
    found = mmcam.explain_caption(model, [x[0], x[0]], score="prob")
    usual = mmcam.explain_caption(model, [x[0], x[0]])
    for ours, theirs in zip(found, usual, strict=True):
        for one, other in zip([*ours, ours.whole], [*theirs, theirs.whole], strict=True):
            assert one.score == pytest.approx(math.exp(other.score), rel=1e-4)


@pytest.mark.parametrize("name", ["logit", "log_prob", "prob", "entropy"])
def test_an_answers_score(x, name):
    model = seeded(VQA)
    logits = model.answer_scores(x, ["what is it"])[0]
    expected = {
        "logit": logits[2],
        "log_prob": logits.log_softmax(0)[2],
        "prob": logits.softmax(0)[2],
        "entropy": torch.distributions.Categorical(logits=logits).entropy(),
    }[name]
    found = mmcam.explain_answer(model, x[0], "what is it", "red", score=name)
    assert found.score == pytest.approx(float(expected), rel=1e-5)
    contrasted = mmcam.explain_answer(model, x[0], "what is it", "red", contrast="two", score="log_prob")
    assert contrasted.score == pytest.approx(float(logits[2] - logits[4]), abs=1e-5)


def test_the_predicted_answer_by_word_takes_a_score(x):
    model = seeded(VQA)
    found = mmcam.explain_answer(model, x[0], "what is it", by_word=True, score="prob")
    with torch.no_grad():
        whole, *without = model.answer_scores(
            x.repeat(4, 1, 1, 1), ["what is it", "is it", "what it", "what is"]
        ).softmax(1)
    best = int(whole.argmax())
    assert [word.score for word in found] == pytest.approx([float(whole[best] - w[best]) for w in without], abs=1e-6)


def test_a_users_own_score(model, x):
    @mmcam.register_score("margin")
    def margin(logits, tokens, chosen):
        own = logits.gather(-1, tokens[..., None])[..., 0]
        others = logits.scatter(-1, tokens[..., None], -torch.inf).amax(-1)
        return ((own - others) * chosen).sum(1)

    try:
        found = mmcam.explain_caption(model, x[0], "dog", caption="a dog", score="margin")
        logits = model.token_logits(x, torch.tensor([model.encode("a dog")]))[0, 1]
        others = torch.cat([logits[:2], logits[3:]])
        assert found.score == pytest.approx(float(logits[2] - others.max()), rel=1e-5)
        with pytest.raises(ValueError, match="There is a score 'margin' already"):
            mmcam.register_score("margin")(margin)
    finally:
        del mmcam.SCORES["margin"]


def test_unknown_scores_and_models_without_logits_are_refused(x):
    with pytest.raises(
        ExplainError, match="There is no score 'surprise' of words and answers; there are log_prob, logit"
    ):
        mmcam.explain_caption(seeded(Captioner), x[0], score="surprise")
    with pytest.raises(ExplainError, match="There is no score 'surprise'"):
        mmcam.explain_answer(seeded(VQA), x[0], "what is it", score="surprise")
    with pytest.raises(
        ExplainError, match=r"Captioner gives log-probabilities only; score='logit' needs a method token_log"
    ):
        mmcam.explain_caption(seeded(Captioner), x[0], score="logit")


def test_impossible_tokens_have_no_entropy():
    logits = torch.tensor([[[0.0, 0.0, -torch.inf]]])
    assert scores.entropy(logits, torch.tensor([[0]]), torch.ones(1, 1)) == pytest.approx(math.log(2))


def test_padding_with_minus_infinity_does_not_matter():
    logits = torch.tensor([[[0.0, 1.0], [0.0, -torch.inf]]])
    found = scores.log_prob(logits, torch.tensor([[1, 1]]), torch.tensor([[1.0, 0.0]]))
    assert found == pytest.approx(float(torch.tensor([0.0, 1.0]).log_softmax(0)[1]))


def test_an_explanation_says_what_its_score_is(model, x):
    assert mmcam.explain_caption(model, x[0], "dog").scored == "log_prob"
    unsure = mmcam.explain_caption(model, x[0], "dog", score="entropy")
    assert (unsure.scored, unsure.claim) == (
        "entropy",
        "The entropy of “dog” is as high as it is in “a dog runs on the grass”",
    )
    assert mmcam.explain_answer(seeded(VQA), x[0], "what is it").scored == "logit"
    assert unsure.summary()["scored"] == "entropy"
