"""Models on an encoder whose weights come with a package: their files hold what is their own and no more."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

import models
from experiments.lib.training import publish
from models.efficientnet_lite import efficientnet_lite

WORDS = {"vocabulary": ["a", "dog", "runs"]}
CARD = {"name": "x", "model": "Captioner", **WORDS, "encoder": "efficientnet_lite0", "architecture": {"state": 8}}


def published(folder: Path, key: str = "", change: Callable[[Tensor], Tensor] = torch.clone):
    """A model that was trained somewhat, and written."""
    torch.manual_seed(0)
    model = models.build(CARD).eval()
    if key:
        state = model.state_dict()
        state[key].copy_(change(state[key]))
    publish(model, CARD, folder)
    return model


def keys(folder: Path) -> set[str]:
    return set(safetensors.torch.load((folder / "x.safetensors").read_bytes()))


def rewritten(folder: Path, change) -> None:
    """The file with other tensors, and a card that describes it."""
    state = safetensors.torch.load((folder / "x.safetensors").read_bytes())
    weights = safetensors.torch.save(change(state))
    (folder / "x.safetensors").write_bytes(weights)
    card = json.loads((folder / "x.json").read_text())
    card["sha256"] = models.loading.hashlib.sha256(weights).hexdigest()
    (folder / "x.json").write_text(json.dumps(card))


def theirs(model) -> dict[str, Tensor]:
    return {key: value for key, value in model.state_dict().items() if key.startswith("encoder.")}


def test_a_frozen_encoder_is_not_written(tmp_path):
    model = published(tmp_path)
    assert keys(tmp_path) == model.state_dict().keys() - theirs(model).keys()
    assert (tmp_path / "x.safetensors").stat().st_size < 200_000
    back = models.load("x", folder=tmp_path)
    network = efficientnet_lite().state_dict()
    ours = list(theirs(back).values())
    assert len(ours) == len(network) - 2, "all but the classifier's weight and bias"
    assert all(torch.equal(a, b) for a, b in zip(ours, network.values(), strict=False)), "in full precision"
    for key, value in model.state_dict().items():
        if key not in theirs(model):
            assert torch.equal(back.state_dict()[key], value.half().float() if value.is_floating_point() else value)


@pytest.mark.parametrize(("change", "written"), [(lambda t: t + 0.5, True), (lambda t: t.half().float(), False)])
def test_a_finetuned_tensor_is_written_if_rounding_leaves_the_change(tmp_path, change, written):
    key = next(key for key in theirs(models.build(CARD)) if key.endswith("features.0.weight"))
    model = published(tmp_path, key, change)
    assert (keys(tmp_path) & theirs(model).keys()) == ({key} if written else set())
    back = models.load("x", folder=tmp_path).state_dict()[key]
    assert torch.equal(back, model.state_dict()[key].half().float()) == written


def test_what_no_package_has_may_not_be_missing(tmp_path):
    published(tmp_path)
    own = sorted(keys(tmp_path))[0]
    rewritten(tmp_path, lambda state: {key: value for key, value in state.items() if key != own})
    with pytest.raises(ValueError, match=f"{own} is missing"):
        models.load("x", folder=tmp_path)
    rewritten(tmp_path, lambda state: {**state, own: torch.zeros(1), "more": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"The card x\.json does not describe the model"):
        models.load("x", folder=tmp_path)


def test_nor_may_anything_be_there_that_is_not_the_models(tmp_path):
    published(tmp_path)
    rewritten(tmp_path, lambda state: {**state, "more": torch.zeros(1)})
    with pytest.raises(ValueError, match="more is not of this model"):
        models.load("x", folder=tmp_path)


def test_an_encoder_of_no_package_has_to_be_in_the_file(tmp_path):
    published(tmp_path)
    card = json.loads((tmp_path / "x.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps({**card, "encoder": "squeezenet1_0"}))
    with pytest.raises(ValueError, match=r"The card x\.json does not describe"):
        models.load("x", folder=tmp_path)
    assert models.packaged(models.load("vignette-captioner"), {"model": "Captioner"}) == {}
