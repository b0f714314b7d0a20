"""What each family of `AutoModelForImageTextToText` needs to be built small, and which cannot be explained.

A processor's numbers have to fit its model's: as many tokens as the encoder makes of a tile, the same patches.
"""

from __future__ import annotations

from experiments.lib.vlm.build import Recipe
from experiments.lib.vlm.more_families import MORE
from experiments.lib.vlm.shapes import CLIP, EIGHT, FOUR, MERGES, PINPOINTS, QWEN, TURNED

RECIPES: dict[str, Recipe] = {
    "aya_vision": Recipe(
        config={"vision_config": {"image_size": 32, "patch_size": 4, "vision_use_head": False}, "downsample_factor": 2},
        maker={"max_patches": 6},
        processor={"patch_size": 8, "img_size": 32},
        size=(64, 32),
    ),
    "blip-2": Recipe(
        config={**FOUR, "num_query_tokens": 4},
        processor={"num_query_tokens": 4},
        names={"image_token": ""},
        ids={"image_token_index": "<image>"},
        template=False,
    ),
    "cohere2_vision": Recipe(
        config={"vision_config": {"image_size": 32, "patch_size": 4, "vision_use_head": False}, "downsample_factor": 2},
        maker={"max_patches": 6, "patch_size": 4},
        names={"img_line_break_token": "<ilb>"},
        size=(64, 32),
    ),
    "cosmos3_edge": Recipe(config=QWEN["config"], maker={**MERGES, "temporal_patch_size": 1}),
    "deepseek_vl": Recipe(config=FOUR, processor={"num_image_tokens": 16}),
    "exaone4_5": Recipe(**QWEN),
    "florence2": Recipe(
        config={
            "vision_config": {
                "depths": (1, 1, 1, 1),
                "embed_dim": (8, 8, 16, 16),
                "num_heads": (2, 2, 2, 2),
                "num_groups": (2, 2, 2, 2),
                "window_size": 4,
                "projection_dim": 16,
                "image_size": 128,
                "patch_size": (7, 3, 3, 3),
            },
            "text_config": {"model_type": "bart", "forced_eos_token_id": None},
        },
        maker={
            "size": {"height": 128, "width": 128},
            "crop_size": {"height": 128, "width": 128},
            "image_seq_length": 17,
        },
        template=False,
    ),
    "gemma3": Recipe(
        config={**EIGHT, "mm_tokens_per_image": 16},
        processor={"image_seq_length": 16},
        place="<boi>",
        ids={"image_token_index": "<image>", "image_token_id": "<image>"},
    ),
    "glm46v": Recipe(**TURNED),
    "glm4v": Recipe(**TURNED),
    "got_ocr2": Recipe(config=FOUR),
    "granite_docling": Recipe(
        config={**EIGHT, "scale_factor": 2},
        maker={"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
        processor={"image_seq_len": 16},
    ),
    "hyperclovax_vision_v2": Recipe(**QWEN),
    "idefics2": Recipe(
        config={
            **FOUR,
            "perceiver_config": {
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 8,
            },
        },
        maker={"size": {"shortest_edge": 24, "longest_edge": 32}},
        processor={"image_seq_len": 4},
        names={"image_boundary_token": "<fake_token_around_image>"},
    ),
    "idefics3": Recipe(
        config={**EIGHT, "scale_factor": 2},
        maker={"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
        processor={"image_seq_len": 16},
    ),
    "smolvlm": Recipe(
        config={**EIGHT, "scale_factor": 2},
        maker={"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
        processor={"image_seq_len": 16},
    ),
    "internvl": Recipe(
        config={"vision_config": {"image_size": [32, 32], "patch_size": [4, 4]}, "image_seq_length": 16},
        processor={"image_seq_length": 16},
        place="<IMG_CONTEXT>",
        size=(96, 64),
    ),
    "janus": Recipe(config=FOUR, processor={"num_image_tokens": 16}),
    "kimi_k25": Recipe(**QWEN),
    "lfm2_vl": Recipe(
        maker={"encoder_patch_size": 8, "min_image_tokens": 4, "max_image_tokens": 16, "tile_size": 64},
    ),
    "lfm3_vl": Recipe(**QWEN),
    "lighton_ocr": Recipe(
        config={"vision_config": {"patch_size": 4, "image_size": 64}, "spatial_merge_size": 2},
        maker={"size": {"longest_edge": 64}, "patch_size": 4},
        processor={"patch_size": 4, "spatial_merge_size": 2},
    ),
    "llama4": Recipe(
        config={
            "vision_config": {
                "image_size": 32,
                "patch_size": 4,
                "pixel_shuffle_ratio": 0.5,
                "projector_input_dim": 16,
                "projector_output_dim": 16,
                "vision_output_dim": 16,
                "intermediate_size": 64,
            },
        },
        processor={"patch_size": 4, "pixel_shuffle_ratio": 0.5, "fake_image_token": "<|image|>"},
        ids={"image_token_index": "<|patch|>"},
    ),
    "llava": Recipe(
        config={"vision_config": {"image_size": 32, "patch_size": 4}},
        maker={"size": CLIP},
        processor={"patch_size": 4, "num_additional_image_tokens": 1},
    ),
    "llava_next": Recipe(
        config={**FOUR, "image_grid_pinpoints": PINPOINTS},
        maker={"size": CLIP, "image_grid_pinpoints": PINPOINTS},
        processor={"num_additional_image_tokens": 1},
    ),
    "llava_next_video": Recipe(
        config={**FOUR, "image_grid_pinpoints": PINPOINTS},
        maker={"size": CLIP, "image_grid_pinpoints": PINPOINTS},
        processor={"num_additional_image_tokens": 1},
    ),
    **MORE,
}
"""By model type; a type without an entry needs nothing."""

OWN = {
    "blip-2": "vision_model.encoder.layers.-1",
    "blip": "vision_model.encoder.layers.-1",
    "git": "git.image_encoder.vision_model.encoder.layers.-1",
    "pix2struct": "encoder.encoder.layer.-1",
    "vision-encoder-decoder": "encoder.encoder.layer.-1",
}
"""Families with an adapter of their own, which the tests of that adapter check, and the layer they take."""

WORK: frozenset[str] = frozenset(
    {
        *(
            "aya_vision",
            "cohere2_vision",
            "gemma3",
            "glm4v_moe",
            "mllama",
            "cosmos3_edge",
            "deepseek_vl",
            "exaone4_5",
            "glm46v",
            "glm4v",
        ),
        *("glm_ocr", "hyperclovax_vision_v2", "idefics2", "idefics3", "internvl", "janus", "lfm2_vl", "lfm3_vl"),
        *("lighton_ocr", "llava", "llava_next", "llava_next_video", "llava_onevision", "mistral3", "paddleocr_vl"),
        *("paligemma", "qianfan_ocr", "qwen2_5_vl", "qwen2_vl", "qwen3_5", "qwen3_5_moe", "qwen3_vl", "qwen3_vl_moe"),
        *("smolvlm", "t5gemma2", "video_llama_3", "video_llava", "vipllava"),
    }
)
"""Families that are explained; the tests hold them to it."""
