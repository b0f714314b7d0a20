"""Whose units are these? Every weight up to the layer counts, and nothing behind it."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from tiny import Captioner, Gap, pictures, seeded
from torch import nn

from mmcam import ExplainError
from mmcam.neurons.fingerprint import HALVES, Origin, cast_fingerprints, fingerprint
from models import load


class Net(nn.Module):
    """What lies before the layer `body.norm`, in it, and after it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.body = nn.Sequential()
        self.body.add_module("conv", nn.Conv2d(4, 6, 3))
        self.body.add_module("norm", nn.BatchNorm2d(6))
        self.body.add_module("relu", nn.ReLU())
        self.body.add_module("last", nn.Conv2d(6, 6, 1))
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.body(self.stem(x)).mean((2, 3)))


LAYER = "body.norm"
BEFORE = ("stem.weight", "stem.bias", "body.conv.weight", "body.conv.bias", "body.norm.weight", "body.norm.bias")
AFTER = ("body.last.weight", "body.last.bias", "fc.weight", "fc.bias")


def afresh(model, layer=LAYER):
    """The fingerprint of a copy, which nothing can be remembered of."""
    return fingerprint(copy.deepcopy(model), layer)


def test_it_is_sixteen_hex_digits_and_the_same_each_time():
    model = seeded(Net)
    found = fingerprint(model, LAYER)
    assert len(found) == 16
    assert set(found) <= set("0123456789abcdef")
    assert fingerprint(model, LAYER) == found == afresh(model) == fingerprint(seeded(Net), LAYER)
    assert fingerprint(seeded(Net, seed=1), LAYER) != found


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("place", [0, -1])
def test_one_weight_before_or_in_the_layer_changes_it(name, place):
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    tensor = model.get_parameter(name)
    with torch.no_grad():
        tensor.view(-1)[place] = torch.nextafter(tensor.view(-1)[place], torch.tensor(9.0))
    assert fingerprint(model, LAYER) != before


@pytest.mark.parametrize("name", AFTER)
def test_nothing_after_the_layer_does(name):
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    with torch.no_grad():
        model.get_parameter(name).add_(1)
    model.body[3] = nn.Conv2d(6, 9, 3)
    model.fc = nn.Linear(9, 100)
    model.more = nn.LSTM(3, 3)
    assert fingerprint(model, LAYER) == before == afresh(model)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_running_statistics_count(name):
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    getattr(model.body.norm, name)[3] += 0.1
    assert fingerprint(model, LAYER) != before


def test_the_number_of_batches_seen_does_not():
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    model.body.norm.num_batches_tracked += 5
    assert fingerprint(model, LAYER) == before == afresh(model)


def test_flags_and_gradients_do_not():
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    model.train().requires_grad_(False)
    model.stem.weight.grad = torch.ones_like(model.stem.weight)
    assert fingerprint(model, LAYER) == before == afresh(model)


def test_layers_of_one_model_differ():
    model = seeded(Net)
    layers = ["stem", "body.conv", "body.norm", "body.relu", "body.last", "fc"]
    assert len({fingerprint(model, layer) for layer in layers}) == len(layers)


def test_a_block_is_its_last_layer():
    """The output of a Sequential is that of its last module."""
    model = seeded(Net)
    assert fingerprint(model, "body") == fingerprint(model, "body.last")


def test_names_that_begin_alike_are_other_layers():
    model = nn.Sequential()
    for name in ("block1", "block10", "block11"):
        model.add_module(name, nn.Conv2d(3, 3, 1))
    found = fingerprint(model, "block1")
    with torch.no_grad():
        model.block10.weight += 1
    assert fingerprint(model, "block1") == found


def test_an_encoder_is_known_again_in_another_model():
    encoder = seeded(Gap).features
    one, other = seeded(Gap, seed=1), seeded(Captioner)
    one.features, other.encoder = copy.deepcopy(encoder), copy.deepcopy(encoder)
    assert fingerprint(one, "features.2") == fingerprint(other, "encoder.2") == fingerprint(encoder, "2")
    assert fingerprint(one, "features") == fingerprint(other, "encoder")


def test_a_parameter_of_the_whole_models_own_counts():
    """It may be added before the layer, as a transformer's positions are, so names are refused rather than misused."""
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    model.place = nn.Parameter(torch.zeros(3))
    assert fingerprint(model, LAYER) != before
    assert fingerprint(model.body, "norm") == fingerprint(seeded(Net).body, "norm")


def test_dropout_does_not():
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    model.stem = nn.Sequential(model.stem, nn.Dropout(), nn.Identity())
    assert fingerprint(model, LAYER) == before


def test_bundled_models_with_one_encoder_share_its_names():
    """The captioner and the stacked attention network were trained behind the frozen encoder of the VQA model."""
    vqa, captioner, san = (load(f"vignette-{name}") for name in ("vqa", "captioner", "san"))
    convolutions = [name for name, module in vqa.named_modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) > 3
    for name in (*convolutions, "encoder.features"):
        assert fingerprint(captioner, name) == fingerprint(vqa, name)
    last = convolutions[-1].removeprefix("encoder.features.")
    assert fingerprint(san.features, last) == fingerprint(vqa.encoder.features, last)
    other = load("vignette-classifier")
    assert fingerprint(other, convolutions[-1]) != fingerprint(vqa, convolutions[-1])


