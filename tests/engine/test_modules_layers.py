"""Layers as people write them: by name, by position, as the module itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import pictures, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute
from mmcam.engine.modules import find_module, layer_name


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(self.conv1(x).relu())


class Net(nn.Module):
    """Stages in a Sequential, heads by name, one module under two names."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.stage = nn.Sequential(*(Block() for _ in range(12)))
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2)})
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.first

    def forward(self, x):
        return self.heads["a"](self.again(self.first(self.stage(self.stem(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def net():
    return seeded(Net)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("stage[-1]", "stage.11"),
        ("stage.-1", "stage.11"),
        ("stage[-2].conv1", "stage.10.conv1"),
        (" stage[ 1 ].conv2 ", "stage.1.conv2"),
        ("stage.1.conv2", "stage.1.conv2"),
        ("stage[10]", "stage.10"),
        ("heads['a']", "heads.a"),
        ('heads["a"]', "heads.a"),
        ("module.stage", "stage"),
        ("_orig_mod.stage[-1]", "stage.11"),
        ("_orig_mod.module.stem", "stem"),
        ("again", "first"),
    ],
)
def test_a_layer_in_a_persons_writing(net, written, name):
    assert layer_name(net, written) == name
    assert find_module(net, written) is net.get_submodule(name)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_every_module_is_found_as_itself_and_by_what_python_calls_it(net, data):
    """`eval` reads the same text as Python does."""
    name, module = data.draw(st.sampled_from([(n, m) for n, m in net.named_modules() if n]))
    assert layer_name(net, module) == layer_name(net, name) == name
    index = data.draw(st.integers(-12, 11))
    path = data.draw(st.sampled_from(["stage[{}]", "stage[{}].conv1", "stage[{}].conv2"])).format(index)
    assert find_module(net, path) is eval(f"net.{path}", {"net": net})


def test_a_layer_that_is_called_like_a_wrapper_is_meant():
    inner = nn.Module()
    inner.module, inner.stage = nn.Sequential(nn.Conv2d(3, 4, 1)), nn.Conv2d(3, 4, 1)
    inner.module.stage = nn.ReLU()
    assert layer_name(inner, "module.stage") == "module.stage"
    assert layer_name(inner, "module.0") == "module.0"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("stage[12]", "no layer 'stage.12.'"),
        ("stage[-13]", "no layer"),
        ("stage[1:]", "no layer"),
        ("stage..1", "no layer"),
        ("stage.1.", "no layer"),
        (".stage", "did you mean stage"),
        ("heads[0]", r"no layer 'heads\[0\]'"),
        ("stem.weight", "did you mean stem"),
        ("conv2", r"did you mean stage\.0\.conv2"),
        ("model.stem", "did you mean stem"),
        ("", "no layer ''"),
        ("  ", "no layer"),
        ("x\n" * 5000, "no layer"),
        ("[" * 5000, "no layer"),
        ("stage[" + "9" * 5000 + "]", "no layer"),
        (4, "A layer is a dotted name or the module itself, and 4 is neither"),
        (True, "True is neither"),
        (b"stem", "b'stem' is neither"),
        (None, "None is neither"),
        ({"stem": 1}, "a dict is neither"),
        (torch.ones(2), "a Tensor is neither"),
    ],
)
def test_what_is_no_layer_is_one_sentence(net, written, says):
    with pytest.raises(ExplainError, match=says) as caught:
        layer_name(net, written)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_modules_of_elsewhere_the_model_itself_and_torchscript():
    net = seeded(Net)
    with pytest.raises(ExplainError, match=r"no Conv2d given as layer= in Net; pass a module of this very model"):
        layer_name(net, seeded(Net).stem)
    for whole in (net, nn.DataParallel(net)):
        with pytest.raises(ExplainError, match="The layer is Net itself; choose one inside it"):
            layer_name(net, whole)
    net.stem = torch.jit.script(net.stem)
    for given_as in ("stem", net.stem):
        with pytest.raises(ExplainError, match="Layer 'stem' is TorchScript, which takes no hooks"):
            attribute(net, pictures(), [0], layer=given_as)


@pytest.mark.parametrize(
    "wrap", [lambda n: n, nn.DataParallel, lambda n: torch.compile(nn.DataParallel(n), backend="eager")]
)
def test_the_module_itself_through_every_function(wrap):
    net, x = seeded(Net), pictures()
    wrapped, block = wrap(net), net.stage[-1]
    expected = attribute(net, x, [0], layer="stage.11")
    assert expected.any()
    assert torch.equal(attribute(wrapped, x, [0], layer=block), expected)
    assert torch.equal(attribute(wrapped, x, [0], layer="stage[-1]"), expected)
    assert torch.equal(
        attribute(wrapped, x, [0], layer=[block, "module.stage[0]"]),
        attribute(net, x, [0], layer=["stage.11", "stage.0"]),
    )
    assert torch.equal(
        mmcam.evidence(wrapped, x, [0], layer=block).gradients, mmcam.evidence(net, x, [0], layer="stage.11").gradients
    )
    recorded = mmcam.record(wrapped, x, [block, "stage.-1", net.stem])
    assert list(recorded) == ["stage.11", "stem"]
    assert torch.equal(recorded["stem"], net.stem(x))
    assert mmcam.explain_class(wrapped, x[0], 0, layer=block).layer == "stage.11"
    assert mmcam.explain_class(wrapped, x[0], 0, layer=[net.stem, block]).layer == "stem + stage.11"


@pytest.mark.parametrize("layers", [[], (), [None, "stem"], [["stem"]], {"stem"}, iter(["stem"]), 0, b"stem", ""])
def test_odd_layers_are_one_sentence(net, layers):
    for call in (
        lambda: attribute(net, pictures(), [0], layer=layers),
        lambda: mmcam.record(net, pictures(), layers),
        lambda: mmcam.explain_class(net, pictures(1)[0], 0, layer=layers),
    ):
        with pytest.raises(ExplainError, match="ayer"):
            call()


def test_one_module_under_two_names_runs_twice(net):
    """Either name stands for both runs."""
    x = pictures()
    with pytest.raises(ExplainError, match="Layer 'first' runs 2 times in one forward; say which with call=0…1"):
        attribute(net, x, [0], layer="again")
    assert torch.equal(attribute(net, x, [0], layer="again", call=1), attribute(net, x, [0], layer=net.first, call=1))
