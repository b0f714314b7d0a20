"""Real photographs and real ImageNet networks, where MMCAM_REAL_DATA names their folder."""

import os
from pathlib import Path

import pytest

import mmcam
from mmcam.evaluation.localisation import covered
from mmcam.evaluation.pointing import inside

ROOT = os.environ.get("MMCAM_REAL_DATA")
pytestmark = pytest.mark.skipif(not ROOT, reason="MMCAM_REAL_DATA is not set: no real photographs here")


@pytest.fixture(scope="module")
def found():
    """The networks by name."""
    from experiments.lib.photographs import networks

    return {network.name: network for network in networks(Path(ROOT))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "accuracy"), [("MobileNetV2", 65), ("SqueezeNet 1.0", 60), ("EfficientNet-Lite0", 70)]
)
def test_photographs_are_recognised_and_their_maps_point_at_them(found, name, accuracy):
    from experiments.checks.real_photos import measure

    row = measure(found[name], Path(ROOT), limit=80)
    assert row["top-1 %"] > accuracy
    assert row["top-5 %"] > 80
    assert row["pointing all %"] > row["random all %"] + 20


def test_cat_and_dog_get_a_map_each(found):
    network = found["SqueezeNet 1.0"]
    picture = Path(ROOT) / "photos" / "jacobgil_both.png"
    cat, dog = mmcam.explain_class(network.model, picture, ["tabby", "boxer"], preprocess=network.preprocess)
    (_, cat_y), (_, dog_y) = cat.peak(), dog.peak()
    assert cat_y > 112 > dog_y  # the dog sits behind the cat, higher in the picture
    assert cat.heatmap.shape == (224, 224)


def test_true_class_by_name_points_into_its_box(found):
    from experiments.lib.photographs import CLASSES, spread, validation

    network = found["MobileNetV2"]
    photo = next(p for p in validation(Path(ROOT)) if CLASSES[p.label] == "giant panda")
    picture = photo.open(network.preprocess)
    exp = mmcam.explain_class(network.model, picture, "giant panda", preprocess=network.preprocess)
    exp = spread(exp, network.preprocess, photo.size)
    assert exp.heatmap.shape == photo.size[::-1]
    assert inside(exp.peak(), covered(photo.boxes, photo.size), tolerance=15)
