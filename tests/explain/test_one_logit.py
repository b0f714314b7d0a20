"""A single logit with two names: what it says, it says by its sign."""

import pytest
import torch
from tiny import Deep, pictures, reference_gradcam, seeded
from torch import nn

from mmcam import ExplainError, attribute, explain_class

NAMES = ["healthy", "ill"]


def one(bias, last=None):
    net = seeded(Deep, classes=1)
    with torch.no_grad():
        net.head[2].bias.fill_(bias)
    if last is not None:
        net.head.append(last)
    return net


@pytest.mark.parametrize(("bias", "says", "sign"), [(4.0, "ill", 1), (-4.0, "healthy", -1)])
def test_the_default_follows_the_sign(bias, says, sign):
    net, x = one(bias), pictures(1)
    exp = explain_class(net, x[0], names=NAMES)
    logit = float(net(x))
    assert (exp.target, exp.score) == (says, pytest.approx(sign * logit))
    torch.testing.assert_close(exp.values, reference_gradcam(net, "features", lambda: sign * net(x)[:, 0].sum())[0])


@pytest.mark.parametrize("bias", [4.0, -4.0])
def test_each_side_by_name_and_index(bias):
    net, x = one(bias), pictures(1)
    for targets, sign in ((("healthy", 0, -2), -1), (("ILL", 1, -1), 1)):
        for target in targets:
            exp = explain_class(net, x[0], target, names=NAMES)
            assert exp.score == pytest.approx(sign * float(net(x)))
            expected = reference_gradcam(net, "features", lambda s=sign: s * net(x)[:, 0].sum())[0]
            torch.testing.assert_close(exp.values, expected)
    with pytest.raises(ExplainError, match="no class 2: the model has classes 0…1"):
        explain_class(net, x[0], 2, names=NAMES)


def test_pictures_of_either_side():
    """Each by its own sign, in one batch."""
    net, x = one(0.0), torch.cat([pictures(3), 5 * pictures(3)])
    with torch.no_grad():
        net.head[2].bias.sub_(net(x).median())
    logits = net(x)[:, 0]
    assert 0 < int((logits > 0).sum()) < 6
    for exp, logit in zip(explain_class(net, list(x), names=NAMES), logits, strict=True):
        assert exp.target == NAMES[int(logit > 0)]
        assert exp.score == pytest.approx(abs(float(logit)), abs=1e-5)


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_rather_than_the_other_is_the_logit_itself(method):
    """log p − log (1 − p) of a sigmoid is its logit."""
    net, x = one(-2.0), pictures(1)
    options = {"patch": 8, "stride": 8} if method == "occlusion" else {}
    p = net(x)[0, 0].double().sigmoid()
    for target, contrast, expected in (("ill", "healthy", p.logit()), ("healthy", 1, -p.logit())):
        exp = explain_class(net, x[0], target, contrast=contrast, names=NAMES, method=method, **options)
        assert exp.score == pytest.approx(float(expected), rel=1e-4)
    with pytest.raises(ExplainError, match="both 'ill'"):
        explain_class(net, x[0], "ill", contrast=-1, names=NAMES, method=method, **options)


@pytest.mark.parametrize(("bias", "says"), [(4.0, "ill"), (-4.0, "healthy")])
def test_a_single_probability_is_read_by_one_half(bias, says):
    net, x = one(bias, nn.Sigmoid()), pictures(1)
    p = float(net(x))
    exp = explain_class(net, x[0], names=NAMES)
    assert (exp.target, exp.score) == (says, pytest.approx(max(p, 1 - p), rel=1e-4))
    both = explain_class(net, x[0], "healthy", contrast="ill", names=NAMES)
    assert both.score == pytest.approx(1 - 2 * p, rel=1e-4)
    torch.testing.assert_close(
        explain_class(net, x[0], "healthy", names=NAMES).values,
        reference_gradcam(net, "features", lambda: -net(x)[:, 0].sum())[0],
    )


def test_what_cannot_be_told_without_gradients_is_asked():
    net, x, options = one(-2.0, nn.Sigmoid()), pictures(1), {"method": "occlusion", "patch": 8, "stride": 8}
    with pytest.raises(ExplainError, match=r"between 0 and 0\.5 is a logit .* or a probability"):
        explain_class(net, x[0], names=NAMES, **options)
    ill, healthy = (explain_class(net, x[0], name, names=NAMES, **options).values for name in ("ill", "healthy"))
    torch.testing.assert_close(ill, -healthy)


def test_without_two_names_a_single_logit_is_class_0():
    net, x = one(-4.0), pictures(1)
    for names, target in ((None, "class 0"), (["ill"], "ill")):
        exp = explain_class(net, x[0], names=names)
        assert (exp.target, exp.score) == (target, pytest.approx(float(net(x))))
    torch.testing.assert_close(exp.values, attribute(net, x, [0])[0, 0])
    with pytest.raises(ExplainError, match="There are 3 names for 1 class"):
        explain_class(net, x[0], names=["a", "b", "c"])
