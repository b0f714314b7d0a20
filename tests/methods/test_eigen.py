"""Eigen-CAM and Eigen-Grad-CAM against numpy's decomposition and another library."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from tiny import LAYERS, Deep, network, pictures, seeded
from torch import nn

from mmcam import Evidence, attribute, evidence
from mmcam.methods.cam_family import cam_function


def projected(maps):
    """Maps (K,h,w) on the eigenvector of their K×K matrix of products that has the largest eigenvalue."""
    rows = maps.double().flatten(1).numpy().T
    vector = np.linalg.eigh(rows.T @ rows)[1][:, -1]
    found = rows @ vector
    return np.maximum(found if found.sum() >= 0 else -found, 0).reshape(maps.shape[1:])


@pytest.mark.parametrize("name", ["resnet18", pytest.param("mobilenet_v2", marks=pytest.mark.long)])
def test_as_the_eigenvectors_of_the_products(name):
    net, x = network(name), pictures(2, 64)
    found = evidence(net, x, [3, 7], layer=LAYERS[name])
    eigen = attribute(net, x, [3, 7], layer=LAYERS[name], method="eigencam")
    graded = attribute(net, x, [3, 7], layer=LAYERS[name], method="eigengradcam")
    for n in range(2):
        one = projected(found.activations[n])
        for t in range(2):
            np.testing.assert_allclose(eigen[t, n], one, atol=1e-4 * one.max())
            two = projected(found.activations[n] * found.gradients[t, n])
            np.testing.assert_allclose(graded[t, n], two, atol=1e-4 * two.max())


def test_relu_activations_give_a_map_of_one_sign():
    net = seeded(nn.Sequential, *seeded(Deep).features, nn.ReLU(), nn.Flatten(), nn.Linear(384, 5))
    maps = attribute(net, pictures(3), [1], layer="3", method="eigencam")
    found = evidence(net, pictures(3), [1], layer="3").activations
    assert (maps[0] > 0).float().mean() > 0.9, "nothing is cut off"
    # The first component holds most of all activations: no other direction gives maps with as much energy.
    energy = maps[0].square().sum((1, 2))
    assert (energy <= found.square().sum((1, 2, 3)) + 1e-4).all()
    assert (energy >= found.square().sum((2, 3)).amax(1) - 1e-4).all()


def test_as_the_other_library_once_the_mean_is_taken_off():
    """pytorch-grad-cam takes each unit's mean off first, and leaves the sign to chance."""
    maps = torch.randn(2, 6, 5, 7).double()
    theirs = torch.from_numpy(get_2d_projection(maps.numpy().copy()))
    centred = (maps - maps.mean((2, 3), keepdim=True)).float()
    found = Evidence(centred, torch.ones(1, *centred.shape), torch.zeros(1, 2))
    for function in (cam_function("eigencam"), cam_function("eigengradcam")):
        ours = function(found)[0][0]
        for n in range(2):
            either = [theirs[n].relu().float(), (-theirs[n]).relu().float()]
            assert min(float((ours[n] - one).abs().max()) for one in either) < 1e-5
