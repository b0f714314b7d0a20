"""The same maps as other libraries, wherever those are right; and where one is silently wrong, that it is.

Peers treat ReLUs as modules to be hooked, so their guided maps are compared on a copy of the network whose every ReLU
is a module of its own, not in place.
"""

import warnings

import captum.attr
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from relus import with_relu_modules
from tiny import LAYERS, NETWORKS, network, pictures
from torch.nn import functional as F

from mmcam import attribute

SIDE, CLASSES = 96, [3, 1]  # one class a picture


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def ours(model, name, method="gradcam"):
    maps = attribute(model, pictures(2, SIDE), [torch.tensor(CLASSES)], layer=LAYERS[name], method=method)[0]
    assert (maps.flatten(1).abs().amax(1) > 0).all(), "an empty map agrees with everything"
    return maps


def close(got, expected, relative=1e-4):
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= relative * float(expected.abs().max())


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "densenet121"])
def test_captums_layer_grad_cam(name):
    model = network(name)
    peer = captum.attr.LayerGradCam(model, model.get_submodule(LAYERS[name]))
    expected = peer.attribute(pictures(2, SIDE), CLASSES, relu_attributions=True)[:, 0].detach()
    close(ours(model, name), expected)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "densenet121"])
def test_torchcams_grad_cam(name):
    model = network(name)
    with torchcam.methods.GradCAM(model, LAYERS[name]) as peer:
        scores = model(pictures(2, SIDE))
        (expected,) = peer(CLASSES, scores, normalized=False)
    close(ours(model, name), expected)


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_pytorch_grad_cams_grad_cam(name):
    """It shifts and scales each map to 0..1, resizes it, and does so again; the same is done to ours."""
    model = network(name)
    with pytorch_grad_cam.GradCAM(model, [model.get_submodule(LAYERS[name])]) as peer:
        expected = peer(pictures(2, SIDE), [ClassifierOutputTarget(c) for c in CLASSES])
    maps = F.interpolate(normalised(ours(model, name))[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[
        :, 0
    ]
    close(normalised(maps), torch.from_numpy(expected), 1e-3)


def normalised(maps):
    """As that library does: the minimum to 0, then the maximum to 1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True)


# densenet121 ends in F.relu(features, inplace=True): hooked from outside, `features` is the tensor before or after it,
# as the library happens to hold it. With that ReLU out of place all agree.


@pytest.mark.parametrize("name", ["captum", "torchcam"])
def test_densenet_agrees_once_its_in_place_relu_is_gone(name):
    model = with_relu_modules("densenet121")
    x = pictures(2, SIDE)
    if name == "captum":
        peer = captum.attr.LayerGradCam(model, model.get_submodule("features"))
        expected = peer.attribute(x, CLASSES, relu_attributions=True)[:, 0].detach()
    else:
        with torchcam.methods.GradCAM(model, "features") as peer:
            (expected,) = peer(CLASSES, model(x), normalized=False)
    close(ours(model, "densenet121"), expected)
    close(ours(network("densenet121"), "densenet121"), expected)


def test_torchcam_explains_another_tensor_where_an_in_place_relu_follows():
    """Trap 1, and the reason why the engine hands a copy on: this fails when torchcam no longer has it."""
    model = network("densenet121")
    with torchcam.methods.GradCAM(model, "features") as peer:
        scores = model(pictures(2, SIDE))
        (other,) = peer(CLASSES, scores, normalized=False)
    mine = ours(model, "densenet121")
    assert float((other - mine).abs().max()) > 0.05 * float(mine.max())


def guided_captum(model, name):
    x = pictures(2, SIDE).requires_grad_()
    peer = captum.attr.GuidedGradCam(model, model.get_submodule(LAYERS[name]))
    return peer.attribute(x, CLASSES, interpolate_mode="bilinear").detach()


@pytest.mark.parametrize("name", NETWORKS)
def test_captums_guided_grad_cam(name):
    """captum upsamples with F.interpolate's default for bilinear, align_corners=False, as cv2.resize does."""
    copied = with_relu_modules(name)
    expected = guided_captum(copied, name)
    close(ours(copied, name, "guided_gradcam"), expected)
    if name != "mobilenet_v2":  # the unmodified network with its functional, shared and in-place ReLUs: the same answer
        close(ours(network(name), name, "guided_gradcam"), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_captums_guided_backprop(name):
    copied = with_relu_modules(name)
    peer = captum.attr.GuidedBackprop(copied)
    expected = peer.attribute(pictures(2, SIDE).requires_grad_(), CLASSES).detach()
    close(ours(copied, name, "guided_backprop"), expected)


def test_captum_does_not_see_googlenets_functional_relus():
    """Trap 3: captum's answer on the network as torchvision makes it is the plain gradient, without a word."""
    model = network("googlenet")
    x = pictures(2, SIDE).requires_grad_()
    silent = captum.attr.GuidedBackprop(model).attribute(x, CLASSES).detach()
    score = model(x).gather(1, torch.tensor(CLASSES)[:, None]).sum()
    (plain,) = torch.autograd.grad(score, x)
    close(silent, plain)
    mine = ours(model, "googlenet", "guided_backprop")
    assert float((silent - mine).abs().max()) > 0.1 * float(mine.abs().max())
