"""A target without a gradient behind a softmax that has levelled out is told from one that depends on nothing."""

import pytest
import torch
from tiny import Deep, pictures, seeded
from torch import nn

from mmcam import IndependentError, attribute, evidence, explain_class


def sharp(last, factor=1e7):
    """A network whose scores are far apart."""
    net = seeded(Deep)
    with torch.no_grad():
        net.head[2].weight.mul_(factor)
    net.head.append(last)
    return net


@pytest.mark.parametrize(
    ("last", "name"),
    [(nn.Softmax(1), "softmax"), (nn.Sigmoid(), "sigmoid"), (nn.Hardsigmoid(), "hard sigmoid"), (nn.Tanh(), "tanh")],
)
def test_a_probability_of_0_or_1_is_saturated(last, name):
    net, x = sharp(last), pictures(2)
    assert float(torch.autograd.grad(net(y := x.clone().requires_grad_()).sum(), y)[0].abs().max()) == 0
    sentence = f"saturated: it is .*, from a {name} .*explain the logits before the {name}"
    for call in (
        lambda: explain_class(net, x[0], 1),
        lambda: explain_class(net, list(x)),
        lambda: explain_class(net, x[0], 1, contrast=2),
        lambda: explain_class(net, x, [1, lambda out: out[:, 2]]),
        lambda: attribute(net, x, [0, 3]),
        lambda: evidence(net, x, [0, torch.tensor([1, 2])]),
    ):
        with pytest.raises(IndependentError, match=sentence):
            call()
    mine = sharp(nn.Identity())
    with pytest.raises(IndependentError, match="saturated"):
        attribute(mine, x, [lambda out: out.softmax(1)[:, 1]])
    assert attribute(mine, x, [1]).any() or attribute(mine, x, [2]).any()


def test_what_depends_on_nothing_is_not_called_saturated():
    x = pictures(2)
    for function in (lambda out: torch.ones(len(out)), lambda out: out[:, 0].detach(), lambda out: 0 * out[:, 0]):
        with pytest.raises(IndependentError, match="does not depend on layer 'features'"):
            explain_class(seeded(Deep), x, function)
    dead = sharp(nn.ReLU(), 0)  # scores of exactly 0
    with torch.no_grad():
        dead.head[2].bias.fill_(-1)
    with pytest.raises(IndependentError, match="does not depend on layer"):
        explain_class(dead, x, 1)
