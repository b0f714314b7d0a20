"""What an encoder gave is handed out again: the same numbers, without the work, and only for the same inputs."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tiny import network
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import Kept, _known, begun, keep
from mmcam.engine.weights import state_of


@contextlib.contextmanager
def runs(module: nn.Module):
    """How many pictures a module computes meanwhile; where another forward stands in its place it computes nothing."""
    kind, count = type(module), [0]
    original = kind.forward

    def forward(self, x, *args, **kwargs):
        count[0] += len(x) if self is module else 0
        return original(self, x, *args, **kwargs)

    kind.forward = forward
    try:
        yield count
    finally:
        kind.forward = original


class Residual(nn.Module):
    """A block with a shortcut and ReLUs in place."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU(inplace=True)

    def forward(self, x):
        shortcut = x
        x = self.two(self.relu(self.one(x)))
        x += shortcut
        return self.relu(x)


class Encoder(nn.Module):
    """Modules and plain functions between them."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.first, self.second, self.third = Residual(), Residual(), Residual()

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.stem(x))), 2) * scale
        return self.third(self.second(self.first(x)))


class Reader(nn.Module):
    """An encoder and something behind it, which `read` twice in a forward."""

    def __init__(self, encoder=Encoder):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = encoder()
        self.head = nn.LazyLinear(4)
        self.forward(torch.randn(1, 3, 32, 32))
        self.eval()

    def forward(self, x):
        return self.head(self.encoder(x).flatten(1))


PICTURES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LAYERS = [name for name, _ in Encoder().named_modules(prefix="encoder")]


def output(model: nn.Module, x: Tensor, *kept: Kept) -> tuple[Tensor, int]:
    """A model's output, and how many pictures its first convolution computed for it."""
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    with runs(first) as count, as_found(model), begun(kept, model):
        return model(x), count[0]


def kept_of(model, x=PICTURES, encoder="encoder", layer="encoder.second") -> Kept:
    kept = keep(model, model, x, encoder, layer)
    assert kept is not None
    return kept


@pytest.mark.parametrize("layer", LAYERS)
def test_the_output_from_any_layer_on_is_the_same(layer):
    """Of a shortcut over the layer, of functions between modules, of work in place."""
    model = Reader()
    expected, _ = output(model, PICTURES)
    kept = keep(model, model, PICTURES, "encoder", layer)
    assert kept is not None
    for _ in range(2):  # what is handed out is not worked on
        found, computed = output(model, PICTURES, kept)
        assert torch.equal(found, expected)
        assert computed == 0


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer4.1.conv2"), ("mobilenet_v2", "features.17"), ("densenet121", "features.denseblock4")],
)
def test_whole_networks(name, layer):
    model = network(name)
    x = torch.randn(2, 3, 64, 64)
    expected, computed = output(model, x)
    assert computed == 2
    found, computed = output(model, x, kept_of(model, x, "", layer))
    assert torch.equal(found, expected)
    assert computed == 0


def test_only_what_is_read_again_takes_memory():
    """At the last block: what goes into it, into the stage that holds it, and what comes out, of all there was."""
    model = network("resnet18")
    kept = kept_of(model, torch.randn(2, 3, 64, 64), "", "layer4.1")
    held = [tensor.untyped_storage().nbytes() for outputs in kept.outputs.values() for tensor in outputs if tensor.ndim]
    assert sorted(size for size in held if size > 8) == [2 * 512 * 2 * 2 * 4, 2 * 512 * 2 * 2 * 4, 2 * 256 * 4 * 4 * 4]


@pytest.mark.parametrize("at", [[0], [2, 0], [1, 1, 1, 0], [0, 1, 2]])
def test_pictures_are_known_again_in_any_order_and_number(at):
    model = Reader()
    found, computed = output(model, PICTURES[at], kept_of(model))
    assert computed == 0
    torch.testing.assert_close(found, output(model, PICTURES[at])[0], rtol=1e-5, atol=1e-6)


def test_pictures_looked_at_apart_come_together():
    model = Reader()
    kept = [kept_of(model, PICTURES[n : n + 1]) for n in (2, 0)]
    found, computed = output(model, PICTURES[[0, 2]], *kept)
    assert computed == 0
    torch.testing.assert_close(found, output(model, PICTURES[[0, 2]])[0], rtol=1e-5, atol=1e-6)
    assert output(model, PICTURES[:2], *kept)[1] == 2  # of the second nothing is known


