"""Tiny models of transformers, from configurations."""

import transformers
from zoo.network import EITHER, MAP, REFUSED, Network

VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "patch_size": 8,
    "image_size": (64, 96),
}
SQUARE = VIT | {"image_size": 64}
WIDE, LOW = (3, 64, 96), (3, 64, 64)
LIKE = (lambda o: o.pooler_output[:, 1], lambda o: o.pooler_output[:, 2])
DETECTED = (lambda o: o.logits[:, 0, 1], lambda o: o.logits[:, 3, 2])
PIXELS = (lambda o: o.logits[:, 1, 1:4, 2:7].mean((1, 2)), lambda o: o.logits[:, 2, 4:7, 6:11].mean((1, 2)))
TOKENS = (lambda o: o.last_hidden_state[:, 0, 1], lambda o: o.last_hidden_state[:, 0, 2])


def made(family, head="ForImageClassification", **config):
    def build():
        made = getattr(transformers, f"{family}Config")(**{"num_labels": 5} | config)
        return getattr(transformers, f"{family}{head}")(made).eval()

    return build


TRANSFORMERS_LIBRARY = [
    Network("transformers ViT", made("ViT", **VIT), layers={"vit.layers.0": MAP}),
    Network("transformers DeiT", made("DeiT", **SQUARE), LOW, layers={"deit.layers.0": MAP}),
    Network("transformers BEiT", made("Beit", **SQUARE), LOW),
    Network("transformers Data2Vec", made("Data2VecVision", **SQUARE), LOW),
    Network("transformers ViT-MSN", made("ViTMSN", **SQUARE), LOW),
    Network("transformers DINOv2", made("Dinov2", **SQUARE), WIDE),
    Network("transformers DINOv2, registers", made("Dinov2WithRegisters", **SQUARE, num_register_tokens=4), WIDE),
    Network("transformers DINOv3", made("DINOv3ViT", "Model", **SQUARE, num_register_tokens=4), WIDE, targets=TOKENS),
    Network("transformers I-JEPA", made("IJepa", **SQUARE), LOW),
    Network(
        "transformers Swin",
        made("Swin", image_size=(64, 96), patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
        WIDE,
    ),
    Network(
        "transformers Swin v2",
        made("Swinv2", image_size=(64, 96), patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
        WIDE,
    ),
    Network(
        "transformers Hiera",
        made("Hiera", image_size=[128, 128], embed_dim=16, num_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1]),
        (3, 128, 128),
        outcome=EITHER,
    ),
    Network("transformers ConvNeXt", made("ConvNext", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2), WIDE),
    Network(
        "transformers PVT",
        made(
            "Pvt",
            image_size=128,
            hidden_sizes=[8, 16, 24, 32],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2],
            sequence_reduction_ratios=[4, 2, 1, 1],
        ),
        (3, 128, 128),
    ),
    Network(
        "transformers PVT v2",
        made(
            "PvtV2",
            hidden_sizes=[8, 16, 24],
            depths=[1, 1, 1],
            num_encoder_blocks=3,
            num_attention_heads=[1, 2, 2],
            sr_ratios=[4, 2, 1],
            patch_sizes=[7, 3, 3],
            strides=[4, 2, 2],
            mlp_ratios=[2, 2, 2],
        ),
        WIDE,
    ),
    Network(
        "transformers MobileViT",
        made(
            "MobileViT", hidden_sizes=[12, 16, 20], neck_hidden_sizes=[8, 8, 12, 12, 16, 16, 24], num_attention_heads=2
        ),
        (3, 128, 256),
    ),
    Network("transformers MobileViT v2", made("MobileViTV2"), (3, 128, 192), long=True),
    Network(
        "transformers LeViT",
        made(
            "Levit",
            image_size=224,
            hidden_sizes=[16, 24, 32],
            num_attention_heads=[1, 2, 2],
            depths=[1, 1, 1],
            key_dim=[8, 8, 8],
        ),
        (3, 224, 224),
        outcome=EITHER,
    ),
    Network(
        "transformers FocalNet",
        made(
            "FocalNet",
            image_size=64,
            embed_dim=16,
            depths=[1, 1],
            focal_levels=[2, 2],
            focal_windows=[3, 3],
            hidden_sizes=[16, 32],
        ),
        WIDE,
    ),
    Network(
        "transformers PoolFormer", made("PoolFormer", hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1]), (3, 128, 192)
    ),
    Network(
        "transformers Perceiver",
        made(
            "Perceiver",
            "ForImageClassificationLearned",
            image_size=32,
            num_latents=16,
            d_latents=16,
            d_model=24,
            num_blocks=1,
            num_self_attends_per_block=1,
            num_self_attention_heads=2,
            num_cross_attention_heads=1,
        ),
        (3, 32, 32),
        outcome=EITHER,
    ),
    Network(
        "transformers Segformer",
        made("Segformer", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 2]),
        (3, 128, 192),
    ),
    Network(
        "transformers Segformer, segmentation",
        made(
            "Segformer",
            "ForSemanticSegmentation",
            hidden_sizes=[8, 16, 24, 32],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 2],
            decoder_hidden_size=16,
        ),
        (3, 64, 96),
        targets=PIXELS,
    ),
    Network(
        "transformers DPT",
        made(
            "DPT",
            "ForDepthEstimation",
            **SQUARE | {"num_hidden_layers": 4},
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            is_hybrid=False,
        ),
        LOW,
        targets=(
            lambda o: o.predicted_depth[:, 4:20, 8:30].mean((1, 2)),
            lambda o: o.predicted_depth[:, 40:60, 30:60].mean((1, 2)),
        ),
        outcome=EITHER,  # its depth ends in a ReLU, which random weights may shut at the pixels that are asked
    ),
    Network(
        "transformers YOLOS",
        made("Yolos", "ForObjectDetection", **VIT | {"image_size": [64, 96]}, num_detection_tokens=10),
        WIDE,
        targets=DETECTED,
        layers={"vit.encoder.layer.0": MAP},
    ),
    Network(
        "transformers DETR",
        made(
            "Detr",
            "ForObjectDetection",
            use_timm_backbone=True,
            use_pretrained_backbone=False,
            backbone="resnet18",
            d_model=24,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_queries=12,
        ),
        (3, 128, 192),
        targets=DETECTED,
        long=True,
    ),
    Network("transformers CLIP", made("CLIPVision", "Model", **SQUARE), LOW, targets=LIKE),
    Network("transformers SigLIP", made("SiglipVision", "Model", **SQUARE), LOW, targets=LIKE),
    Network(
        "transformers masked autoencoder",
        made("ViTMAE", "Model", **SQUARE, mask_ratio=0.0),
        LOW,
        targets=TOKENS,
        outcome=EITHER,
    ),
    Network(
        "transformers masked autoencoder, three quarters hidden",
        made("ViTMAE", "Model", **SQUARE),
        LOW,
        targets=TOKENS,
        outcome=EITHER,
    ),
    Network(
        "transformers SwiftFormer", made("SwiftFormer", embed_dims=[8, 16, 24, 32], depths=[1, 1, 1, 1]), (3, 128, 192)
    ),
    Network(
        "transformers ImageGPT",
        made("ImageGPT", n_embd=16, n_layer=1, n_head=2, vocab_size=17),
        (3, 32, 32),
        outcome=REFUSED,
    ),
]
