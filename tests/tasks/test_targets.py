"""Whatever is handed over as a target: the right scores, or one sentence."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Deep, pictures, seeded

from mmcam import ExplainError, attribute, evidence, explain_class
from mmcam.tasks.targets import whole_number

NAMES = ["ant", "bee", "cow", "dog", "eel"]

INDICES = {
    "int": 3,
    "negative": -2,
    "np.int64": np.int64(3),
    "np.uint8": np.uint8(3),
    "array": np.array(3),
    "tensor": torch.tensor(3),
    "short tensor": torch.tensor(3, dtype=torch.uint8),
}
NONE = {
    "True": True,
    "np.bool": np.bool_(False),
    "tensor of bool": torch.tensor(True),
    "float": 3.0,
    "nan": float("nan"),
    "np.float": np.float64(3),
    "tensor of float": torch.tensor(3.0),
    "complex": 1j,
    "Decimal": Decimal(3),
    "Fraction": Fraction(3),
    "bytes": b"ant",
    "bytearray": bytearray(b"ant"),
    "set": {1},
    "dict": {"ant": 1},
    "class": object,
    "matrix": torch.ones(2, 2, dtype=torch.long),
    "huge": 10**30,
    "more than 64 bits": 2**63,
    "hugely negative": -(10**5000),
    "beyond": 5,
    "long text": "y" * 100_000,
    "half a character": "\ud800",
    "combined characters": "e" + "\u0301" * 5000,
    "nothing": "",
    "nested": [[1, 2], [3]],
    "empty": [],
    "empty array": np.array([]),
    "floats": np.array([1.0, 2.0]),
    "function that raises": lambda out: 1 / 0,
    "function of nothing": lambda: 0,
    "function to None": lambda out: None,
    "function to numpy": lambda out: out.detach().numpy()[:, 0],
    "function to all": lambda out: out,
    "function to whole numbers": lambda out: out.argmax(1),
    "function to complex": lambda out: out[:, 0] * 1j,
}


@pytest.mark.parametrize("form", INDICES)
def test_whole_numbers_of_every_type_are_indices(form):
    net, x, index = seeded(Deep), pictures(2), int(INDICES[form])
    expected = net(x)[:, index]
    torch.testing.assert_close(evidence(net, x, [INDICES[form]]).scores[0], expected.detach())
    assert explain_class(net, x[0], INDICES[form], names=NAMES).target == NAMES[index]
    rival = explain_class(net, x[0], 0, contrast=INDICES[form])
    assert rival.score == pytest.approx((net(x)[0, 0] - expected[0]).item(), abs=1e-5)


@pytest.mark.parametrize("form", NONE)
def test_all_else_is_refused_in_a_sentence(form):
    net, x, target = seeded(Deep), pictures(2), NONE[form]
    calls = [
        lambda: explain_class(net, x[0], target),
        lambda: explain_class(net, x[0], target, names=NAMES),
        lambda: explain_class(net, x, target, names=NAMES),
        lambda: explain_class(net, x, [target, 1], names=NAMES),
        lambda: explain_class(net, x[0], 1, contrast=target, names=NAMES),
        lambda: attribute(net, x, [target]),
        lambda: attribute(net, x, target),
        lambda: evidence(net, x, [1, target]),
    ]
    for number, call in enumerate(calls):
        if form in ("nested", "matrix") and number == 2:  # a list for each of the two pictures
            continue
        with pytest.raises(ExplainError) as error:
            call()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1000


def test_a_target_without_a_gradient_is_refused_alone_and_empty_beside_another():
    net, x = seeded(Deep), pictures(2)
    for function in (lambda out: out[:, 0].detach(), lambda out: torch.ones(len(out))):
        with pytest.raises(ExplainError, match="does not depend on layer"):
            explain_class(net, x, function)
        found = evidence(net, x, [1, lambda out, f=function: f(out) + 0 * out[:, 1]])
        assert found.gradients[0].any()
        assert not found.gradients[1].any()


def test_the_users_exception_is_the_cause():
    def broken(out):
        return {}[len(out)]

    with pytest.raises(
        ExplainError, match="target function 'broken' fails on the model's output with KeyError: 2"
    ) as e:
        explain_class(seeded(Deep), pictures(2), broken)
    assert isinstance(e.value.__cause__, KeyError)


def test_a_function_that_several_pictures_share_runs_once():
    calls = []

    def first(out):
        calls.append(len(out))
        return out[:, 0]

    net, x = seeded(Deep), pictures(4)
    explain_class(net, x, [first, 2, first, first], layer="features")  # the first call of all proves more
    calls.clear()
    exps = explain_class(net, x, [first, 2, first, first], layer="features")
    assert calls == [4]
    scores = net(x)
    assert [exp.score for exp in exps] == pytest.approx([scores[n, [0, 2, 0, 0][n]].item() for n in range(4)], abs=1e-5)
    assert [exp.target for exp in exps] == ["first", "class 2", "first", "first"]


@pytest.mark.parametrize("form", [range(1, 3), (1, 2), torch.tensor([1, 2]), np.array([1, 2], np.uint8)])
def test_several_at_once(form):
    net, x = seeded(Deep), pictures(2)
    assert [exp.target for exp in explain_class(net, x[0], form)] == ["class 1", "class 2"]
    assert [exp.target for exp in explain_class(net, x, form)] == ["class 1", "class 2"]
    if isinstance(form, (range, tuple)):
        torch.testing.assert_close(evidence(net, x, form).scores, net(x)[:, 1:3].T.detach())
    else:
        torch.testing.assert_close(evidence(net, x, [form]).scores[0], net(x)[[0, 1], [1, 2]].detach())
        with pytest.raises(ExplainError, match="The targets are a list"):
            attribute(net, x, form)


def test_one_a_picture_is_counted():
    with pytest.raises(ExplainError, match="There are 3 classes for 2 pictures"):
        attribute(seeded(Deep), pictures(2), [torch.tensor([1, 2, 3])])


@settings(max_examples=200)
@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none(), st.complex_numbers(), st.binary()))
def test_whole_numbers_are_those_of_python(value):
    expected = value if type(value) is int else None
    assert whole_number(value) == expected
    if type(value) is int and abs(value) < 2**62:
        assert whole_number(torch.tensor(value)) == whole_number(np.array(value)) == value
