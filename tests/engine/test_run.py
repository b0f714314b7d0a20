"""The engine: exact, cheap, and it leaves a model as it found it."""

import contextlib
import copy
import gc
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from state import State
from tiny import (
    NETWORKS,
    Captioner,
    CountsRows,
    Deep,
    Gap,
    LosesRows,
    Noisy,
    Stubborn,
    evidence_at,
    mixed,
    network,
    pictures,
    reference_gradcam,
    seeded,
)
from torch import nn
from torch.nn import functional as F

import mmcam
from mmcam import ExplainError, attribute
from mmcam.engine.outputs import first_tensor
from mmcam.methods.cam import gradcam

METHODS = ("gradcam", "cam", "guided_backprop", "guided_gradcam")


# --- the model is left as found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gradcam", "guided_backprop", "guided_gradcam"])
def test_a_model_is_left_as_found(method):
    model, x = mixed(seeded(Noisy)), pictures()
    state = State(model)
    attribute(model, x, [0, 1], method=method)
    state.check()


def test_cam_leaves_a_model_as_found():
    model, x = seeded(Gap).train(), pictures()
    state = State(model)
    attribute(model, x, [0], method="cam")
    state.check()


@pytest.mark.parametrize("method", ["gradcam", "guided_backprop", "guided_gradcam"])
@pytest.mark.parametrize("where", ["target", "head", "layer", "backward"])
def test_a_model_is_left_as_found_after_an_exception(method, where):
    model, x = mixed(seeded(Noisy)), pictures()

    class BrokenError(Exception):
        pass

    def fail(*_):
        raise BrokenError

    def fail_backward(out):
        score = out[:, 0] * 1
        score.register_hook(fail)
        return score

    attribute(model, x, [0])  # the layer is known from here on
    handles = []
    if where == "head":
        handles = [model.fc.register_forward_hook(fail)]
    if where == "layer":
        handles = [model.features.register_forward_pre_hook(fail)]
    state = State(model)
    target = {"target": fail, "backward": fail_backward}.get(where, 0)
    with pytest.raises(ExplainError if where == "target" else BrokenError) as error:
        attribute(model, x, [target], method=method)
    assert where != "target" or isinstance(error.value.__cause__, BrokenError)
    state.check()
    for handle in handles:
        handle.remove()
    assert attribute(model, x, [0], method=method).abs().max() > 0


def test_dropout_is_off_meanwhile_and_on_afterwards():
    model, x = seeded(Noisy), pictures()
    expected = attribute(model, x, [0])
    model.train()
    torch.testing.assert_close(attribute(model, x, [0]), expected)
    assert all(module.training for module in model.modules())


def test_a_train_method_of_the_models_own_is_not_called():
    """A model that freezes its batch norm by overriding train() would thaw or freeze it on restoring."""

    class Frozen(Noisy):
        def train(self, mode=True):
            super().train(mode)
            self.norm.eval()
            return self

    model = seeded(Frozen)
    nn.Module.train(model)
    attribute(model, pictures(), [0])
    assert model.norm.training


def test_random_numbers_go_on_as_if_nothing_had_run():
    model, x = seeded(Noisy), pictures()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    attribute(model, x, [0])
    assert torch.equal(torch.rand(4), expected)


def test_the_input_is_not_touched():
    """A network that normalises its input in place must neither change the caller's tensor nor see it twice."""

    class Normalising(Gap):
        def forward(self, x):
            x.sub_(0.5).mul_(2)
            return super().forward(x)

    model, x = seeded(Normalising), pictures()
    before = x.clone()
    expected = reference_gradcam(model, "features", lambda: model(x.clone())[:, 0].sum())
    for method in METHODS:
        maps = attribute(model, x, [0], method=method)
        assert torch.equal(x, before), method
        if method == "gradcam":
            torch.testing.assert_close(maps[0], expected)
    x.requires_grad_()
    attribute(model, x, [0], method="guided_backprop")
    assert x.grad is None
    assert x.requires_grad