def test_one_picture_alone_can_be_let_go():
    model = Reader()
    whole = kept_of(model)
    one = whole.row(1)
    found, computed = output(model, PICTURES[1:2], one)
    assert computed == 0
    torch.testing.assert_close(found, output(model, PICTURES[1:2])[0], rtol=1e-5, atol=1e-6)
    large = [t for outputs in one.outputs.values() for t in outputs if any(t.stride())]
    assert all(t.untyped_storage().nbytes() == t.numel() * 4 for t in large)


def test_other_inputs_are_computed():
    model = Reader()
    kept = kept_of(model)
    changed = PICTURES.clone()
    changed[2, 1, 30, 30] += 1e-3  # a number that is in none of the samples, or in some
    for x in (changed, PICTURES[:, :, :16, :16].repeat(1, 1, 2, 2), PICTURES.flip(3)):
        found, computed = output(model, x, kept)
        assert computed == 3
        assert torch.equal(found, output(model, x)[0])


def test_another_way_to_call_the_encoder_is_another_input():
    model = Reader()
    kept = kept_of(model)
    with runs(model.encoder.stem) as count, as_found(model), begun([kept], model):
        model.encoder(PICTURES, 1.0)
        model.encoder(PICTURES, scale=2.0)
        assert count[0] == 6
        model.encoder(PICTURES)
        assert count[0] == 6


