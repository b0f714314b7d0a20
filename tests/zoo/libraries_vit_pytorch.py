"""Transformers of vit_pytorch, small."""

from functools import partial

from vit_pytorch import (
    ats_vit,
    cait,
    cct,
    cross_vit,
    crossformer,
    cvt,
    deepvit,
    efficient,
    jumbo_vit,
    learnable_memory_vit,
    levit,
    look_vit,
    max_vit,
    max_vit_with_registers,
    mobile_vit,
    nest,
    normalized_vit,
    parallel_vit,
    pit,
    regionvit,
    rvt,
    scalable_vit,
    sep_vit,
    simple_vit,
    simple_vit_with_fft,
    simple_vit_with_patch_dropout,
    simple_vit_with_register_tokens,
    t2t,
    twins_svt,
    vit,
    vit_for_small_dataset,
    vit_with_patch_merger,
    xcit,
)
from zoo.network import EITHER, MAP, Network

WIDE = {
    "image_size": (64, 96),
    "patch_size": 8,
    "num_classes": 5,
    "dim": 24,
    "depth": 2,
    "heads": 2,
    "mlp_dim": 48,
    "dim_head": 12,
}
SQUARE = WIDE | {"image_size": 64}
HEADS = {"heads": 2, "mlp_dim": 48, "dim_head": 12}


def compact():
    layers = {"n_conv_layers": 2, "kernel_size": 3, "stride": 2, "padding": 1, "num_layers": 2, "num_heads": 2}
    how = {"embedding_dim": 24, "mlp_ratio": 2.0, "num_classes": 5, "positional_embedding": "learnable"}
    return cct.CCT(img_size=(64, 96), **layers, **how)


def convolutional():
    stage = {"emb_dim": 16, "emb_kernel": 3, "emb_stride": 2, "heads": 1, "depth": 1, "mlp_mult": 2}
    return cvt.CvT(num_classes=5, **{f"s{n}_{key}": value for n in (1, 2, 3) for key, value in stage.items()})


def twins():
    stage = {"emb_dim": 16, "patch_size": 2, "local_patch_size": 4, "global_k": 2, "depth": 1}
    stages = {f"s{n}_{key}": value for n in (1, 2, 3, 4) for key, value in stage.items()}
    return twins_svt.TwinsSVT(
        num_classes=5,
        **stages | {"s1_patch_size": 4, "s3_local_patch_size": 2, "s4_local_patch_size": 1, "s4_patch_size": 2},
    )


def linear():
    from torch import nn

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                [nn.TransformerEncoderLayer(24, 2, 48, 0.0, batch_first=True) for _ in range(2)]
            )

        def forward(self, t):
            for layer in self.layers:
                t = layer(t)
            return t

    return efficient.ViT(image_size=64, patch_size=8, num_classes=5, dim=24, transformer=Transformer())


def remembers():
    inner = learnable_memory_vit.ViT(**SQUARE)
    return learnable_memory_vit.Adapter(vit=inner, num_memories_per_layer=5, num_classes=5)


BLOCK = {"transformer.layers.0.1": MAP}

