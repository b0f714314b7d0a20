"""Networks of segmentation_models_pytorch on a small encoder, with random weights."""

from functools import partial

import segmentation_models_pytorch as smp
from zoo.network import EITHER, MAP, Network

PIXELS = (lambda o: o[:, 1, 8:40, 16:60].mean((1, 2)), lambda o: o[:, 2, 60:90, 70:120].mean((1, 2)))
ALL = (lambda o: o[:, 1].mean((1, 2)), lambda o: o[:, 2].mean((1, 2)))


def made(kind, encoder="resnet18", **how):
    return partial(kind, encoder, encoder_weights=None, classes=5, **how)


def network(name, kind, targets=PIXELS, *, outcome=MAP, layers=(), long=False, **how):
    return Network(
        f"segmentation_models_pytorch {name}",
        made(kind, **how),
        (3, 96, 128),
        targets=targets,
        outcome=outcome,
        layers=dict(layers),
        long=long,
    )


SEGMENTATION = [
    network("Unet", smp.Unet, decoder_channels=(32, 16, 16, 8, 8), layers={"encoder.layer4": MAP}),
    network("Unet, whole picture", smp.Unet, ALL, long=True, decoder_channels=(32, 16, 16, 8, 8)),
    network("Unet++", smp.UnetPlusPlus, decoder_channels=(32, 16, 16, 8, 8), long=True),
    network("FPN", smp.FPN, decoder_pyramid_channels=32, decoder_segmentation_channels=32, long=True),
    network("Linknet", smp.Linknet, long=True),
    network("PSPNet", smp.PSPNet, psp_out_channels=32),
    network("DeepLab v3+", smp.DeepLabV3Plus, decoder_channels=32, long=True),
    network("Segformer", smp.Segformer, decoder_segmentation_channels=32),
    network("UPerNet", smp.UPerNet, decoder_channels=32, long=True),
    network("MAnet", smp.MAnet, decoder_channels=(32, 16, 16, 8, 8), outcome=EITHER, long=True),
    network("Unet on MobileNet", smp.Unet, encoder="mobilenet_v2", decoder_channels=(32, 16, 16, 8, 8), long=True),
    Network(
        "segmentation_models_pytorch Unet, class of the whole",
        made(smp.Unet, decoder_channels=(32, 16, 16, 8, 8), aux_params={"classes": 5}),
        (3, 96, 128),
        long=True,
        targets=(lambda o: o[1][:, 1], lambda o: o[1][:, 2]),
    ),
]
