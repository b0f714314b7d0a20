"""Pictures of torchvision's networks, against torchvision's own records of its weights."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision import models as zoo

import mmcam
from mmcam.adapters.torchvision import last_tensor, preset_of, torchvision_preprocess
from mmcam.image import preprocess_of

NAMES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_b3", "efficientnet_v2_s", "maxvit_t"),
    *("mnasnet0_75", "mobilenet_v3_small", "resnet18", "resnet50", "shufflenet_v2_x1_5"),
    *("squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16", "wide_resnet50_2"),
)


def meta(name, **options):
    with torch.device("meta"):
        return zoo.get_model(name, weights=None, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1000, 7])
def test_the_first_weights_of_the_architecture(name, classes):
    first = next(iter(zoo.get_model_weights(name)))
    found = preset_of(meta(name, num_classes=classes))
    assert found is first
    assert torchvision_preprocess(meta(name, num_classes=classes)) == preprocess_of(first.transforms())


def test_inputs_of_another_size_are_other_weights():
    swag = zoo.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1
    assert preset_of(meta("vit_b_16", image_size=384)) is swag
    assert torchvision_preprocess(meta("vit_b_16", image_size=384)).size == (384, 384)


def test_networks_with_auxiliary_heads_or_none():
    for aux in (True, False):
        assert torchvision_preprocess(meta("inception_v3", aux_logits=aux, init_weights=False)).size == (299, 299)


def test_what_torchvision_does_not_know():
    assert torchvision_preprocess(nn.Linear(1, 1)) is None
    assert torchvision_preprocess(zoo.resnet.ResNet(zoo.resnet.BasicBlock, [1, 1, 1, 1])) is None
    assert torchvision_preprocess(zoo.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None)) is None


def test_downloaded_weights_tell_which_of_several_a_network_has(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    second = zoo.MobileNet_V2_Weights.IMAGENET1K_V2
    torch.manual_seed(0)
    net, other = zoo.mobilenet_v2(weights=None), zoo.mobilenet_v2(weights=None)
    with torch.no_grad():
        net.classifier[1].bias.normal_()
    assert torchvision_preprocess(net).resize == 256
    file = tmp_path / "checkpoints" / second.url.rpartition("/")[2]
    file.parent.mkdir()
    torch.save(net.state_dict(), file)
    assert torchvision_preprocess(deepcopy(net)).resize == 232
    assert torchvision_preprocess(other).resize == 256
    other.load_state_dict(net.state_dict())  # what was found is forgotten with the weights
    assert torchvision_preprocess(other).resize == 232
    file.write_bytes(file.read_bytes()[:1000])
    assert torchvision_preprocess(deepcopy(net)).resize == 256


def test_the_files_of_weights_are_read_once_for_many_pictures(tmp_path, monkeypatch, photo):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    net = zoo.mobilenet_v2(weights=None).eval()
    file = tmp_path / "checkpoints" / zoo.MobileNet_V2_Weights.IMAGENET1K_V2.url.rpartition("/")[2]
    file.parent.mkdir()
    torch.save(net.state_dict(), file)
    read, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **options: read.append(path) or load(path, **options))
    assert {exp.preparation[:10] for exp in mmcam.explain_class(net, [photo] * 3)} == {"resize 232"}
    assert read == [file]


@pytest.mark.parametrize("name", [*NAMES, "googlenet", "inception_v3"])
def test_thelast_tensor_is_that_of_the_state_dict(name):
    net = meta(name)
    name, tensor = last_tensor(net)
    assert name == list(net.state_dict())[-1]
    assert tensor is net.state_dict(keep_vars=True)[name]


def test_weights_made_in_inference_mode_have_no_version():
    with torch.inference_mode():
        net = zoo.squeezenet1_0(weights=None)
    assert torchvision_preprocess(net).resize == 256


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (mmcam.Preprocess(resize=256), "resize 256, crop 224×224, bilinear"),
        (mmcam.Preprocess(size=(32, 48)), "resize 48, crop 48×32, bilinear"),
        (mmcam.Preprocess(size=(32, 48), mode="squash"), "resize to 48×32, bilinear"),
        (mmcam.Preprocess(size=(32, 48), mode="pad"), "fit into 48×32, pad, bilinear"),
    ],
)
def test_a_preparation_is_told(photo, made, told):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    exp = mmcam.explain_class(net, photo, 1, preprocess=made)
    assert exp.preparation == f"{told}, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    assert exp.summary()["preparation"] == exp.preparation
    assert mmcam.explain_class(net, photo, 1).preparation.endswith("(assumed)")
    prepared = mmcam.explain_class(net, [torch.rand(3, 40, 40)], 1)[0]
    assert prepared.preparation == "none: a prepared input"
