"""The adapter, called as Quantus 0.6.0 calls an explanation function, and checked as it checks what comes back."""

import inspect
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mmcam
from mmcam.engine import ExplainError
from mmcam.evaluation.quantus import explain_func


class MetricStandIn:
    """What a metric does with an explanation function: keyword arguments, the device among them, then assertions."""

    def __call__(self, model, x_batch, y_batch, explain_func, explain_func_kwargs=None, device=None):
        kwargs = dict(explain_func_kwargs or {})
        if device is not None and "device" not in kwargs:
            kwargs["device"] = device
        a_batch = explain_func(model=model, inputs=x_batch, targets=y_batch, **kwargs)
        assert type(a_batch) is np.ndarray
        assert len(a_batch) == len(x_batch)
        assert a_batch.ndim == x_batch.ndim
        assert a_batch.shape[1:] == (1, *x_batch.shape[2:])
        return a_batch


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()  # fmt: skip


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 3, 16, 20)).astype(np.float32), np.array([0, 3, 1])


def test_model_inputs_and_targets_come_first():
    names = list(inspect.signature(explain_func).parameters)
    assert names[:3] == ["model", "inputs", "targets"]
    assert inspect.signature(explain_func).parameters["options"].kind is inspect.Parameter.VAR_KEYWORD


@pytest.mark.parametrize("method", ["gradcam", "layercam", "hirescam", "gradient", "guided_gradcam", "c_mwp"])
def test_a_metric_takes_it(net, batch, method):
    kwargs = {"method": method, "layer": "3"}
    made = MetricStandIn()(net, *batch, explain_func, kwargs, device=torch.device("cpu"))
    assert made.dtype == np.float32
    assert made.any()


def test_each_picture_is_explained_for_its_own_class(net, batch):
    x, y = batch
    made = explain_func(net, x, y, layer="3")
    for n, target in enumerate(y):
        cam = mmcam.attribute(net, torch.from_numpy(x[n : n + 1]), [int(target)], layer="3")
        up = F.interpolate(cam, x.shape[-2:], mode="bilinear", align_corners=False)[0]
        np.testing.assert_allclose(made[n], up, atol=1e-6)
    np.testing.assert_allclose(explain_func(net, x, 3, layer="3")[1], made[1], atol=1e-6)


def test_of_a_pixel_map_the_largest_magnitude(net, batch):
    x, y = batch
    signed = mmcam.attribute(net, torch.from_numpy(x), [torch.from_numpy(y)], method="gradient")[0]
    np.testing.assert_allclose(
        explain_func(net, x, y, method="gradient"), signed.abs().amax(1, keepdim=True), atol=1e-6
    )


def test_options_reach_the_method(net, batch):
    coarse = explain_func(net, *batch, method="occlusion", patch=8, stride=8)
    fine = explain_func(net, *batch, method="occlusion", patch=4, stride=4)
    assert coarse.shape == fine.shape == (3, 1, 16, 20)
    assert not np.array_equal(coarse, fine)


def test_double_precision_and_tensors_are_taken(net, batch):
    x, y = batch
    expected = explain_func(net, x, y)
    np.testing.assert_allclose(explain_func(net, x.astype(np.float64), y), expected, atol=1e-6)
    np.testing.assert_allclose(explain_func(net, torch.from_numpy(x), torch.from_numpy(y)), expected, atol=1e-6)


def test_neither_the_model_nor_the_pictures_are_changed(net, batch):
    x, y = batch
    before, given = {name: tensor.clone() for name, tensor in net.state_dict().items()}, x.copy()
    explain_func(net.train(), x, y)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    np.testing.assert_array_equal(x, given)


def test_quantus_is_not_needed():
    assert "quantus" not in sys.modules


def test_mistakes_are_said_in_a_sentence(net, batch):
    x, y = batch
    with pytest.raises(ValueError, match=r"one array \(N,C,H,W\); this one is \(3, 16, 20\)"):
        explain_func(net, x[0], y[:1])
    with pytest.raises(ValueError, match="3 pictures and 2 targets"):
        explain_func(net, x, y[:2])
    with pytest.raises(ExplainError):
        explain_func(net, x, y, method="gradcan")
