"""The adapter, called by Quantus itself; its metrics of localisation are a second implementation of ours."""

import importlib
import inspect
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mmcam
from mmcam.errors import ExplainError
from mmcam.evaluation import relevance
from mmcam.evaluation.pointing import inside, peak
from mmcam.evaluation.quantus import explain_func


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


@pytest.fixture
def quantus():
    return pytest.importorskip("quantus", reason="`make test` installs it")


@pytest.fixture
def given(net, batch):
    """Arguments of a metric."""
    x, y = batch
    return {"model": net, "x_batch": x, "y_batch": y, "explain_func": explain_func, "device": "cpu"}


@pytest.fixture
def masks():
    return np.random.default_rng(1).random((3, 1, 16, 20)) < 0.3


@pytest.mark.parametrize("method", ["gradcam", "layercam", "hirescam", "gradient", "guided_gradcam", "c_mwp"])
def test_as_much_relevance_lies_within_as_quantus_says(quantus, given, masks, method):
    kwargs = {"method": method, "layer": "3"}
    maps = explain_func(given["model"], given["x_batch"], given["y_batch"], **kwargs)[:, 0]
    metric = quantus.RelevanceMassAccuracy(normalise=False, abs=False, disable_warnings=True)
    theirs = metric(s_batch=masks, explain_func_kwargs=kwargs, **given)
    np.testing.assert_allclose(theirs, [relevance.mass(a, m[0]) for a, m in zip(maps, masks, strict=True)], rtol=1e-4)


def test_the_most_relevant_pixels_are_those_of_quantus(quantus, given, masks):
    """Of a map whose values are all different; which of equal ones come first is nobody's rule."""
    kwargs = {"method": "gradient"}
    maps = explain_func(given["model"], given["x_batch"], given["y_batch"], **kwargs)[:, 0]
    rank, pointed = (
        metric(disable_warnings=True)(s_batch=masks, explain_func_kwargs=kwargs, **given)
        for metric in (quantus.RelevanceRankAccuracy, quantus.PointingGame)
    )
    np.testing.assert_allclose(rank, [relevance.rank(a, m[0]) for a, m in zip(maps, masks, strict=True)])
    assert list(pointed) == [inside(peak(a), m[0]) for a, m in zip(maps, masks, strict=True)]


def test_metrics_that_change_the_picture_take_it(quantus, given):
    kwargs = {"method": "layercam", "layer": "3"}
    for metric in (
        quantus.MaxSensitivity(nr_samples=2, disable_warnings=True),
        quantus.PixelFlipping(features_in_step=80, disable_warnings=True),
    ):
        assert np.isfinite(metric(explain_func_kwargs=kwargs, **given)).all()


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


def test_quantus_is_not_needed(net, batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "quantus", None)  # importing it raises
    importlib.reload(sys.modules["mmcam.evaluation.quantus"]).explain_func(net, *batch)


def test_mistakes_are_said_in_a_sentence(net, batch):
    x, y = batch
    with pytest.raises(ValueError, match=r"one array \(N,C,H,W\); this one is \(3, 16, 20\)"):
        explain_func(net, x[0], y[:1])
    with pytest.raises(ValueError, match="3 pictures and 2 targets"):
        explain_func(net, x, y[:2])
    with pytest.raises(ExplainError):
        explain_func(net, x, y, method="gradcan")
