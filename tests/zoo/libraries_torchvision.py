"""torchvision's detectors, segmentations and odd classifiers, with random weights."""

from functools import partial

import torch
import torchvision
from torch import nn
from torchvision.models import detection, segmentation
from zoo.network import EITHER, MAP, REFUSED, Network

PIXELS = (lambda o: o["out"][:, 1, 8:24, 16:40].mean((1, 2)), lambda o: o["out"][:, 2, 32:56, 50:90].mean((1, 2)))
SIDES = {"min_size": 64, "max_size": 96}


class Boxes(nn.Module):
    """A detector takes a list of pictures."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, x):
        return self.detector(list(x))


def segments(name, **how):
    return partial(getattr(segmentation, name), weights=None, weights_backbone=None, num_classes=5, **how)


def detects(name, **how):
    sides = {} if name.startswith("ssd") else SIDES
    return lambda: Boxes(getattr(detection, name)(weights=None, weights_backbone=None, num_classes=5, **sides, **how))


def classifies(name, **how):
    return partial(getattr(torchvision.models, name), weights=None, num_classes=5, **how)


def vision_transformer(side=64, patch=8):
    return torchvision.models.VisionTransformer(side, patch, 3, 2, 24, 48, num_classes=5)


def swin(version):
    blocks = {} if version == 1 else {
        "block": torchvision.models.swin_transformer.SwinTransformerBlockV2,
        "downsample_layer": torchvision.models.swin_transformer.PatchMergingV2,
    }  # fmt: skip
    return torchvision.models.SwinTransformer([4, 4], 16, [1, 2], [2, 4], [4, 4], num_classes=5, **blocks)


def small_fcn():
    kept = torchvision.models._utils.IntermediateLayerGetter(
        torchvision.models.resnet18(), {"layer2": "aux", "layer3": "out"}
    )
    return segmentation.FCN(kept, segmentation.fcn.FCNHead(256, 5), segmentation.fcn.FCNHead(128, 5))


def small_deeplab():
    kept = torchvision.models._utils.IntermediateLayerGetter(torchvision.models.resnet18(), {"layer2": "out"})
    return segmentation.DeepLabV3(kept, segmentation.deeplabv3.DeepLabHead(128, 5, (2, 4, 6)))


def without_head(name):
    model = classifies(name)()
    model.fc = nn.Identity()
    return model


LIKE = (lambda o: torch.cosine_similarity(o, torch.linspace(-1, 1, o.shape[1])[None]), lambda o: o.square().mean(1))

TORCHVISION = [
    Network("torchvision ResNet-18", classifies("resnet18"), (3, 128, 192), layers={"layer2": MAP, "layer4.1": MAP}),
    Network("torchvision ResNet-18, no head", partial(without_head, "resnet18"), (3, 128, 192), targets=LIKE),
    Network(
        "torchvision ResNet-18, 512 classes",
        partial(torchvision.models.resnet18, num_classes=512),
        (3, 128, 192),
        long=True,
    ),
    Network("torchvision SqueezeNet", classifies("squeezenet1_1"), (3, 96, 144)),
    Network(
        "torchvision GoogLeNet with auxiliary heads",
        classifies("googlenet", aux_logits=True, init_weights=False),
        (3, 128, 192),
        long=True,
    ),
    Network("torchvision DenseNet-121", classifies("densenet121"), (3, 128, 192), long=True),
    Network("torchvision ShuffleNet", classifies("shufflenet_v2_x0_5"), (3, 160, 256)),
    Network(
        "torchvision ConvNeXt",
        lambda: torchvision.models.ConvNeXt(
            [
                torchvision.models.convnext.CNBlockConfig(16, 24, 1),
                torchvision.models.convnext.CNBlockConfig(24, None, 1),
            ],
            num_classes=5,
        ),
    ),
    Network("torchvision ViT", vision_transformer, (3, 64, 64), layers={"encoder.layers.encoder_layer_0": MAP}),
    Network("torchvision Swin", partial(swin, 1), layers={"features.1": MAP, "features.1.0.attn": MAP}),
    Network("torchvision Swin v2", partial(swin, 2), layers={"features.1": MAP}),
    Network(
        "torchvision MaxViT",
        lambda: torchvision.models.MaxVit((64, 64), 8, 8, [16, 16], [1, 1], 8, 0.0, num_classes=5),
        (3, 64, 64),
    ),
    Network("torchvision DeepLab", small_deeplab, (3, 128, 192), targets=PIXELS, long=True),
    Network("torchvision FCN, auxiliary head", small_fcn, targets=PIXELS, long=True),
    Network("torchvision LR-ASPP", segments("lraspp_mobilenet_v3_large"), (3, 192, 288), targets=PIXELS, long=True),
    Network(
        "torchvision Faster R-CNN",
        detects("fasterrcnn_mobilenet_v3_large_320_fpn", box_score_thresh=0.0),
        outcome=REFUSED,
        word="box",
    ),
    Network(
        "torchvision RetinaNet",
        detects("retinanet_resnet50_fpn", score_thresh=0.0),
        outcome=REFUSED,
        word="box",
        long=True,
    ),
    Network("torchvision FCOS", detects("fcos_resnet50_fpn", score_thresh=0.0), outcome=REFUSED, word="box", long=True),
    Network(
        "torchvision SSDlite",
        detects("ssdlite320_mobilenet_v3_large", score_thresh=0.0),
        outcome=REFUSED,
        word="box",
        long=True,
    ),
    Network(
        "torchvision Faster R-CNN, the score of its first box",
        detects("fasterrcnn_mobilenet_v3_large_320_fpn", box_score_thresh=0.0),
        targets=(
            lambda o: torch.stack([each["scores"][0] for each in o]),
            lambda o: torch.stack([each["scores"][1] for each in o]),
        ),
        outcome=EITHER,
        long=True,
    ),
]
