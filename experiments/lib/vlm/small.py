"""What is made small in a configuration, and the special tokens that processors ask for."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "d_model", "embed_dim", "dim", "projection_dim", "out_hidden_size"), 16),
    **dict.fromkeys(("adapter_hidden_dim", "output_hidden_size", "text_hidden_size", "mm_hidden_size", "width"), 16),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "mlp_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff"), 24),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "intermediate_size_mlp"), 24),
    **dict.fromkeys(("num_hidden_layers", "depth", "num_layers", "encoder_layers", "decoder_layers", "layers"), 2),
    **dict.fromkeys(("num_attention_heads", "num_heads", "num_key_value_heads", "attention_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_global_key_value_heads"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 2),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "n_group", "topk_group", "moe_k"), 1),
    **dict.fromkeys(("head_dim", "global_head_dim", "d_kv"), 8),
    "image_size": 32,
    "patch_size": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "initializer_factor": 1.0,
    "deepstack_visual_indexes": [0],
    "fullatt_block_indexes": [1],
}
"""What the numbers of configurations become, by their names, where they are numbers there."""

TOKENS = {
    "image_token": "<image>", "video_token": "<video>", "audio_token": "<audio>",
    "boi_token": "<boi>", "eoi_token": "<eoi>", "boa_token": "<boa>", "eoa_token": "<eoa>",
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "image_start_token": "<is>", "image_end_token": "<ie>", "slice_start_token": "<ss>", "slice_end_token": "<se>",
    "image_id_start_token": "<iis>", "image_id_end_token": "<iie>", "image_wrapper_token": "<|image|>",
    "eof_token": "<eof>", "eol_token": "<eol>", "vision_start_token": "<vs>", "vision_end_token": "<ve>",
    "image_break_token": "<ib>", "fake_image_token": "<fake_token_around_image>", "global_image_tag": "<global-img>",
}  # fmt: skip
LEFT_OUT = (
    "transformers_version", "architectures", "dtype", "torch_dtype", "quantization_config", "per_layer_config",
)  # fmt: skip
PLAIN = (
    "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "[IMG]",
    "[IMG_BREAK]", "[IMG_END]", "<end_of_utterance>", "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>",
    "<|image_start|>", "<|image_end|>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>",
    "TILE", "TILE_GLOBAL", "<image_soft_token>", "<start_of_image>", "<end_of_image>", "<fake_token_around_image>",
    "<global-img>", "<row_1_col_1>", "<imgpad>",
    "<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>",
    "<frame_end>", "<im_low>", "<|video|>",
)  # fmt: skip

TEMPLATE = (
    "{% for message in messages %}User: {% for part in message['content'] %}{% if part['type'] == 'image' %}PLACE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}Assistant:"
)
