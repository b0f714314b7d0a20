"""contrast="similar": the target's score less the mean of those of the classes or answers whose scores are nearest."""

import pytest
import torch
from tiny import SMALL, VQA, Gap, pictures, seeded
from torch import nn

from mmcam import ExplainError, attribute, explain_answer, explain_class

NAMES = ["ant", "bee", "cat", "dog", "elk"]


def nearest(scores, own):
    """Sorted by the distance to the target's score, itself left out, in plain Python."""
    away = sorted((abs(score - scores[own]), index) for index, score in enumerate(scores) if index != own)
    return [index for _, index in away[:3]]


@pytest.mark.parametrize("method", ["gradcam", "layercam", "occlusion", "guided_gradcam"])
def test_the_mean_of_the_nearest_classes_is_taken_off(method):
    net, x = seeded(Gap), pictures(2)
    options = {"patch": 8, "stride": 8} if method == "occlusion" else {}
    logits = net(x).tolist()
    exps = explain_class(net, list(x), ["cat", None], contrast="similar", names=NAMES, method=method, **options)
    for n, exp in enumerate(exps):
        own = 2 if n == 0 else max(range(5), key=logits[n].__getitem__)
        others = nearest(logits[n], own)
        literal = attribute(
            net, x[n : n + 1], [lambda out, own=own, others=others: out[:, own] - out[:, others].mean(1)],
            method=method, **options,
        )  # fmt: skip
        torch.testing.assert_close(exp.values, literal[0, 0], rtol=1e-4, atol=1e-6)
        assert exp.score == pytest.approx(logits[n][own] - sum(logits[n][d] for d in others) / 3, rel=1e-4, abs=1e-6)
        rivals = " or ".join(NAMES[d] for d in others)
        assert exp.target == f"{NAMES[own]} rather than {rivals}"


def test_answers_of_a_list():
    model, x = seeded(VQA), pictures(1, 32)[0]
    scores = model.answer_scores(x[None], ["what is it"])[0].detach()
    exp = explain_answer(model, x, "what is it", 1, contrast="similar")
    others = nearest(scores.tolist(), 1)
    assert exp.score == pytest.approx(float(scores[1] - scores[others].mean()), rel=1e-4, abs=1e-6)
    assert exp.target == f"{model.answers[1]} rather than " + " or ".join(model.answers[d] for d in others)
    log_prob = explain_answer(model, x, "what is it", 1, contrast="similar", score="log_prob")
    assert log_prob.score == pytest.approx(exp.score, rel=1e-4, abs=1e-5), "what is common to all cancels"


def test_a_class_of_that_name_is_meant_where_there_is_one():
    net, x = seeded(Gap), pictures(1)[0]
    exp = explain_class(net, x, 0, contrast="similar", names=["ant", "similar", "cat", "dog", "elk"])
    assert exp.target == "ant rather than similar"


def test_two_classes_have_one_each_and_a_function_none():
    net, x = seeded(Gap, classes=2), pictures(1)[0]
    assert explain_class(net, x, 0, contrast="similar", names=["ant", "bee"]).target == "ant rather than bee"
    with pytest.raises(ExplainError, match="A function of the output is similar to no class"):
        explain_class(net, x, lambda out: out[:, 0], contrast="similar")
    one = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                       nn.Linear(2, 1)))  # fmt: skip
    with pytest.raises(ExplainError, match="no other class that could be similar"):
        explain_class(one, x, 0, contrast="similar", preprocess=SMALL)
