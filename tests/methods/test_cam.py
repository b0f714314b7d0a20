"""Grad-CAM and CAM against closed forms and a calculation on paper."""

import pytest
import torch
from tiny import LAYERS, Deep, Gap, network, pictures, reference_evidence, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute
from mmcam.engine.run import Evidence
from mmcam.methods import cam as cam_module


def last_linear(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def gap_network(name):
    """A network that ends in a global pool and one linear layer, the layer before the pool, and a picture's side."""
    return (seeded(Gap), "features", 16) if name == "hand-made" else (network(name), LAYERS[name], 64)


GAP_NETWORKS = ("hand-made", "resnet18", "googlenet", "mobilenet_v2")


@pytest.mark.parametrize("name", GAP_NETWORKS)
def test_cam_uses_the_weights_of_the_last_layer_as_they_stand(name):
    model, layer, side = gap_network(name)
    x = pictures(2, side)
    classes = [0, 3]
    with torch.no_grad():
        kept = []
        handle = model.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
        model(x)
        handle.remove()
    literal = torch.einsum("tk,nkhw->tnhw", last_linear(model).weight[classes].detach(), kept[0])
    maps = attribute(model, x, classes, method="cam")
    assert (literal < 0).any(), "a test without negative evidence would not notice a ReLU"
    torch.testing.assert_close(maps, literal, rtol=1e-5, atol=1e-5 * float(literal.abs().max()))


@pytest.mark.parametrize("name", GAP_NETWORKS)
def test_cam_is_z_times_grad_cam_before_its_relu(name):
    """The paper's section 3.1: Grad-CAM generalises CAM, the two differ by Z, the number of cells."""
    model, layer, side = gap_network(name)
    x = pictures(2, side)
    cam = attribute(model, x, [0, 3], method="cam")
    cells = cam.shape[-2] * cam.shape[-1]
    for t, target in enumerate((0, 3)):
        activations, gradient = reference_evidence(model, layer, lambda: model(x)[:, target].sum())  # noqa: B023
        before_relu = (gradient.mean((2, 3), keepdim=True) * activations).sum(1)
        torch.testing.assert_close(cam[t], cells * before_relu, rtol=1e-5, atol=1e-5 * float(cam.abs().max()))
    gradcam = attribute(model, x, [0, 3])
    torch.testing.assert_close(gradcam, (cam / cells).relu(), rtol=1e-5, atol=1e-5 * float(gradcam.max()))


def test_cam_of_a_contrast_uses_the_difference_of_the_weights():
    model, x = seeded(Gap), pictures(2)
    both = attribute(model, x, [0, 1, lambda out: out[:, 0] - out[:, 1]], method="cam")
    torch.testing.assert_close(both[2], both[0] - both[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "side", "layer"),
    [
        (lambda: network("vgg11_bn"), 64, None),
        (lambda: seeded(Deep), 16, "features"),
        (lambda: network("resnet18"), 64, "layer3"),
        (lambda: network("densenet121"), 64, "features"),
    ],
    ids=["vgg", "perceptron", "not the last layer", "a ReLU behind the layer"],
)
def test_cam_says_in_one_sentence_that_a_network_has_no_global_pool(model, side, layer):
    with pytest.raises(ExplainError, match="CAM needs a global average pool and one linear layer") as error:
        attribute(model(), pictures(1, side), [0], layer=layer, method="cam")
    assert "gradcam" in str(error.value)
    assert str(error.value).count(". ") == 0


@pytest.mark.parametrize(
    "end",
    [
        lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5)),
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 5)),
        lambda: nn.Sequential(nn.Linear(8, 5), nn.Sigmoid()),
    ],
    ids=["hidden layer", "two linear layers", "sigmoid"],
)
def test_cam_needs_one_linear_layer_though_the_gradient_is_the_same_everywhere(end):
    """Behind a global pool every head has a constant gradient; only a linear one has weights to be read."""
    model = seeded(Gap)
    model.fc = end()
    with pytest.raises(ExplainError, match="CAM needs a global average pool and one linear layer"):
        attribute(model, pictures(), [0], layer="features", method="cam")


class Paper(nn.Module):
    """Input passes unchanged through `layer`; score 0 is written on paper below."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, x):
        a = self.layer(x * 1.0)
        first = (a[:, 0] ** 2).sum((1, 2))
        second = 3 * a[:, 1, 0, 0] - a[:, 1, 1, 1]
        return torch.stack([first - 2 * second, a.sum((1, 2, 3))], dim=1)


def test_grad_cam_of_a_calculation_on_paper():
    """A^0 = [[1, 2], [3, 4]] → dS/dA^0 = 2A, mean 5.  A^1 = [[1, 0], [2, -1]] → dS/dA^1 = [[-6, 0], [0, 2]], mean -1.

    L = ReLU(5·A^0 - A^1) = [[4, 10], [13, 21]].
    """
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [2.0, -1.0]]]])
    maps = attribute(Paper(), x, [0], layer="layer")
    torch.testing.assert_close(maps, torch.tensor([[[[4.0, 10.0], [13.0, 21.0]]]]))


def test_grad_cam_cuts_the_sum_and_not_the_terms():
    """α = (1, 1) and A^0 + A^1 = [[1, -1]]: a cell where the negative channel wins is 0, elsewhere both count."""
    x = torch.tensor([[[[3.0, 2.0]], [[-2.0, -3.0]]]])
    maps = attribute(Paper(), x.repeat(1, 1, 2, 1), [1], layer="layer")
    torch.testing.assert_close(maps, torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]]))


def test_maps_are_not_normalised():
    model, x = seeded(Deep), pictures()
    one = attribute(model, x, [lambda out: out[:, 0]])
    many = attribute(model, x, [lambda out: 1024 * out[:, 0]])
    assert one.max() > 0
    assert torch.equal(many, 1024 * one)  # a power of two only shifts exponents


def test_weights_and_maps_are_float32_whatever_the_model():
    """16,384 half-precision gradients of 1e-7 underflow when summed in half precision; their mean must not."""
    gradients = torch.full((1, 1, 2, 128, 128), 1e-7, dtype=torch.float16)
    activations = torch.ones(1, 2, 128, 128, dtype=torch.float16)
    maps, weights = cam_module.gradcam(Evidence(activations, gradients, torch.zeros(1, 1)))
    assert maps.dtype == weights.dtype == torch.float32
    assert maps.shape == (1, 1, 128, 128)
    torch.testing.assert_close(weights, gradients.float()[..., 0, 0])


def test_cam_of_a_name_in_the_registry_carries_weights():
    exp = mmcam.explain_class(seeded(Gap), pictures()[0], 1, method="cam")
    assert exp.weights is not None
    assert exp.weights.shape == (8,)
