"""timm's odd families, as small as their settings allow."""

from functools import partial

import timm
from timm.models.focalnet import FocalNet
from timm.models.mlp_mixer import MlpMixer
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.nest import Nest
from timm.models.volo import VOLO
from zoo.network import EITHER, MAP, Network


def made(name, **how):
    return partial(timm.create_model, name, pretrained=False, num_classes=5, **how)


SMALL = {"img_size": (64, 96), "embed_dim": 24, "depth": 2, "num_heads": 2, "patch_size": 8}

TIMM = [
    Network("timm ViT", made("vit_tiny_patch16_224", **SMALL), layers={"blocks.0": MAP, "norm": EITHER}),
    Network("timm ViT, registers", made("vit_medium_patch16_reg4_gap_256", **SMALL), layers={"blocks.0": MAP}),
    Network("timm ViT, attention pooling", made("vit_base_patch16_siglip_224", **SMALL), layers={"blocks.0": MAP}),
    Network("timm DeiT, distilled", made("deit_tiny_distilled_patch16_224", **SMALL), layers={"blocks.0": MAP}),
    Network("timm BEiT", made("beit_base_patch16_224", **SMALL), layers={"blocks.0": MAP}),
    Network("timm EVA-02", made("eva02_tiny_patch14_224", **SMALL), layers={"blocks.0": MAP}),
    Network("timm DINOv3", made("vit_small_patch16_dinov3", **SMALL), layers={"blocks.0": MAP}),
    Network("timm CaiT", made("cait_xxs24_224", **SMALL), layers={"blocks.0": MAP}),
    Network("timm XCiT", made("xcit_nano_12_p8_224", embed_dim=24, depth=2, num_heads=2), layers={"blocks.0": MAP}),
    Network(
        "timm ConViT",
        made("convit_tiny", img_size=64, embed_dim=24, depth=2, num_heads=2, patch_size=8),
        (3, 64, 64),
        layers={"blocks.0": MAP},
    ),
    Network(
        "timm mixer", partial(MlpMixer, 5, 64, patch_size=8, num_blocks=2, embed_dim=24), (3, 64, 64), outcome=EITHER
    ),
    Network(
        "timm Swin",
        made(
            "swin_tiny_patch4_window7_224",
            img_size=(64, 96),
            window_size=4,
            embed_dim=16,
            depths=(2, 2),
            num_heads=(2, 2),
        ),
        layers={"layers.0": MAP},
    ),
    Network(
        "timm Swin v2",
        made(
            "swinv2_tiny_window8_256", img_size=(64, 96), window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 2)
        ),
        layers={"layers.0": MAP},
    ),
    Network(
        "timm Hiera",
        made("hiera_tiny_224", img_size=(128, 128), embed_dim=16, num_heads=1, stages=(1, 1, 1, 1)),
        (3, 128, 128),
        outcome=EITHER,
        layers={"blocks.0": EITHER, "patch_embed": EITHER},
    ),
    Network(
        "timm MViT v2",
        partial(
            MultiScaleVit, MultiScaleVitCfg(depths=(1, 1), embed_dim=(16, 32), num_heads=(1, 2)), 64, num_classes=5
        ),
        (3, 64, 64),
        layers={"stages.0": MAP},
    ),
    Network(
        "timm MaxViT", made("maxvit_pico_rw_256", img_size=(64, 64), depths=(1, 1), embed_dim=(32, 64)), (3, 64, 64)
    ),
    Network(
        "timm CoAtNet",
        made("coatnet_pico_rw_224", img_size=(128, 192), depths=(1, 1, 1, 1), embed_dim=(32, 32, 64, 64)),
        (3, 128, 192),
    ),
    Network(
        "timm PVT v2",
        made(
            "pvt_v2_b0",
            depths=(1, 1, 1),
            embed_dims=(8, 16, 24),
            num_heads=(1, 2, 2),
            sr_ratios=(4, 2, 1),
            mlp_ratios=(2, 2, 2),
        ),
    ),
    Network(
        "timm FocalNet",
        partial(FocalNet, num_classes=5, embed_dim=16, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3)),
    ),
    Network("timm DaViT", made("davit_tiny", depths=(1, 1), embed_dims=(16, 32), num_heads=(1, 2))),
    Network(
        "timm NesT", partial(Nest, 64, 3, 4, 2, (16, 32), (1, 2), (1, 1), 5), (3, 64, 64), layers={"levels.0": MAP}
    ),
    Network(
        "timm EfficientFormer v2",
        made("efficientformerv2_s0", depths=(1, 1, 1, 1), embed_dims=(8, 16, 24, 32)),
        (3, 224, 224),
        long=True,
    ),
    Network("timm EdgeNeXt", made("edgenext_xx_small"), (3, 128, 192)),
    Network("timm MobileViT", made("mobilevit_xxs"), (3, 128, 192)),
    Network("timm FastViT", made("fastvit_t8"), (3, 128, 192), long=True),
    Network("timm LeViT", made("levit_128s"), (3, 224, 224), outcome=EITHER, long=True),
    Network("timm PiT", made("pit_ti_224"), (3, 224, 224), long=True),
    Network("timm CrossViT", made("crossvit_tiny_240"), (3, 240, 240), outcome=EITHER, long=True),
    Network("timm TNT", made("tnt_s_patch16_224", embed_dim=24, depth=2), (3, 224, 224), long=True),
    Network(
        "timm VOLO",
        partial(
            VOLO,
            (1, 1),
            64,
            num_classes=5,
            embed_dims=(16, 32),
            num_heads=(1, 2),
            downsamples=(True, False),
            outlook_attention=(True, False),
            mlp_ratio=2.0,
            post_layers=("ca",),
        ),
        (3, 64, 64),
        outcome=EITHER,
    ),
    Network("timm HGNet", made("hgnetv2_b0"), (3, 128, 192)),
    Network("timm RepViT", made("repvit_m0_9"), (3, 128, 192), long=True),
    Network("timm TResNet", made("tresnet_m"), (3, 128, 192), long=True),
    Network("timm GhostNet", made("ghostnet_050"), (3, 128, 192)),
    Network("timm Visformer", made("visformer_tiny", img_size=64), (3, 64, 64), outcome=EITHER),
    Network(
        "timm Sequencer",
        made(
            "sequencer2d_s",
            img_size=64,
            layers=(1, 1, 1, 1),
            patch_sizes=(8, 1, 1, 1),
            embed_dims=(24, 24, 24, 24),
            hidden_sizes=(8, 8, 8, 8),
        ),
        (3, 64, 64),
    ),
]
