"""What each family of `AutoModelForImageTextToText` needs to be built small, and which cannot be explained.

A processor's numbers have to fit its model's: as many tokens as the encoder makes of a tile, the same patches.
"""

from __future__ import annotations

from typing import Any

from experiments.checks.vlm.build import Recipe

MERGED = {"patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
MERGES = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
QWEN: dict[str, Any] = {"config": {"vision_config": MERGED}, "maker": MERGES}
ROPE = {"text_config": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}}
HALF = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [0, 1, 1], "partial_rotary_factor": 0.5}
TURNED: dict[str, Any] = {"config": {"vision_config": MERGED, **ROPE}, "maker": MERGES}
FOUR = {"vision_config": {"image_size": 32, "patch_size": 8}}  # 4×4 patches of a tile
EIGHT = {"vision_config": {"image_size": 32, "patch_size": 4}}  # 8×8
CLIP = {"shortest_edge": 32}
PINPOINTS = [[32, 64], [64, 32], [64, 64]]

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
    "llava_onevision": Recipe(
        config={
            "vision_config": {"image_size": 32, "patch_size": 8, "vision_use_head": False},
            "image_grid_pinpoints": PINPOINTS,
        },
        maker={"image_grid_pinpoints": PINPOINTS},
        processor={"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    ),
    "minicpmv4_6": Recipe(),
    "mistral3": Recipe(
        config={"vision_config": {"patch_size": 4, "image_size": 64}, "spatial_merge_size": 2},
        maker={"size": {"longest_edge": 64}, "patch_size": 4},
        processor={"patch_size": 4, "spatial_merge_size": 2},
        place="[IMG]",
        names={"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"},
    ),
    "mllama": Recipe(
        config={
            "vision_config": {
                "image_size": 32,
                "patch_size": 8,
                "intermediate_layers_indices": [0],
                "vision_output_dim": 32,
                "num_global_layers": 2,
                "max_num_tiles": 4,
                "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
            },
            "text_config": {"cross_attention_layers": [1]},
        },
        size=(64, 64),
    ),
    "muse_glimmer": Recipe(**QWEN),
    "ovis2": Recipe(config=FOUR, ids={"image_token_id": "<image>"}, processor={"image_seq_length": 16}, size=(64, 32)),
    "paddleocr_vl": Recipe(config=TURNED["config"], maker={**MERGES, "temporal_patch_size": 1}),
    "paligemma": Recipe(
        config={"vision_config": {"image_size": 32, "patch_size": 8, "vision_use_head": False}},
        maker={"image_seq_length": 16},
        template=False,
    ),
    "perception_lm": Recipe(),
    "qwen2_5_vl": Recipe(config={"vision_config": {**MERGED, "window_size": 16}, **ROPE}, maker=MERGES),
    "qwen2_vl": Recipe(**TURNED),
    "qwen3_5": Recipe(**QWEN),
    "qwen3_5_moe": Recipe(**QWEN),
    "qwen3_vl": Recipe(config={"vision_config": {**MERGED, "deepstack_visual_indexes": [0, 1]}}, maker=MERGES),
    "t5gemma2": Recipe(
        config={"encoder": {**EIGHT, "mm_tokens_per_image": 16}},
        processor={"image_seq_length": 16},
        place="<boi>",
        ids={"image_token_index": "<image>", "image_token_id": "<image>"},
    ),
    "video_llama_3": Recipe(config={"vision_config": {"patch_size": 4}}, maker={"patch_size": 4, "merge_size": 1}),
    "instructblip": Recipe(
        config={**FOUR, "num_query_tokens": 4},
        processor={"num_query_tokens": 4},
        names={"image_token": ""},
        ids={"image_token_index": "<image>"},
        template=False,
    ),
    "gemma4": Recipe(),
    "qwen3_vl_moe": Recipe(
        config={"vision_config": {**MERGED, "deepstack_visual_indexes": [0, 1]}},
        maker=MERGES,
        maker_class="Qwen2VLImageProcessor",
        processor_class="Qwen3VLProcessor",
    ),
    "glm4v_moe": Recipe(
        config={
            "vision_config": MERGED,
            "text_config": {"rope_parameters": HALF},
        },
        maker=MERGES,
        maker_class="Glm4vImageProcessor",
        processor_class="Glm4vProcessor",
    ),
    "glm_ocr": Recipe(**TURNED, maker_class="Glm46VImageProcessor", processor_class="Glm46VProcessor"),
    "qianfan_ocr": Recipe(
        config={"vision_config": {"image_size": [32, 32], "patch_size": [4, 4]}, "image_seq_length": 16},
        processor={"image_seq_length": 16},
        place="<image>",
        size=(96, 64),
    ),
    "video_llava": Recipe(
        config=FOUR,
        maker={"size": CLIP, "crop_size": {"height": 32, "width": 32}},
        processor={"num_additional_image_tokens": 1},
        place="<image>",
    ),
    "inkling2": Recipe(),
    "ernie4_5_vl_moe": Recipe(
        config=TURNED["config"],
        maker={**MERGES, "temporal_patch_size": 1},
        names={"video_end_token": "<vide>", "video_start_token": "<vids>"},
    ),
    "qwen2_5_omni_thinker": Recipe(
        **TURNED,
        maker_class="Qwen2VLImageProcessor",
        processor_class="Qwen2_5OmniProcessor",
        names={
            "vision_bos_token": "<vb>",
            "vision_eos_token": "<ve2>",
            "audio_bos_token": "<ab>",
            "audio_eos_token": "<ae>",
        },
    ),
    "vipllava": Recipe(
        config={"vision_config": {"image_size": 32, "patch_size": 4}, "vision_feature_layers": [-2, -1]},
        maker={"size": CLIP},
        processor={"patch_size": 4, "num_additional_image_tokens": 1},
    ),
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