# --- precision, layout, device ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_the_same_in_single(dtype):
    half = seeded(Net).to(dtype)
    found = fingerprint(half, LAYER)
    assert fingerprint(copy.deepcopy(half).float(), LAYER) == found
    assert fingerprint(copy.deepcopy(half).double(), LAYER) == found
    assert fingerprint(seeded(Net), LAYER) != found, "they were rounded"


@pytest.mark.parametrize("dtype", HALVES)
def test_a_cast_is_known_beforehand(dtype):
    model = seeded(Net)
    model.body.norm.running_var.mul_(1.2345)
    before = fingerprint(model, LAYER)
    casts = cast_fingerprints(model, LAYER)
    assert fingerprint(model, LAYER) == before, "nothing was cast"
    assert fingerprint(model.to(dtype), LAYER) == casts[HALVES.index(dtype)] != before


def test_the_layout_in_memory_does_not_matter():
    model = seeded(Net)
    assert fingerprint(seeded(Net).to(memory_format=torch.channels_last), LAYER) == fingerprint(model, LAYER)


@pytest.mark.gpu
def test_the_device_does_not_matter():
    assert fingerprint(seeded(Net).cuda(), LAYER) == fingerprint(seeded(Net), LAYER)


def test_inference_tensors():
    expected = fingerprint(seeded(Net), LAYER)
    with torch.inference_mode():
        model = seeded(Net)
        assert fingerprint(model, LAYER) == expected
        model.stem.weight += 1
        assert fingerprint(model, LAYER) != expected
    assert fingerprint(model, LAYER) != expected
    with torch.inference_mode():
        model.stem.weight -= 1
        torch.nn.init.zeros_(model.stem.bias)
        changed = fingerprint(model, LAYER)
    assert changed != expected
    assert fingerprint(model, LAYER) == changed


# --- changes after it was asked for -----------------------------------------------------------------------------------


def change_in_place(model):
    with torch.no_grad():
        model.stem.weight[0, 0, 0, 0] += 1


def change_data(model):
    model.stem.weight.data.mul_(2)


def change_through_numpy(model):
    model.stem.weight.detach().numpy()[0, 0, 0, 0] += 1


def change_by_loading(model):
    model.load_state_dict(seeded(Net, seed=1).state_dict())


def change_by_assigning(model):
    model.load_state_dict(seeded(Net, seed=1).state_dict(), assign=True)


def change_by_rounding(model):
    model.half()
    model.float()


def change_statistics(model):
    model.train()
    with torch.no_grad():
        model(pictures(2))
    model.eval()


def change_kind(model):
    model.body.norm = nn.Sequential(model.body.norm, nn.Tanh())
    fingerprint(model, LAYER)
    model.body.norm[1] = nn.Sigmoid()


def change_module(model):
    """The new weights may well take the place in memory that the old ones had."""
    model.stem = None
    model.stem = seeded(nn.Conv2d, 3, 4, 3, seed=5)


@pytest.mark.parametrize(
    "change",
    [
        change_in_place, change_data, change_through_numpy, change_by_loading, change_by_assigning, change_by_rounding,
        change_statistics, change_kind, change_module,
    ],
)  # fmt: skip
def test_changes_are_noticed(change):
    model = seeded(Net)
    before = fingerprint(model, LAYER)
    change(model)
    assert fingerprint(model, LAYER) == afresh(model) != before


def test_another_activation_is_noticed():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    before = fingerprint(model, "2")
    model[1] = nn.Tanh()
    assert fingerprint(model, "2") == afresh(model, "2") != before


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_steps_of_an_optimiser_are_noticed(optimiser, options):
    model = seeded(Net)
    steps = optimiser(model.parameters(), lr=0.1, **options)
    seen = {fingerprint(model, LAYER)}
    for _ in range(3):
        model(pictures(2)).pow(2).mean().backward()
        steps.step()
        seen.add(fingerprint(model, LAYER))
        assert afresh(model) in seen
    assert len(seen) == 4


def test_training_the_head_of_a_frozen_encoder_keeps_it():
    model = seeded(Net)
    before = fingerprint(model, "body")
    steps = torch.optim.SGD(model.fc.parameters(), lr=0.1)
    model(pictures(2)).pow(2).mean().backward()
    steps.step()
    assert fingerprint(model, "body") == before == afresh(model, "body")


@pytest.mark.parametrize("layer", ["body.nrom", "", "nowhere"])
def test_an_unknown_layer_is_one_sentence(layer):
    with pytest.raises(ExplainError, match=f"There is no layer '{layer}' in Net"):
        fingerprint(seeded(Net), layer)


def test_it_does_not_keep_the_model():
    model = seeded(Net)
    fingerprint(model, LAYER)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


# --- where an explanation comes from ----------------------------------------------------------------------------------


def test_an_origin_has_the_fingerprint_of_its_model():
    model = seeded(Net)
    assert Origin(model, LAYER).fingerprint == fingerprint(model, LAYER)


def test_an_origin_keeps_its_model_for_questions_in_the_same_line():
    expected = fingerprint(seeded(Net), LAYER)
    origin = Origin(seeded(Net), LAYER)
    gc.collect()
    assert origin.fingerprint == expected


@pytest.mark.parametrize("copied", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy, copy.copy])
def test_a_copied_origin_takes_the_fingerprint_along(copied):
    model = seeded(Net)
    expected = fingerprint(model, LAYER)
    origin, alive = copied(Origin(model, LAYER)), weakref.ref(model)
    assert copied(origin).fingerprint == expected
    del model
    gc.collect()
    assert alive() is None, "a copy takes no model along"
    assert origin.fingerprint == expected
    assert copied(origin).fingerprint == expected
