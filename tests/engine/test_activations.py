"""A layer's output alone: what a plain hook sees, and nothing is run behind it."""

import pytest
import torch
from state import State
from tiny import VQA, Captioner, Deep, Gap, Noisy, mixed, network, pictures, seeded
from torch import nn

from mmcam import ExplainError
from mmcam.engine import record
from mmcam.places.survey import layer_at


def activations(model, forward, x, layer, call=None):
    """Of one layer, by its name."""
    return record.activations(model, forward, x, [layer_at(model, forward, x, layer, call)])[0]


class Twice(nn.Module):
    """One convolution that runs three times."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.unused = nn.Conv2d(3, 3, 1)
        self.runs = 0

    def forward(self, x):
        for _ in range(3):
            x = self.conv(x)
            self.runs += 1
        return x.mean((2, 3))


def hooked(model, x, layer, call=0):
    """What a plain hook sees of a plain forward."""
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    with torch.no_grad():
        model(x)
    handle.remove()
    return seen[call]


@pytest.mark.parametrize("layer", ["features.0", "features.1", "features.2", "features"])
def test_activations_are_those_of_a_plain_hook(layer):
    model, x = seeded(Deep), pictures(3)
    found = activations(model, model, x, layer)
    assert torch.equal(found, hooked(model, x, layer))
    assert not found.requires_grad
    assert not found.is_inference()


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_what_an_operation_in_place_would_overwrite_is_kept(name):
    """Their batch norms are followed by ReLUs in place."""
    model, x = network(name), pictures(2, 64)
    layer = next(n for n, module in model.named_modules() if isinstance(module, nn.BatchNorm2d))
    found = activations(model, model, x, layer)
    assert torch.equal(found, hooked(model, x, layer))
    assert found.min() < 0


def test_nothing_behind_the_layer_is_run():
    model, x = seeded(Deep), pictures()
    activations(model, model, x, "features.1")  # the first call of all looks where cells lie
    ran = []
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda _m, _i, name=name: ran.append(name))
    activations(model, model, x, "features.1")
    assert ran == ["", "features", "features.0", "features.1"]


def test_nothing_is_run_after_a_return_to_python():
    model, x = seeded(Deep), pictures()
    after = []

    def forward(pictures):
        out = model(pictures)
        after.append(out)
        return out

    activations(model, model, x, "features.2")  # the first call of all looks where cells lie
    activations(model, forward, x, "features.2")
    assert after == []


@pytest.mark.parametrize("call", [0, 1, 2])
def test_a_layer_that_runs_several_times_is_read_at_the_call_asked_for(call):
    model, x = seeded(Twice), pictures()
    assert torch.equal(activations(model, model, x, "conv", call), hooked(model, x, "conv", call))


def test_without_a_call_the_first_is_read_and_no_other_runs():
    model, x = seeded(Twice), pictures()
    assert torch.equal(activations(model, model, x, "conv"), hooked(model, x, "conv", 0))
    model.runs = 0
    activations(model, model, x, "conv")
    assert model.runs == 0
    activations(model, model, x, "conv", 1)
    assert model.runs == 1


def test_a_call_that_never_comes_is_refused():
    model = seeded(Twice)
    with pytest.raises(ExplainError, match=r"runs only 3 times, so there is no call=3\."):
        activations(model, model, pictures(), "conv", 3)


def test_layers_that_will_not_do_are_refused():
    model, x = seeded(Twice), pictures()
    with pytest.raises(ExplainError, match="no layer 'cnov' in Twice; did you mean conv"):
        activations(model, model, x, "cnov")
    with pytest.raises(ExplainError, match="no layer ''"):
        activations(model, model, x, "")
    with pytest.raises(ExplainError, match="'unused' is never run"):
        activations(model, model, x, "unused")
    gap = seeded(Gap)
    with pytest.raises(ExplainError, match=r"'fc' gives \(2, 5\) of torch.float32, not a spatial map"):
        activations(gap, gap, x, "fc")


class Structured(nn.Module):
    """A layer whose output holds its map in a tuple, after none."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return None, {"map": self.conv(x)}

    def __init__(self):
        super().__init__()
        self.layer = Structured.Layer()

    def forward(self, x):
        return self.layer(x)[1]["map"].mean((2, 3))


def test_the_first_tensor_of_a_structure_is_the_map():
    model, x = seeded(Structured), pictures()
    assert torch.equal(activations(model, model, x, "layer"), hooked(model, x, "layer.conv"))


def test_a_model_is_left_as_found():
    model, x = mixed(seeded(Noisy)), pictures()
    state, before = State(model), x.clone()
    activations(model, model, x, "norm")
    state.check()
    assert torch.equal(x, before)


def test_a_model_is_evaluated_meanwhile():
    model, x = seeded(Noisy), pictures()
    expected = activations(model, model, x, "norm")
    model.train()
    assert torch.equal(activations(model, model, x, "norm"), expected)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("layer", ["nowhere", "unused", "fc"])
def test_a_model_is_left_as_found_after_an_error(layer):
    model = mixed(seeded(Noisy))
    model.unused = nn.Conv2d(1, 1, 1)
    state = State(model)
    with pytest.raises(ExplainError):
        activations(model, model, pictures(), layer)
    state.check()


def test_an_error_of_the_models_own_is_not_swallowed():
    model = mixed(seeded(Noisy))

    class BrokenError(Exception):
        pass

    def fail(*_):
        raise BrokenError

    handle = model.features[2].register_forward_pre_hook(fail)
    state = State(model)
    with pytest.raises(BrokenError):
        activations(model, model, pictures(), "norm")
    state.check()
    handle.remove()


def test_a_forward_that_works_in_place_on_its_input_leaves_the_pictures_alone():
    model, x = seeded(Gap), pictures()
    before = x.clone()
    doubled = activations(model, lambda pictures: model(pictures.mul_(2)), x, "features.0")
    assert torch.equal(x, before)
    assert torch.equal(doubled, hooked(model, 2 * x, "features.0"))


def test_in_inference_mode():
    model = seeded(Gap)
    expected = activations(model, model, pictures(), "features")
    with torch.inference_mode():
        x = pictures()
        found = activations(model, model, x, "features")
        inferred = seeded(Gap)  # its parameters are inference tensors
    assert torch.equal(found, expected)
    assert not found.is_inference()
    assert torch.equal(activations(inferred, inferred, x, "features"), expected)


def test_the_text_side_of_a_model_is_not_run():
    captioner, x = seeded(Captioner), pictures(2, 32)

    def read(p):
        return captioner.token_log_probs(p, torch.ones(len(p), 1).long())

    activations(captioner, read, x, "encoder.2")  # the first call of all looks where cells lie
    captioner.lstm.register_forward_pre_hook(lambda *_: pytest.fail("the LSTM ran"))
    found = activations(captioner, read, x, "encoder.2")
    with torch.no_grad():
        assert torch.equal(found, captioner.encoder[:3](x))
    vqa = seeded(VQA)
    found = activations(vqa, lambda p: vqa.answer_scores(p, ["a"] * len(p)), x, "encoder.2")
    with torch.no_grad():
        assert torch.equal(found, vqa.encoder[:3](x))