# --- exact ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_equal_ordinary_backpropagation(name):
    model, x = network(name), pictures(2, 64)
    layer = mmcam.places.find.find_layer(model, model, x)
    maps = attribute(model, x, [0, 3])
    for t, target in enumerate((0, 3)):
        expected = reference_gradcam(model, layer, lambda: model(x)[:, target].sum())  # noqa: B023
        assert expected.max() > 0
        torch.testing.assert_close(maps[t], expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


@pytest.mark.parametrize("layer", ["layer2", "layer4.1.conv2", "layer4.1.bn1", "layer4.0.downsample.0"])
@pytest.mark.parametrize("n", [1, 2])
def test_a_layer_beside_a_shortcut_is_exact_too(layer, n):
    """The shortcut carries N rows and the layer T·N: for one picture they broadcast, for two the model refuses."""
    model, x = network("resnet18"), pictures(n, 64)
    evidence = evidence_at(model, lambda p, _: model(p), x, [lambda o: o[:, 0], lambda o: o[:, 7]], layer)
    for t, target in enumerate((0, 7)):
        expected = reference_gradcam(model, layer, lambda: model(x)[:, target].sum())  # noqa: B023
        got = gradcam(evidence)[0][t]
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


def test_one_picture_of_a_batch_does_not_touch_another():
    model, x = seeded(Deep), pictures(4)
    together = attribute(model, x, [0, 2])
    alone = torch.cat([attribute(model, x[n : n + 1], [0, 2]) for n in range(4)], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-7)


def class_targets(count):
    return [lambda out, t=t: out[:, t % 5] * (1 + t) for t in range(count)]


@pytest.mark.parametrize("rows", [64, 4, 7, 1])
@pytest.mark.parametrize("count", [1, 3, 11])
def test_many_targets_equal_one_at_a_time_whatever_the_chunks(rows, count):
    """rows=4 and 7 leave a last, smaller chunk of the 11 targets; rows=1 leaves one copy for all."""
    model, x = seeded(Deep), pictures(2)
    targets = class_targets(count)

    def at_features(some, rows):
        return evidence_at(model, lambda p, _: model(p), x, some, "features", rows=rows)

    together = at_features(targets, rows)
    assert together.gradients.shape[:2] == together.scores.shape == (count, 2)
    for t, target in enumerate(targets):
        alone = at_features([target], 64)
        scale = float(alone.gradients.abs().max())
        torch.testing.assert_close(together.gradients[t], alone.gradients[0], rtol=0, atol=1e-6 * scale)
        torch.testing.assert_close(together.scores[t], alone.scores[0])
        assert torch.equal(together.activations, alone.activations)


@pytest.mark.parametrize("kind", [CountsRows, LosesRows])
@pytest.mark.parametrize("rows", [64, 4])
def test_a_model_that_takes_no_added_rows_is_still_exact(kind, rows):
    model, x = seeded(kind), pictures(2)
    usual = seeded(Deep)
    got = evidence_at(model, lambda p, _: model(p), x, class_targets(7), "features", rows=rows)
    expected = evidence_at(usual, lambda p, _: usual(p), x, class_targets(7), "features")
    torch.testing.assert_close(got.gradients, expected.gradients, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(got.scores, expected.scores)
    assert got.activations.shape == expected.activations.shape


def test_the_fallback_goes_through_an_lstm():
    usual, stubborn, x = seeded(Captioner), seeded(Stubborn), pictures(2, 32)
    expected = mmcam.explain_caption(usual, list(x))
    got = mmcam.explain_caption(stubborn, list(x))
    for one, other in zip(expected, got, strict=True):
        for a, b in zip([*one, one.whole], [*other, other.whole], strict=True):
            assert a.values.max() > 0
            torch.testing.assert_close(a.values, b.values, rtol=1e-4, atol=1e-6 * float(a.values.max()))


@pytest.mark.parametrize("kind", [Captioner, Stubborn])
@pytest.mark.parametrize("rows", [64, 12, 4])
def test_many_targets_of_two_texts(kind, rows):
    """With texts=2 a target sees both texts' rows of its pictures, whichever copy is its own."""
    model, x = seeded(kind), pictures(2, 32)
    tokens = torch.tensor([[1, 2, 4, 5], [6, 9, 10, 3], [1, 3, 4, 8], [6, 9, 2, 7]])  # text, picture

    def forward(some, rows):
        return model.token_log_probs(some, rows.spread_tensor(tokens))

    targets = [lambda out, t=t: (t + 2) * out[:2, t] - out[2:, t] for t in range(4)]
    together = evidence_at(model, forward, x, targets, "encoder", texts=2, rows=rows)
    for t, target in enumerate(targets):
        alone = evidence_at(model, forward, x, [target], "encoder", texts=2)
        scale = float(alone.gradients.abs().max())
        torch.testing.assert_close(together.gradients[t], alone.gradients[0], rtol=0, atol=1e-5 * scale)
        torch.testing.assert_close(together.scores[t], alone.scores[0])


def test_the_fallback_survives_an_operation_without_a_batching_rule():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert not torch._C._functorch.is_batchedtensor(g)
            return 2 * x * torch.from_numpy(g.numpy())

    class Odd(CountsRows):
        def forward(self, x):
            return Square.apply(super().forward(x))

    model, x = seeded(Odd), pictures(2)
    maps = attribute(model, x, [0, 1], layer="features")
    for t in (0, 1):
        expected = reference_gradcam(model, "features", lambda: model(x)[:, t].sum())  # noqa: B023
        torch.testing.assert_close(maps[t], expected)


def test_an_in_place_operation_after_the_layer_changes_nothing():
    """Trap 1: peers mix the activations after the operation with the gradient before it."""

    class InPlace(Gap):
        def forward(self, x):
            a = self.features[:3](x)
            return self.fc(self.pool(F.relu_(a)).flatten(1))

    class OutOfPlace(Gap):
        def forward(self, x):
            a = self.features[:3](x)
            return self.fc(self.pool(F.relu(a)).flatten(1))

    x = pictures()
    one, other = (attribute(seeded(kind), x, [0, 1], layer="features.2") for kind in (InPlace, OutOfPlace))
    assert one.max() > 0
    assert torch.equal(one, other)


def test_torchvisions_convolution_and_in_place_relu():
    x = pictures(1, 64)
    model = copy.deepcopy(network("vgg11_bn"))
    layer = "features.26"  # batch norm straight before an in-place ReLU
    assert model.features[27].inplace
    activations = evidence_at(model, lambda p, _: model(p), x, [lambda o: o[:, 0]], layer).activations
    assert (activations < 0).any(), "these are the activations after the ReLU"
    maps = attribute(model, x, [0], layer=layer)
    guided = attribute(model, x, [0], layer=layer, method="guided_gradcam")
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    torch.testing.assert_close(maps, attribute(model, x, [0], layer=layer))
    torch.testing.assert_close(guided, attribute(model, x, [0], layer=layer, method="guided_gradcam"))


# --- cost -------------------------------------------------------------------------------------------------------------


def test_nothing_before_the_layer_keeps_a_graph_and_no_parameter_gets_a_gradient():
    model, x = seeded(Deep), pictures(2)
    evidence_at(model, lambda p, _: model(p), x, class_targets(3), "features")  # the first call proves more
    place = ["before"]
    saved = []
    handle = model.features.register_forward_hook(lambda *_: place.append("after"), always_call=False)
    graphs = []
    inner = model.features[1].register_forward_hook(lambda m, i, o: graphs.append(o.grad_fn))

    def pack(tensor):
        saved.append((place[-1], tuple(tensor.shape)))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        evidence_at(model, lambda p, _: model(p), x, class_targets(3), "features")
    handle.remove()
    inner.remove()
    assert saved, "the head keeps something for its backward pass"
    assert {where for where, _ in saved} == {"after"}
    assert graphs == [None]
    assert all(p.grad is None for p in model.parameters())


def test_no_parameter_gradient_is_computed_even_without_being_kept():
    model, x = seeded(Deep), pictures(2)
    asked = []
    for parameter in model.parameters():
        parameter.register_hook(asked.append)
    for method in ("gradcam", "guided_backprop", "guided_gradcam"):
        attribute(model, x, [0], method=method)
    assert not asked


def test_the_encoder_runs_once_for_all_targets():
    model, x = seeded(Deep), pictures(2)
    attribute(model, x, [0])  # finds the layer
    rows = []
    model.features[0].register_forward_hook(lambda m, i, o: rows.append(len(o)))
    attribute(model, x, [0, 1, 2, 3, 4])
    assert rows == [2]


def test_memory_of_the_layers_before_is_let_go():
    """Tensors alive when the head runs: the leaf and its copies, but none of the encoder's inner maps."""
    model, x = seeded(Deep), pictures(2)
    evidence_at(model, lambda p, _: model(p), x, class_targets(1), "features")  # the first call proves more
    alive = []

    def count(*_):
        gc.collect()
        shape = (2, 6, 16, 16)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            alive.append(sum(isinstance(o, torch.Tensor) and tuple(o.shape) == shape for o in gc.get_objects()))

    count()  # what other tests left
    model.head.register_forward_pre_hook(count)
    evidence_at(model, lambda p, _: model(p), x, class_targets(1), "features")
    before, inside = alive
    assert inside == before


# --- callers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)])
def test_callers_without_gradients_get_the_same_maps(mode, method):
    model = seeded(Gap)
    expected = attribute(model, pictures(), [0, 1], method=method)
    with mode():
        x = pictures()
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        maps = attribute(model, x, [0, torch.tensor([1, 1])], method=method)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
def test_frozen_parameters(method):
    model, x = seeded(Deep), pictures()
    expected = attribute(model, x, [0], method=method)
    model.requires_grad_(False)
    torch.testing.assert_close(attribute(model, x, [0], method=method), expected)


@pytest.mark.parametrize("decorated", [False, True])
def test_an_encoder_inside_a_no_grad_block(decorated):
    """Common with frozen encoders; peers say 'element 0 does not require grad'."""

    class Frozen(Deep):
        @torch.no_grad()
        def encode(self, x):
            return self.features(x)

        def forward(self, x):
            if decorated:
                return self.head(self.encode(x).flatten(1))
            with torch.no_grad():
                a = self.features(x)
            return self.head(a.flatten(1))

    x = pictures()
    for targets in ([0], [0, 1, 2]):
        expected = attribute(seeded(Deep), x, targets)
        torch.testing.assert_close(attribute(seeded(Frozen), x, targets), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models(dtype):
    model, x = seeded(Deep), pictures()
    expected = attribute(model, x, [0, 1])
    half = copy.deepcopy(model).to(dtype)
    maps = attribute(half, x.to(dtype), [0, 1])
    assert maps.dtype == torch.float32
    assert float((maps - expected).abs().max()) < 0.03 * float(expected.max())
    exp = mmcam.explain_class(half, x[0], 0)
    assert exp.heatmap.dtype == "float32"


@pytest.mark.parametrize("method", METHODS)
def test_channels_last(method):
    model, x = seeded(Gap), pictures()
    expected = attribute(model, x, [0, 1], method=method)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    maps = attribute(last, x.to(memory_format=torch.channels_last), [0, 1], method=method)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.fixture
def process_group():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_data_parallel():
    model, x = seeded(Deep), pictures()
    torch.testing.assert_close(attribute(nn.DataParallel(model), x, [0]), attribute(model, x, [0]))


def test_distributed_data_parallel(process_group):
    model, x = seeded(Deep), pictures()
    wrapped = nn.parallel.DistributedDataParallel(model)
    torch.testing.assert_close(attribute(wrapped, x, [0]), attribute(model, x, [0]))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
def test_a_compiled_model_after_its_first_call(in_place, method):
    """Trap 11: hooks put on after the first call never fire in a compiled graph."""
    torch._dynamo.reset()
    plain, x = seeded(Deep), pictures()
    expected = attribute(plain, x, [0, 1], method=method)
    model = seeded(Deep)
    if in_place:
        model.compile(backend="eager")
        called = model
    else:
        called = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = called(x)
    torch.testing.assert_close(attribute(called, x, [0, 1], method=method), expected)
    with torch.no_grad():
        torch.testing.assert_close(called(x), before)
    torch._dynamo.reset()


def test_torchscript_and_quantised_models_are_refused_in_one_sentence():
    x = pictures(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(seeded(Gap), x)
        quantise = pytest.importorskip("torch.ao.quantization").quantize_dynamic
        quantised = quantise(seeded(Gap), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ExplainError, match="TorchScript models take no hooks"):
        attribute(scripted, x, [0])
    with pytest.raises(ExplainError, match="Quantised layers have no gradients"):
        attribute(quantised, x, [0])


class Pair(NamedTuple):
    logits: torch.Tensor
    extra: torch.Tensor


@dataclass
class Output(OrderedDict):
    """As transformers' ModelOutput: a mapping with attributes."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None

    def __post_init__(self):
        for name in ("loss", "logits"):
            if getattr(self, name) is not None:
                self[name] = getattr(self, name)


@pytest.mark.parametrize(
    "form",
    [
        lambda y: (y, None),
        lambda y: [y, y[:, :1]],
        lambda y: {"logits": y, "nothing": None},
        lambda y: Pair(y, y[:, :1]),
        lambda y: Output(logits=y),
        lambda y: (y, (y, "text", 3)),
    ],
    ids=["tuple", "list", "dict", "namedtuple", "ModelOutput", "nested"],
)
def test_models_may_return_structures(form):
    class Structured(Deep):
        def forward(self, x):
            return form(super().forward(x))

    x = pictures()
    for targets in ([0], [0, 1, 2], [torch.tensor([2, 1])]):
        got = attribute(seeded(Structured), x, targets)
        torch.testing.assert_close(got, attribute(seeded(Deep), x, targets))


@pytest.mark.parametrize("form", [lambda a: (a, 7), lambda a: {"map": a}, lambda a: Output(logits=a)])
def test_layers_may_return_structures(form):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = seeded(Deep).features

        def forward(self, x):
            return form(self.layers(x))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = Encoder(), seeded(Deep).head

        def forward(self, x):
            return self.head(first_tensor(self.encoder(x)).flatten(1))

    x = pictures()
    for method in ("gradcam", "guided_gradcam"):
        got = attribute(Model().eval(), x, [0, 1], layer="encoder", method=method)
        torch.testing.assert_close(got, attribute(seeded(Deep), x, [0, 1], layer="features", method=method))


# --- a layer called several times -------------------------------------------------------------------------------------


class Twice(nn.Module):
    """One layer, two calls, each with a picture of its own."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(torch.tanh(self.shared(torch.tanh(self.shared(x)))).mean((2, 3)))


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
def test_a_layer_that_runs_twice_is_named_with_its_count(method):
    with pytest.raises(ExplainError, match=r"'shared' runs 2 times in one forward; say which with call=0…1"):
        attribute(seeded(Twice), pictures(), [0], layer="shared", method=method)
    with pytest.raises(ExplainError, match="runs only 2 times, so there is no call=2"):
        attribute(seeded(Twice), pictures(), [0], layer="shared", call=2, method=method)


@pytest.mark.parametrize("call", [0, 1])
def test_a_chosen_call_equals_ordinary_backpropagation(call):
    model, x = seeded(Twice), pictures()
    maps = attribute(model, x, [1, 2], layer="shared", call=call)
    for t, target in enumerate((1, 2)):
        expected = reference_gradcam(model, "shared", lambda: model(x)[:, target].sum(), call)  # noqa: B023
        torch.testing.assert_close(maps[t], expected)
    assert maps.max() > 0


# --- errors -----------------------------------------------------------------------------------------------------------


class Blind(Gap):
    """Runs a branch and does not use it, and looks at one cell only after another layer."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Conv2d(8, 2, 1)
        self.never = nn.Conv2d(8, 2, 1)
        self.zero = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        a = self.features(x)
        self.unused(a)
        return self.fc(self.pool(a + 0 * self.zero(a)).flatten(1))


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
@pytest.mark.parametrize("targets", [[0], [0, 1]])
@pytest.mark.parametrize("layer", ["unused", "zero"])
def test_a_layer_the_score_does_not_use_is_no_blank_map(layer, targets, method):
    with pytest.raises(ExplainError, match=f"does not depend on layer {layer!r}: its gradient there is zero"):
        attribute(seeded(Blind), pictures(), targets, layer=layer, method=method)


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam"])
def test_a_layer_that_never_runs(method):
    with pytest.raises(ExplainError, match="'never' is never run"):
        attribute(seeded(Blind), pictures(), [0], layer="never", method=method)


@pytest.mark.parametrize("method", ["gradcam", "guided_backprop", "guided_gradcam"])
def test_a_score_without_a_gradient(method):
    for target in (lambda out: out[:, 0].detach(), lambda out: out.argmax(1).float(), lambda out: torch.ones(2)):
        with pytest.raises(ExplainError, match="does not depend"):
            attribute(seeded(Gap), pictures(), [target], method=method)
        with pytest.raises(ExplainError, match="does not depend"):
            attribute(seeded(Gap), pictures(), [0, target], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_the_model_has_not(method):
    """Trap 9: an error inside the run must come out."""
    for bad, named in ((5, "5"), (-6, "-6"), (torch.tensor([0, 7]), "7"), (torch.tensor([-9, 4]), "-9")):
        with pytest.raises(ExplainError, match=rf"no class {named}: the model has classes 0…4"):
            attribute(seeded(Gap), pictures(), [bad], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_not_one_class_a_picture(method):
    """Trap 8: peers return silent zero maps."""
    for count in (1, 3):
        with pytest.raises(ExplainError, match=rf"{count} classes for 2 pictures"):
            attribute(seeded(Gap), pictures(), [torch.zeros(count, dtype=torch.long)], method=method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "target", [lambda out: out, lambda out: out.sum(), lambda out: out[:1, 0], lambda out: 3.0], ids=range(4)
)
def test_a_target_of_the_wrong_shape(target, method):
    with pytest.raises(ExplainError, match=r"into shape \(2,\); this one gives"):
        attribute(seeded(Gap), pictures(), [target], method=method)


def test_one_picture_may_have_a_scalar_score():
    model, x = seeded(Gap), pictures(1)
    torch.testing.assert_close(attribute(model, x, [lambda out: out[0, 2]]), attribute(model, x, [2]))


def test_targets_are_a_list():
    for bad in ([], (), 3, torch.tensor([0, 1]), lambda out: out[:, 0]):
        with pytest.raises(ExplainError, match=r"list"):
            attribute(seeded(Gap), pictures(), bad)


def test_pictures_are_a_batch():
    with pytest.raises(ExplainError, match=r"\(N,C,H,W\); this one is \(3, 16, 16\)"):
        attribute(seeded(Gap), pictures()[0], [0])


def test_an_output_that_holds_no_logits():
    class Dense(Gap):
        def forward(self, x):
            return self.features(x)

    with pytest.raises(ExplainError, match=r"gives shape \(2, 8, 16, 16\)"):
        attribute(seeded(Dense), pictures(), [0], layer="features.0")
    maps = attribute(seeded(Dense), pictures(), [lambda out: out[:, 3].sum((1, 2))], layer="features.0")
    assert maps.shape == (1, 2, 16, 16)


def test_a_wrong_layer_names_near_ones():
    with pytest.raises(ExplainError, match=r"no layer 'layer5' in ResNet; did you mean .*layer4"):
        attribute(network("resnet18"), pictures(1, 64), [0], layer="layer5")
    with pytest.raises(ExplainError, match="no layer ''"):
        attribute(seeded(Gap), pictures(), [0], layer="")


def test_a_layer_without_a_map_says_what_it_gives():
    with pytest.raises(ExplainError, match=r"'fc' gives \(2, 5\) of torch.float32, not a spatial map"):
        attribute(seeded(Gap), pictures(), [0], layer="fc")


# --- devices ----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["gradcam", "guided_backprop", "guided_gradcam"])
@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn"])
def test_the_gpu_gives_the_cpus_map(name, method):
    """To 1e-4 of the map's maximum in float32, with TF32 off."""
    x = pictures(2, 64)
    model = network(name)
    with full_precision():
        expected = attribute(model, x, [0, 3], method=method)
        got = attribute(copy.deepcopy(model).cuda(), x.cuda(), [0, 3], method=method)
    assert got.is_cuda
    assert float((got.cpu() - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


@pytest.mark.gpu
def test_an_lstm_on_the_gpu():
    """Trap 4: cuDNN has no backward of an RNN in eval mode; the flag is as before, also for the fallback."""
    x = pictures(2, 32)
    for kind in (Captioner, Stubborn):
        model = seeded(kind)
        with full_precision():
            expected = mmcam.explain_caption(model, list(x))
            state = State(model.cuda())
            got = mmcam.explain_caption(model, list(x))
        state.check()
        for one, other in zip(expected, got, strict=True):
            for a, b in zip(one, other, strict=True):
                assert b.values.is_cuda
                assert float((a.values - b.values.cpu()).abs().max()) <= 1e-4 * float(a.values.max())


@contextlib.contextmanager
def full_precision():
    conv, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = conv, matmul


def test_a_chunk_of_targets_does_not_walk_back_through_the_others():
    """Each target's part of the graph is walked once, so that time is linear in the number of targets."""
    walked = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            walked.append(1)
            return g

    targets = [lambda out, t=t: Counted.apply(out[:, t % 5]) for t in range(12)]
    model = seeded(Deep)
    evidence_at(model, lambda p, _: model(p), pictures(1), targets, "features", rows=3)
    assert len(walked) == len(targets)


def test_targets_that_ignore_the_layer_may_fill_a_chunk():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.cat([self.one(x).mean((2, 3)), self.other(x).mean((2, 3))], dim=1)

    model = seeded(Two)
    targets = [lambda out: out[:, 0], lambda out: out[:, 1], lambda out: out[:, 5], lambda out: out[:, 6]]
    gradients = evidence_at(model, lambda p, _: model(p), pictures(1), targets, "one", rows=2).gradients
    assert [bool(g.any()) for g in gradients] == [True, True, False, False]