def test_precision_belongs_to_the_call():
    model = Reader()
    kept = kept_of(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert output(model, PICTURES, kept)[1] == 3


def test_recorded_pictures_are_computed():
    """Their gradient is asked for."""
    model = Reader()
    x = PICTURES.clone().requires_grad_()
    with torch.enable_grad():
        with runs(model.encoder.stem) as count, as_found(model), begun([kept_of(model)], model), torch.enable_grad():
            result = model(x).sum()
        (gradient,) = torch.autograd.grad(result, x)
    assert count[0] == 6  # three for what is kept
    assert gradient.abs().sum() > 0


class Layer:
    def __init__(self, name):
        self.name = name


def test_a_layer_that_would_not_run_makes_everything_run():
    model = Reader()
    kept = kept_of(model)
    for name, computed in (("first", 3), ("second.one", 3), ("stem", 3), ("second", 0), ("third.one", 0)):
        with runs(model.encoder.stem) as count, as_found(model), begun([kept], model, [Layer(f"encoder.{name}")]):
            model(PICTURES)
        assert count[0] == computed, name


class Forgets(Encoder):
    """What comes behind the second block reads a sum that no module gave, of an output that no name holds."""

    def forward(self, x):
        x = self.stem(x)
        x = self.first(x) + 1
        return self.second(x) + x


def test_where_a_function_needs_what_nothing_holds_everything_is_kept():
    model = Reader(Forgets)
    kept = kept_of(model)
    assert list(_known[model].values()) == ["all"]
    found, computed = output(model, PICTURES, kept)
    assert computed == 0
    assert torch.equal(found, output(model, PICTURES)[0])


def test_an_encoder_that_is_another_one_each_time_is_not_kept():
    class Counts(Encoder):
        times = 0

        def forward(self, x):
            self.times += 1
            return super().forward(x) + self.times

    model = Reader(Counts)
    assert keep(model, model, PICTURES, "encoder", "encoder.second") is None
    assert keep(model, model, PICTURES, "encoder", "encoder.second") is None
    assert "nothing" in _known[model].values()


class Numbered(nn.Module):
    """Gives a mapping that cannot be made anew from keywords."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 3, 2, 1)

    def forward(self, x):
        return {0: self.convolution(x)}


def test_outputs_of_an_odd_form_are_not_kept():
    class Odd(Encoder):
        def __init__(self):
            super().__init__()
            self.stem = Numbered()

        def forward(self, x):
            return self.second(self.first(self.stem(x)[0]))

    model = Reader(Odd)
    assert keep(model, model, PICTURES, "encoder", "encoder.second") is None
    assert keep(model, model, PICTURES, "encoder", "encoder.stem") is None
    assert keep(model, model, PICTURES, "encoder", "encoder.stem.convolution") is not None


def test_what_is_kept_does_not_hang_on_what_else_is_alive():
    """What a garbage collector had not found yet the first time is kept, and what is needed is kept every time."""
    model, held = Reader(), []
    hook = model.encoder.stem.register_forward_hook(lambda module, inputs, out: held.append(out))
    kept_of(model)
    hook.remove()
    held.clear()
    again = kept_of(model)
    assert any(again.outputs[model.encoder.stem][0].stride())
    gone = kept_of(model, layer="encoder.third")
    assert not any(gone.outputs[model.encoder.stem][0].stride())
    model.encoder.stem.register_forward_hook(lambda module, inputs, out: held.append(out))
    assert not any(kept_of(model, layer="encoder.third").outputs[model.encoder.stem][0].stride())


def test_a_layer_outside_the_encoder_is_not_kept():
    model = Reader()
    assert keep(model, model, PICTURES, "encoder", "head") is None
    assert keep(model, model, PICTURES, "encoder.second", "encoder.third") is None


def test_the_model_is_left_as_found():
    model = Reader()
    own = model.encoder.first.forward
    model.encoder.first.forward = own  # as libraries do that wrap a forward
    before = [dict(vars(module)) for module in model.modules()]
    kept = kept_of(model)
    output(model, PICTURES, kept)
    with pytest.raises(ZeroDivisionError), as_found(model), begun([kept], model):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError):
        keep(model, lambda x: model(x[:, :2]), PICTURES, "encoder", "encoder.third")
    assert [dict(vars(module)) for module in model.modules()] == before


def test_another_thread_runs_the_model_as_it_is():
    """In the middle of a pass that begins at the layer."""
    model, found = Reader(), []
    expected, _ = output(model, PICTURES)
    kept = kept_of(model)

    def elsewhere(module, inputs, out):
        if threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(1) as pool:
                found.append(pool.submit(model, PICTURES * 2).result().detach())

    model.encoder.stem.register_forward_hook(elsewhere)
    again, _ = output(model, PICTURES, kept)
    assert torch.equal(again, expected)
    assert len(found) == 1
    torch.testing.assert_close(found[0], model(PICTURES * 2))


def test_hooks_run_once_a_pass():
    """A hook that changes an output does not change it twice."""
    model = Reader()
    model.encoder.second.register_forward_hook(lambda module, inputs, out: out * 3)
    model.encoder.first.register_forward_hook(lambda module, inputs, out: out * 2)
    expected, _ = output(model, PICTURES)
    found, computed = output(model, PICTURES, kept_of(model))
    assert computed == 0
    assert torch.equal(found, expected)


def changed_by(change) -> bool:
    model = Reader()
    kept = kept_of(model)
    assert not kept.stale
    change(model)
    return kept.stale


def step(model):
    model.encoder(PICTURES).sum().backward()
    torch.optim.SGD(model.encoder.parameters(), lr=1e-3).step()


@pytest.mark.parametrize(
    "change",
    [
        step,
        lambda model: [p.data.mul_(0.99) for p in model.encoder.parameters()],  # as averages of weights do
        lambda model: model.encoder.load_state_dict(Reader().encoder.state_dict()),
        lambda model: model.double(),
        lambda model: model.encoder.train()(PICTURES),  # statistics of a batch norm
        lambda model: setattr(model.encoder.third.one, "weight", nn.Parameter(torch.zeros(6, 6, 3, 3))),
    ],
)
def test_other_weights_are_seen(change):
    assert changed_by(change)


def test_the_weights_behind_the_encoder_may_change():
    assert not changed_by(lambda model: torch.nn.init.zeros_(model.head.weight))
    assert not changed_by(lambda model: model.train())


def test_the_state_of_odd_weights():
    """Empty ones, single numbers, whole numbers."""
    module = nn.Module()
    module.register_buffer("none", torch.zeros(0, 3))
    module.register_buffer("one", torch.tensor(1.0))
    module.register_buffer("whole", torch.arange(3))
    before = state_of(module)
    assert state_of(module) == before
    module.one += 1
    assert state_of(module) != before
