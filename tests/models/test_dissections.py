"""The dissections that come with the bundled models belong to their weights and say what is in vignettes."""

import pytest
import torch

import mmcam
import models
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.neurons.fingerprint import fingerprint
from mmcam.places.find import find_layer
from mmcam.tasks.anything import forward_of

NAMES = [name for name in models.names() if name.startswith("vignette-")]


@pytest.mark.parametrize("name", NAMES)
def test_a_dissection_belongs_to_the_default_layer_of_its_model(name):
    model, found = models.load(name), models.dissection(name)
    x = model.preprocess(VignetteConcepts("test", 1).picture(0))[0][None]
    layer = find_layer(model, forward_of(model), x)
    assert (found.layer, found.fingerprint) == (layer, fingerprint(model, layer))
    assert len(found.names().units) > 300
    assert not found.skipped


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_has_the_same_names(name, dtype):
    found = models.dissection(name)
    assert fingerprint(models.load(name).to(dtype), found.layer) in found.casts


def test_why_in_half_precision():
    picture, found = VignetteConcepts("test", 1).picture(0), models.dissection("vignette-classifier")
    full, half = (models.load("vignette-classifier").to(dtype) for dtype in (torch.float32, torch.bfloat16))
    said, cast = (mmcam.explain_class(model, picture, "house").why(found) for model in (full, half))
    assert said.table[0].unit == cast.table[0].unit
    assert cast.table[0].name
    other = mmcam.explain_class(half.float(), picture, "car")  # other weights than `full`, and in no half precision
    assert other.why(found).text, "rounded to bfloat16, as the cast model's are"


def test_the_strongest_units_are_where_the_dissection_says():
    """Run anew on the pictures it names: the peaks are there."""
    model, found = models.load("vignette-vqa"), models.dissection("vignette-vqa")
    data = VignetteConcepts("val", found.pictures)
    assert found.data == data.name
    for unit in (4, 100, 290):
        index = int(found.exemplars[unit, 0])
        again = mmcam.explain_answer(model, data.picture(index), "what is this").activations
        assert again[unit].max() == pytest.approx(float(found.peaks[unit, 0]), rel=1e-3)


def test_no_dissection_of_that_name():
    with pytest.raises(
        ValueError,
        match="No dissection comes with 'resnet'; there is one for photo-captioner, photo-classifier",
    ):
        models.dissection("resnet")
