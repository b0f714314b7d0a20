"""The second half of the families, by name."""

from __future__ import annotations

from experiments.lib.vlm.build import Recipe
from experiments.lib.vlm.shapes import CLIP, EIGHT, FOUR, HALF, MERGED, MERGES, PINPOINTS, QWEN, ROPE, TURNED

MORE: dict[str, Recipe] = {
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
