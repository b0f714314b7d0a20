"""Methods that read no layer, on models that have none a map could be drawn at."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, pictures, seeded
from torch import nn

from mmcam import METHODS, ExplainError, attribute, explain_class

LAYERLESS = {
    "occlusion": {"patch": 8, "stride": 4},
    "rise": {"n": 6},
    "gradient": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 3},
    "guided_backprop": {},
    "deconvnet": {},
    "smoothgrad": {"n": 3},
    "fullgrad": {},
    "libragrad": {},
    "extremal": {"steps": 40, "step": 4},
}
INSIDE = ("attention", "tokens")  # what goes on in the model, not at a layer
READING = [name for name, method in METHODS.items() if name not in LAYERLESS and method.family not in INSIDE]


class Bare(nn.Module):
    """Pixels straight into a linear layer: there is no map (N,K,h,w) anywhere."""

    def __init__(self, side=16):
        super().__init__()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(3 * side * side, 5)

    def forward(self, x):
        return self.fc(self.flatten(x))

    def weight(self, target):
        """What a pixel counts, (C,H,W)."""
        side = round((self.fc.in_features / 3) ** 0.5)
        return self.fc.weight[target].detach().view(3, side, side)


def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize("method", LAYERLESS)
def test_a_method_that_reads_no_layer_needs_none(method):
    net, image = seeded(Bare, 32), photo()
    exp = explain_class(net, image, 1, method=method, preprocess=SMALL, **LAYERLESS[method])
    assert exp.layer == "pixels"
    assert exp.method == method
    assert exp.weights is None
    assert exp.cam.shape == (32, 32)
    assert exp.heatmap.shape == (30, 40)
    assert exp.values.any()
    assert torch.isfinite(exp.values).all()
    assert exp.score == pytest.approx(float(net(SMALL(image)[0][None])[0, 1].detach()), rel=1e-5)


@pytest.mark.parametrize("method", LAYERLESS)
def test_the_file_says_pixels_too(method, tmp_path):
    exp = explain_class(seeded(Bare, 32), photo(), 1, method=method, preprocess=SMALL, **LAYERLESS[method])
    assert exp.summary()["layer"] == "pixels"
    assert json.loads(str(np.load(exp.save(tmp_path / "map.npz"))["meta"]))["layer"] == "pixels"


def test_gradients_of_a_linear_model_are_its_weights():
    net, x = seeded(Bare), pictures(2)
    for t in (0, 3):
        w = net.weight(t).expand(2, -1, -1, -1)
        torch.testing.assert_close(attribute(net, x, [t], method="gradient")[0], w)
        torch.testing.assert_close(attribute(net, x, [t], method="guided_backprop")[0], w)
        torch.testing.assert_close(attribute(net, x, [t], method="smoothgrad", n=3)[0], w)
        torch.testing.assert_close(attribute(net, x, [t], method="gradient_x_input")[0], w * x)
        integrated = attribute(net, x, [t], method="integrated_gradients", steps=2, baseline=0.5)[0]
        torch.testing.assert_close(integrated, w * (x - 0.5), rtol=1e-4, atol=1e-6)


def test_occlusion_of_a_linear_model_takes_away_what_the_square_holds():
    """Squares side by side: the score falls by the sum of w·(x - fill) inside."""
    net, x = seeded(Bare), pictures(2)
    maps = attribute(net, x, [0, 3], method="occlusion", patch=4, stride=4, fill=0.25)
    for t, target in enumerate((0, 3)):
        held = (net.weight(target) * (x - 0.25)).sum(1)
        squares = held.unflatten(1, (4, 4)).unflatten(3, (4, 4)).sum((2, 4))
        expected = squares.repeat_interleave(4, 1).repeat_interleave(4, 2)
        torch.testing.assert_close(maps[t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", READING)
def test_a_method_that_reads_a_layer_says_there_is_none(method):
    with pytest.raises(ExplainError) as error:
        attribute(seeded(Bare), pictures(), [0], method=method)
    sentence = "No layer of Bare gives a spatial map (N,K,h,w) larger than 1×1."
    assert str(error.value) == sentence
    with pytest.raises(ExplainError) as error:
        explain_class(seeded(Bare, 32), photo(), 1, method=method, preprocess=SMALL)
    assert str(error.value) == sentence


def test_a_method_that_reads_no_layer_does_not_look_for_one(monkeypatch):
    def look(*args, **kwargs):
        raise AssertionError("the model was traced for a layer nobody reads")

    monkeypatch.setattr("mmcam.places.find.find_layer", look)
    for method, options in LAYERLESS.items():
        assert attribute(seeded(Bare), pictures(), [0], method=method, **options).any()


def test_a_layer_that_is_not_there_is_named_even_where_none_is_read():
    with pytest.raises(ExplainError, match="There is no layer 'fcc' in Bare; did you mean fc"):
        attribute(seeded(Bare), pictures(), [0], layer="fcc", method="gradient")


def test_a_layer_a_method_does_not_read_is_not_claimed_to_be_read():
    exp = explain_class(seeded(Bare, 32), photo(), 1, layer="fc", method="gradient", preprocess=SMALL)
    assert exp.layer == "pixels"
