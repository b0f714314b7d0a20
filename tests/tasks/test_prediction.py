"""Probabilities and best classes, beside the formulas."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmcam import Preprocess, explain_class

LOGITS = torch.tensor([0.3, 2.0, -1.0, 0.9, 1.4, -3.0, 0.5])
PICTURE = np.full((8, 8, 3), 255, np.uint8)


class Fixed(nn.Module):
    """White pictures have the logits above, and a last layer makes something of them."""

    preprocess = Preprocess(size=(8, 8), mode="squash", mean=(0.0,) * 3, std=(1.0,) * 3)

    def __init__(self, last: nn.Module, logits: Tensor = LOGITS) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, len(logits), 1, bias=False)
        self.features.weight.data = logits[:, None, None, None].repeat(1, 3, 1, 1) / 3
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x).mean((2, 3)))


def prediction(model: nn.Module, target=None, **more):
    return explain_class(model, PICTURE, target, layer="features", **more).prediction


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(1), nn.LogSoftmax(1)])
def test_softmax(last):
    found = prediction(Fixed(last), 3)
    whole = sum(math.exp(float(logit)) for logit in LOGITS)
    assert found.activation == "softmax"
    assert found.probability == pytest.approx(math.exp(0.9) / whole, rel=1e-5)
    assert [one.index for one in found.best] == [1, 4, 3, 6, 0]
    assert [one.probability for one in found.best] == pytest.approx(
        [math.exp(float(LOGITS[i])) / whole for i in (1, 4, 3, 6, 0)], rel=1e-5
    )
    assert found.best[0].name == "class 1"
    assert found.doubt.startswith("No class has half of the probability, which is divided among the 7")


@pytest.mark.parametrize("last", [nn.Identity(), nn.Sigmoid()])
def test_sigmoid(last):
    model = Fixed(last)
    model.class_probabilities = "sigmoid"
    found = prediction(model, 2)
    assert found.activation == "sigmoid"
    assert found.probability == pytest.approx(1 / (1 + math.exp(1)), rel=1e-5)
    assert found.best[1].probability == pytest.approx(1 / (1 + math.exp(-1.4)), rel=1e-5)
    assert found.doubt == ""
    absent = Fixed(nn.Identity(), LOGITS - 5)
    absent.class_probabilities = "sigmoid"
    assert prediction(absent).doubt == "None of the 7 classes has a probability of one half: it holds each for absent."


def test_a_sigmoid_that_the_graph_shows_is_never_called_a_softmax():
    found = prediction(Fixed(nn.Sigmoid()), 4)
    assert (found.activation, found.probability) == ("sigmoid", pytest.approx(1 / (1 + math.exp(-1.4)), rel=1e-5))


def test_scores_that_may_be_either_have_no_probability():
    """A method without gradients sees no graph: scores between 0 and 1 may be probabilities already, or not."""
    found = explain_class(Fixed(nn.Sigmoid()), PICTURE, 4, method="occlusion", patch=4, stride=4).prediction
    assert (found.activation, found.probability, found.doubt) == ("", None, "")
    assert [one.index for one in found.best] == [1, 4, 3, 6, 0]
    assert prediction(Fixed(nn.Identity(), LOGITS[:1]), 0).probability is None, "a single score"


def test_a_config_that_says_so():
    model = Fixed(nn.Identity())
    model.config = type("Config", (), {"problem_type": "multi_label_classification"})()
    assert prediction(model, 1).activation == "sigmoid"


@pytest.mark.parametrize(("last", "ill"), [(nn.Identity(), 1 / (1 + math.exp(0.5))), (nn.Sigmoid(), None)])
def test_one_logit_with_two_names(last, ill):
    """It is the log-odds of the second."""
    found = prediction(Fixed(last, torch.tensor([-0.5])), names=["healthy", "ill"])
    assert (found.best[0].name, found.activation) == ("healthy", "sigmoid")
    assert found.best[1].probability == pytest.approx(1 / (1 + math.exp(0.5)), rel=1e-5)
    assert found.probability == pytest.approx(1 - 1 / (1 + math.exp(0.5)), rel=1e-5)


def test_a_function_has_the_best_classes_only_where_they_were_looked_at():
    model = Fixed(nn.Identity())
    assert prediction(model, lambda output: output[:, 1]) is None
    first, second = explain_class(model, PICTURE, [lambda output: output[:, 1], 1], layer="features")
    assert (first.prediction.index, first.prediction.probability) == (None, None)
    assert first.prediction.best == second.prediction.best


def test_a_probability_is_that_of_its_own_picture():
    model = Fixed(nn.Identity())
    white, black = explain_class(model, [PICTURE, PICTURE * 0], 1, layer="features")
    assert black.prediction.probability == pytest.approx(1 / 7)
    assert white.prediction.probability > 0.3
    assert white.summary()["prediction"]["best"][0]["class"] == 1
