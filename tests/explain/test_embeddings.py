"""Models whose output is an embedding or features are asked for a function of it."""

import pytest
import timm
import torch
import torchvision
from tiny import Deep, pictures, seeded
from torch import nn

from mmcam import ExplainError, attribute, explain_class


class Clip(Deep):
    """Its forward gives the coordinates of an embedding."""

    def encode_image(self, x):
        return self(x)

    def encode_text(self, tokens):
        return tokens


def headless():
    net = torchvision.models.resnet18(weights=None).eval()
    net.fc = nn.Identity()
    return net


MODELS = {
    "encode_image": (lambda: seeded(Clip), 16),
    "torchvision without its last layer": (headless, 32),
    "timm without classes": (lambda: timm.create_model("resnet10t", num_classes=0).eval(), 32),
}


@pytest.mark.parametrize("kind", MODELS)
def test_coordinates_are_no_classes(kind):
    model, size = MODELS[kind][0](), MODELS[kind][1]
    x = pictures(1, size)
    for call in (
        lambda: explain_class(model, x[0]),
        lambda: explain_class(model, x[0], 3),
        lambda: explain_class(model, x[0], "cat"),
        lambda: explain_class(model, x[0], [lambda out: out[:, 0], 1]),
        lambda: attribute(model, x, [3]),
    ):
        with pytest.raises(ExplainError, match=r"whose coordinates are no classes; .*target=lambda out"):
            call()
    other = torch.randn(1, model(x).shape[1])
    for function in (lambda out: torch.cosine_similarity(out, other), lambda out: out.sum(1)):
        assert explain_class(model, x[0], function).target == "score"
        assert attribute(model, x, [function]).shape[:2] == (1, 1)


def test_names_say_that_they_are_classes():
    """A model that can embed, too, and gives scores of classes."""
    exp = explain_class(seeded(Clip), pictures(1)[0], "c", names=list("abcde"))
    plain = explain_class(seeded(Deep), pictures(1)[0], 2)
    torch.testing.assert_close(exp.values, plain.values)


def test_a_models_own_attribute_that_means_something_else_is_no_names():
    for classes in (5, [1, 2, 3, 4, 5], "abcde", [], {"a": 7}, lambda: 0):
        net = seeded(Deep)
        net.classes = classes
        assert explain_class(net, pictures(1)[0], 2).target == "class 2"
    net.classes = {"bee": 1, "ant": 0, "cow": 2, "dog": 3, "eel": 4}
    assert explain_class(net, pictures(1)[0], "cow").target == "cow"
    net.classes = ["bee", "ant"]
    with pytest.raises(ExplainError, match="There are 2 names for 5 classes"):
        explain_class(net, pictures(1)[0], 2)
