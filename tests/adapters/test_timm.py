"""timm's networks are prepared and named as timm itself does it."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import Gap, seeded

import mmcam
from mmcam.adapters.timm import timm_classes, timm_preprocess

timm = pytest.importorskip("timm")


def network(**config):
    """A small network with a data config of its own."""
    return timm.create_model("test_vit", pretrained=False, pretrained_cfg_overlay=config).eval()


CONFIGS = {
    "its own": {},
    "another centre": {"input_size": (3, 96, 96), "crop_pct": 0.875, "interpolation": "bilinear"},
    "squashed": {"crop_mode": "squash", "crop_pct": 1.0, "input_size": (3, 96, 128)},
    "squashed and cut": {"crop_mode": "squash", "crop_pct": 0.9, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)},
    "with a border": {"crop_mode": "border", "crop_pct": 1.0},
}


@pytest.mark.parametrize("size", [(90, 60), (200, 301)])
@pytest.mark.parametrize("config", CONFIGS)
def test_pictures_are_those_of_timms_own_transform(config, size):
    model = network(**CONFIGS[config])
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(model))(picture)
    x, geometry = timm_preprocess(model)(picture)
    assert tuple(x.shape[1:]) == geometry.input == tuple(theirs.shape[1:])
    assert float((x - theirs).abs().max()) < 2 / 255 / 0.2  # a level of grey, normalised


def test_what_no_preprocess_can_say_is_one_sentence():
    with pytest.raises(mmcam.ExplainError, match=r"crop_mode='border' of 90% to 160×160.*pass preprocess="):
        timm_preprocess(network(crop_mode="border", crop_pct=0.9))


def test_explanations_use_timms_preparation_and_names(photo):
    model = timm.create_model("test_resnet", pretrained=False).eval()
    exp = mmcam.explain_class(model, photo, "goldfish")
    assert exp.target == timm.data.ImageNetInfo().index_to_description(1) == "goldfish, Carassius auratus"
    x = timm.data.create_transform(**timm.data.resolve_model_data_config(model))(Image.open(photo).convert("RGB"))
    with torch.no_grad():
        assert exp.score == pytest.approx(float(model(x[None])[0, 1]), rel=1e-2)


def test_others_are_left_alone():
    assert timm_preprocess(seeded(Gap)) is None
    assert timm_classes(seeded(Gap)) is None
    assert timm_classes(timm.create_model("test_vit", pretrained=False, num_classes=7)) is None
