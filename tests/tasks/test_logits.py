"""Where the class scores stand in an output, against outputs whose every tensor is known."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import pictures, seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute, explain_class
from mmcam.tasks.logits import finder

SCORES, OTHER, VALUE = torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 1)
MAPS, WIDE, LABELS = torch.randn(2, 3, 4, 4), torch.randn(2, 9), torch.tensor([1, 2])
Pair = namedtuple("Pair", "aux logits")


@dataclass
class Output:
    loss: float
    logits: torch.Tensor
    hidden_states: tuple[torch.Tensor, ...]


class Detection(dict):
    """A mapping of a library's own, as transformers' outputs."""


NAMED = {
    "tensor": SCORES,
    "mapping": {"aux": OTHER, "logits": SCORES},
    "named tuple": Pair(OTHER, SCORES),
    "dataclass": Output(0.0, SCORES, (MAPS, OTHER)),
    "namespace": SimpleNamespace(features=WIDE, logits=SCORES),
    "own mapping": Detection(hidden=OTHER, logits=SCORES),
    "the only one that fits": {"maps": MAPS, "scores": SCORES, "labels": LABELS, "features": WIDE, "pred_boxes": OTHER},
    "nested": {"main": {"logits": SCORES}, "maps": MAPS},
    "nothing beside": (SCORES, MAPS, LABELS, None, 3.0),
    "a value": (VALUE, SCORES),
    "a list with a value": [SCORES, VALUE],
    "boxes and their classes": {"pred_boxes": torch.rand(2, 4), "out": SCORES},
    "four classes and which is highest": ((four := torch.randn(2, 4)), four.argmax(1)),
}


@pytest.mark.parametrize("form", NAMED)
def test_the_class_scores_are_found(form):
    expected = NAMED[form][0] if form.startswith("four") else SCORES
    assert finder()(NAMED[form]) is expected


UNCLEAR = {
    "two of a mapping": ({"out": SCORES, "side": OTHER}, r"Several .* out\['out'\] \(2, 5\), out\['side'\] \(2, 5\)"),
    "two of a list": ([SCORES, OTHER], r"Several .* out\[0\] \(2, 5\), out\[1\] \(2, 5\)"),
    "a list a picture": (
        [{"boxes": torch.rand(7, 4), "labels": LABELS, "scores": torch.rand(7)}] * 2,
        r"boxes are no class scores.*torch\.stack\(\[found\['scores'\]\[0\] for found in out\]\)",
    ),
    "boxes with labels": ((torch.rand(2, 4), torch.rand(2), LABELS), r"no class scores \(N, classes\): it gives"),
    "queries": (
        {"logits": torch.randn(2, 6, 5)},
        r"\(2, 6, 5\) in out\['logits'\].*out\['logits'\]\[\.\.\., 3\]\.amax",
    ),
    "maps": ({"out": MAPS}, r"out\['out'\] \(2, 3, 4, 4\).*out\['out'\]\[:, 2\]\.mean\(\(1, 2\)\)"),
    "embeddings": ({"image_embeds": WIDE, "pooler_output": WIDE, "last_hidden_state": MAPS}, "no class scores"),
    "unit length": (F.normalize(WIDE, dim=1), r"have length 1, as embeddings have"),
    "unit length among others": ((F.normalize(WIDE, dim=1), MAPS), "no class scores"),
    "whole numbers": (torch.ones(2, 5, dtype=torch.long), r"shape \(2, 5\) of torch\.int64"),
    "one row": (torch.randn(5), r"shape \(5,\).*target=lambda out: out\."),
    "no tensor": ({"text": "cat"}, "nor any tensor"),
    "nothing": (None, "nor any tensor"),
}


@pytest.mark.parametrize("form", UNCLEAR)
def test_what_is_not_clear_is_listed_with_the_function_to_write(form):
    output, sentence = UNCLEAR[form]
    with pytest.raises(ExplainError, match=sentence) as error:
        finder()(output)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 900


def test_the_function_that_is_shown_works():
    for output in ({"logits": torch.randn(2, 6, 5)}, {"out": MAPS}, {"out": SCORES, "side": OTHER}):
        with pytest.raises(ExplainError) as error:
            finder()(output)
        code = str(error.value).partition("e.g. target=")[2].rstrip(".")
        assert eval(code)(output).shape == (2,)


@given(st.permutations([3, 5, 7, 9]), st.sampled_from([3, 5, 7, 9]), st.booleans())
def test_names_choose_the_tensor_with_as_many_columns(widths, count, mapping):
    tensors = [torch.randn(2, width) for width in widths]
    output = dict(zip("abcd", tensors, strict=True)) if mapping else tuple(tensors)
    assert finder(["name"] * count)(output) is tensors[widths.index(count)]


def test_names_of_no_tensor_or_of_two():
    with pytest.raises(ExplainError, match="4 names, and no output has as many columns"):
        finder(list("abcd"))((SCORES, WIDE))
    with pytest.raises(ExplainError, match="Several tensors"):
        finder(list("abcde"))({"out": SCORES, "side": OTHER})
    with pytest.raises(ExplainError, match=r"There are 4 names for 5 classes .*background"):
        finder(list("abcd"))(SCORES)


class Heads(nn.Module):
    """What it gives is a function of its pooled features and of two heads."""

    def __init__(self, gives):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.head, self.other, self.gives = nn.Linear(8, 4), nn.Linear(8, 6), gives

    def forward(self, x):
        return self.gives(self, self.features(x).mean((2, 3)))


FIRST = {
    "features, logits": lambda m, p: (p, m.head(p)),
    "logits, features": lambda m, p: (m.head(p), p),
    "embedding, logits": lambda m, p: (F.normalize(p, dim=1), m.head(p)),
    "logits, probabilities": lambda m, p: ((y := m.head(p)), y.softmax(1)),
    "logits, probabilities, choice": lambda m, p: ((y := m.head(p)), y.softmax(1), y.argmax(1)),
    "two heads": lambda m, p: (m.head(p), m.other(p)),
}


@pytest.mark.parametrize("form", FIRST)
@pytest.mark.parametrize("method", ["gradcam", "gradient"])
def test_in_a_tuple_features_and_probabilities_are_told_by_what_they_are_computed_from(form, method):
    model, x = seeded(Heads, FIRST[form]), pictures(2)
    plain = seeded(Heads, lambda m, p: m.head(p))
    got = attribute(model, x, [0, 3, 1], method=method)  # several targets, so that rows are repeated
    torch.testing.assert_close(got, attribute(plain, x, [0, 3, 1], method=method))


def test_without_gradients_the_order_in_a_tuple_is_not_guessed():
    with pytest.raises(ExplainError, match="a method without gradients cannot see which"):
        attribute(seeded(Heads, FIRST["features, logits"]), pictures(1), [0], method="occlusion", patch=16, stride=16)
    names = list("abcd")
    exp = explain_class(
        seeded(Heads, FIRST["features, logits"]),
        pictures(1)[0],
        1,
        names=names,
        method="occlusion",
        patch=16,
        stride=16,
    )
    plain = attribute(seeded(Heads, lambda m, p: m.head(p)), pictures(1), [1], method="occlusion", patch=16, stride=16)
    torch.testing.assert_close(exp.values, plain[0, 0])


def test_scores_of_length_1_by_chance_are_scores():
    """A head whose rows happen to have length 1 shows no division in its graph."""
    model = seeded(Heads, lambda m, p: m.head(p))
    with torch.no_grad():
        model.head.weight.mul_(1e-12)
        model.head.bias.copy_(torch.tensor([0.6, 0.8, 0.0, 0.0]))
    assert attribute(model, pictures(1), [1]).shape[0] == 1
    assert finder()(torch.eye(5)[:2]).shape == (2, 5)  # probabilities of a sure class