VIT_PYTORCH = [
    Network("vit_pytorch ViT", partial(vit.ViT, **WIDE), layers=BLOCK),
    Network("vit_pytorch ViT, mean", partial(vit.ViT, **WIDE, pool="mean"), layers=BLOCK),
    Network("vit_pytorch SimpleViT", partial(simple_vit.SimpleViT, **WIDE), layers=BLOCK),
    Network(
        "vit_pytorch SimpleViT, registers behind",
        partial(simple_vit_with_register_tokens.SimpleViT, **WIDE),
        layers=BLOCK,
    ),
    Network(
        "vit_pytorch SimpleViT, Fourier patches",
        partial(simple_vit_with_fft.SimpleViT, **WIDE, freq_patch_size=8),
        outcome=EITHER,
        layers={"transformer.layers.0.1": EITHER},
    ),
    Network(
        "vit_pytorch SimpleViT, patch dropout", partial(simple_vit_with_patch_dropout.SimpleViT, **WIDE), layers=BLOCK
    ),
    Network("vit_pytorch CaiT", partial(cait.CaiT, **SQUARE, cls_depth=1), (3, 64, 64)),
    Network("vit_pytorch DeepViT", partial(deepvit.DeepViT, **SQUARE), (3, 64, 64), layers=BLOCK),
    Network(
        "vit_pytorch T2T", partial(t2t.T2TViT, image_size=64, num_classes=5, dim=24, depth=2, **HEADS), (3, 64, 64)
    ),
    Network(
        "vit_pytorch CrossViT",
        partial(
            cross_vit.CrossViT,
            image_size=96,
            num_classes=5,
            sm_dim=16,
            lg_dim=24,
            sm_patch_size=12,
            lg_patch_size=16,
            sm_enc_heads=2,
            lg_enc_heads=2,
            sm_enc_mlp_dim=32,
            lg_enc_mlp_dim=32,
            lg_enc_depth=1,
            cross_attn_depth=1,
            cross_attn_heads=2,
            depth=1,
        ),
        (3, 96, 96),
        outcome=EITHER,
    ),
    Network(
        "vit_pytorch PiT",
        partial(pit.PiT, image_size=96, patch_size=16, num_classes=5, dim=24, depth=(1, 1), **HEADS),
        (3, 96, 96),
    ),
    Network(
        "vit_pytorch LeViT",
        partial(
            levit.LeViT,
            image_size=224,
            num_classes=5,
            stages=2,
            dim=(24, 32),
            depth=1,
            heads=(2, 2),
            mlp_mult=2,
            dim_key=8,
            dim_value=8,
        ),
        (3, 224, 224),
        outcome=EITHER,
    ),
    Network("vit_pytorch CvT", convolutional),
    Network("vit_pytorch Twins", twins, (3, 128, 128), long=True),
    Network(
        "vit_pytorch RegionViT",
        partial(regionvit.RegionViT, dim=(8, 16, 24, 32), depth=(1, 1, 1, 1), window_size=4, num_classes=5),
        (3, 128, 256),
    ),
    Network(
        "vit_pytorch CrossFormer",
        partial(
            crossformer.CrossFormer,
            dim=(32, 32, 64, 64),
            depth=(1, 1, 1, 1),
            global_window_size=(4, 2, 2, 1),
            local_window_size=4,
            num_classes=5,
        ),
        (3, 128, 128),
        outcome=EITHER,
    ),
    Network(
        "vit_pytorch MaxViT",
        partial(max_vit.MaxViT, num_classes=5, dim=16, depth=(1, 1), dim_conv_stem=16, dim_head=8, window_size=4),
        (3, 64, 64),
        outcome=EITHER,
    ),
    Network(
        "vit_pytorch MaxViT, registers",
        partial(
            max_vit_with_registers.MaxViT,
            num_classes=5,
            dim=16,
            depth=(1, 1),
            dim_conv_stem=16,
            dim_head=8,
            window_size=4,
        ),
        (3, 64, 64),
        outcome=EITHER,
    ),
    Network(
        "vit_pytorch NesT",
        partial(
            nest.NesT,
            image_size=64,
            patch_size=4,
            num_classes=5,
            dim=16,
            heads=2,
            num_hierarchies=2,
            block_repeats=(1, 1),
            dim_head=8,
        ),
        (3, 64, 64),
    ),
    Network(
        "vit_pytorch MobileViT",
        partial(mobile_vit.MobileViT, (128, 256), [16, 20, 24], [8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 32], 5),
        (3, 128, 256),
    ),
    Network("vit_pytorch XCiT", partial(xcit.XCiT, **SQUARE, cls_depth=1), (3, 64, 64), outcome=EITHER),
    Network("vit_pytorch compact transformer", compact, layers={"classifier.blocks.0": MAP}),
    Network(
        "vit_pytorch LookViT",
        partial(
            look_vit.LookViT,
            dim=24,
            image_size=96,
            num_classes=5,
            depth=1,
            patch_size=24,
            heads=2,
            dim_head=12,
            highres_patch_size=8,
            cross_attn_heads=2,
            cross_attn_dim_head=12,
        ),
        (3, 96, 96),
        outcome=EITHER,
    ),
    Network("vit_pytorch parallel ViT", partial(parallel_vit.ViT, **WIDE)),
    Network("vit_pytorch RvT", partial(rvt.RvT, **SQUARE), (3, 64, 64)),
    Network(
        "vit_pytorch ScalableViT",
        partial(
            scalable_vit.ScalableViT,
            num_classes=5,
            dim=16,
            depth=(1, 1),
            heads=(1, 2),
            reduction_factor=(2, 1),
            window_size=(4, None),
            iwsa_dim_key=8,
            iwsa_dim_value=8,
            ssa_dim_key=8,
            ssa_dim_value=8,
        ),
        outcome=EITHER,
    ),
    Network(
        "vit_pytorch SepViT",
        partial(sep_vit.SepViT, num_classes=5, dim=16, depth=(1, 1), heads=(1, 2), window_size=7, dim_head=8),
        (3, 112, 168),
        outcome=EITHER,
    ),
    Network("vit_pytorch ViT for small sets", partial(vit_for_small_dataset.ViT, **SQUARE), (3, 64, 64)),
    Network(
        "vit_pytorch ViT, patches merged",
        partial(vit_with_patch_merger.ViT, **WIDE | {"depth": 4}, patch_merge_num_tokens=24),
        outcome=EITHER,
    ),
    Network("vit_pytorch jumbo class token", partial(jumbo_vit.JumboViT, **WIDE)),
    Network("vit_pytorch memories", remembers, (3, 64, 64), outcome=EITHER),
    Network("vit_pytorch normalised ViT", partial(normalized_vit.nViT, **SQUARE), (3, 64, 64), outcome=EITHER),
    Network(
        "vit_pytorch adaptive sampling",
        partial(ats_vit.ViT, **SQUARE, max_tokens_per_depth=(64, 36)),
        (3, 64, 64),
        outcome=EITHER,
    ),
    Network("vit_pytorch any transformer", linear, (3, 64, 64), layers={"transformer.layers.0": MAP}),
]
