"""Tiny random language models that see, with real processors and tokenizers, built without a network.

Each is a `Family`: how to build it, the text of its prompts written out by hand, and how transformers itself calls it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from experiments.lib.vlm.parts import (
    ASKED,
    CHATML,
    QUESTION,
    TEXT,
    VISION,
    seeded,
    squares,
    tokenizer,
    written,
)
from experiments.lib.vlm.parts import CAPTION as CAPTION  # of all families; others read it here


def llava(**settings: Any) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer("<image>", blanks=True, begin=True)
    settings = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default", **settings}
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION, num_hidden_layers=4, initializer_factor=5.0),
        text_config=hf.LlamaConfig(**TEXT, vocab_size=len(token), pad_token_id=1, bos_token_id=2, eos_token_id=3),
        image_token_id=token.convert_tokens_to_ids("<image>"),
        **settings,
    )
    crop = {"height": 32, "width": 32}
    maker = squares("CLIPImageProcessor", size={"shortest_edge": 32}, crop_size=crop)
    strategy = settings["vision_feature_select_strategy"]
    processor = hf.LlavaProcessor(
        maker, token, patch_size=8, vision_feature_select_strategy=strategy, num_additional_image_tokens=1
    )
    return written(seeded(lambda: hf.LlavaForConditionalGeneration(config)), token), processor


def blip2() -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer("<image>", begin=True)
    # Only the third number makes a random encoder say anything: the usual one is 1e-10.
    vision = hf.Blip2VisionConfig(**VISION, num_hidden_layers=2, initializer_range=0.2)
    query = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    query |= {"vocab_size": 30, "encoder_hidden_size": 16, "initializer_range": 0.2, "cross_attention_frequency": 1}
    text = {"vocab_size": len(token), "hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 24}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 128, "word_embed_proj_dim": 16, "init_std": 0.2}
    text |= {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
    config = hf.Blip2Config(
        vision_config=vision.to_dict(),
        qformer_config=query,
        text_config={**text, "model_type": "opt"},
        num_query_tokens=4,
        image_token_index=token.convert_tokens_to_ids("<image>"),
        initializer_range=0.2,
    )
    model = seeded(lambda: hf.Blip2ForConditionalGeneration(config))
    with torch.no_grad():
        model.query_tokens.copy_(torch.randn(model.query_tokens.shape, generator=torch.Generator().manual_seed(0)))
    return written(model, token, model.language_model), hf.Blip2Processor(squares("BlipImageProcessor"), token, 4)


def paligemma() -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer("<image>", image_token="<image>")
    processor = hf.PaliGemmaProcessor(squares(image_seq_length=16), token)
    text = {**TEXT, "head_dim": 8, "vocab_size": len(token), "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
    config = hf.PaliGemmaConfig(
        vision_config={**VISION, "num_hidden_layers": 2, "model_type": "siglip_vision_model", "vision_use_head": False},
        text_config={**text, "model_type": "gemma"},
        image_token_id=token.convert_tokens_to_ids("<image>"),
        projection_dim=16,
    )
    model = seeded(lambda: hf.PaliGemmaForConditionalGeneration(config))
    return written(model, token), processor


def internvl() -> tuple[Any, Any]:
    import transformers as hf

    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    token = tokenizer("<|im_start|>", "<|im_end|>", **named, video_token="<video>")
    vision = {**VISION, "image_size": [32, 32], "patch_size": [4, 4], "num_hidden_layers": 2, "initializer_range": 0.2}
    vision |= {"use_absolute_position_embeddings": True, "layer_scale_init_value": 1.0}
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**vision),
        text_config=hf.Qwen2Config(**TEXT, vocab_size=len(token)),
        image_token_id=token.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=16,
    )
    maker = squares("GotOcr2ImageProcessor")
    template = CHATML.replace("PLACE", "<IMG_CONTEXT>\n")
    video = hf.InternVLVideoProcessor(size={"height": 32, "width": 32})
    processor = hf.InternVLProcessor(maker, token, video, image_seq_length=16, chat_template=template)
    return written(seeded(lambda: hf.InternVLForConditionalGeneration(config)), token), processor


def idefics3() -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    maker = squares("Idefics3ImageProcessor", size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    template = (
        "<s>{% for message in messages %}User:{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}Assistant:"
    )
    processor = hf.Idefics3Processor(maker, token, image_seq_len=16, chat_template=template)
    text = hf.LlamaConfig(**TEXT, vocab_size=len(token), pad_token_id=1, bos_token_id=2, eos_token_id=3)
    config = hf.Idefics3Config(
        vision_config={**VISION, "patch_size": 4, "num_hidden_layers": 2, "initializer_range": 0.2},
        text_config=text,
        image_token_id=token.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=1,
    )
    return written(seeded(lambda: hf.Idefics3ForConditionalGeneration(config)), token), processor


def qwen(windows: bool) -> tuple[Any, Any]:
    import transformers as hf

    token = tokenizer(
        "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
    )
    ids = {f"{name}_token_id": token.convert_tokens_to_ids(f"<|{name}_pad|>") for name in ("image", "video")}
    ids |= {f"vision_{name}_token_id": token.convert_tokens_to_ids(f"<|vision_{name}|>") for name in ("start", "end")}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = {**TEXT, "vocab_size": len(token), "rope_parameters": rope, "pad_token_id": 1, "bos_token_id": 2}
    vision = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    if windows:  # of 2×2 tokens
        vision |= {"hidden_size": 16, "out_hidden_size": 16, "intermediate_size": 24, "window_size": 16}
        vision |= {"fullatt_block_indexes": [1], "initializer_range": 0.2}
        kind, config = "Qwen2_5_VL", hf.Qwen2_5_VLConfig
    else:
        vision |= {"embed_dim": 16, "hidden_size": 16, "mlp_ratio": 2, "initializer_range": 0.2}
        kind, config = "Qwen2VL", hf.Qwen2VLConfig
    made = config(vision_config=vision, text_config={**text, "eos_token_id": 3}, **ids)
    model = seeded(lambda: getattr(hf, f"{kind}ForConditionalGeneration")(made))
    # At most 960 pixels: a picture of 80×48 becomes one of 40×24, 5×3 tokens.
    maker = hf.Qwen2VLImageProcessor(patch_size=4, size={"shortest_edge": 64, "longest_edge": 960})
    template = CHATML.replace("PLACE", "<|vision_start|><|image_pad|><|vision_end|>")
    video = hf.Qwen2VLVideoProcessor(patch_size=4)
    return written(model, token), getattr(hf, f"{kind}Processor")(maker, token, video, chat_template=template)


def chat(place: str, asked: str) -> str:
    return f"<|im_start|>user\n{place}{asked}<|im_end|>\n<|im_start|>assistant\n"


@dataclass(frozen=True)
class Family:
    """A model and how transformers calls it.

    Attributes:
        build: a new model and its processor.
        text: what is asked → the prompt, by hand.
        layer: the default layer, by its name in the transformers model.
        asked, question: what a caption and a question are asked as.
        others: tokens before the patches.
        map: (h,w) of the layer's map.
        picture: (width, height) of a picture.
        cells: (h,w) of the places the picture takes among the tokens.
        box: (left, top, right, bottom) of all of them in that picture.
        options: of the processor.
    """

    build: Callable[[], tuple[Any, Any]]
    text: Callable[[str], str]
    layer: str
    asked: str = ASKED
    question: str = QUESTION
    others: int = 0
    map: tuple[int, int] = (4, 4)
    picture: tuple[int, int] = (32, 32)
    cells: tuple[int, int] = (4, 4)
    box: tuple[int, int, int, int] = (0, 0, 32, 32)
    options: dict[str, Any] = field(default_factory=dict)

    def inputs(self, processor: Any, picture: Image.Image, asked: str | None = None) -> dict[str, Any]:
        """What the processor makes of a picture and a question, or what a caption is asked as."""
        text = self.text(self.asked if asked is None else asked)
        made = dict(processor(images=picture, text=text, return_tensors="pt", **self.options))
        made.pop("labels", None)
        return made

    def logits(self, model: Any, inputs: dict[str, Any], tokens: Tensor) -> Tensor:
        """(1, L, vocabulary) for tokens (1,L), by the model's own forward."""
        inputs, length = dict(inputs), inputs["input_ids"].shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], 1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        for name, after in (("mm_token_type_ids", 0), ("token_type_ids", 1)):
            if name in inputs:
                inputs[name] = torch.cat([inputs[name], torch.full_like(tokens, after)], 1)
        return model(**inputs, use_cache=False).logits[:, length - 1 : -1]

    def square(self, row: int, column: int) -> tuple[int, int, int, int]:
        """One cell's box in the picture."""
        left, top, right, bottom = self.box
        h, w = (bottom - top) // self.cells[0], (right - left) // self.cells[1]
        return left + column * w, top + row * h, left + (column + 1) * w, top + (row + 1) * h


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A smooth one of (width, height)."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)


SIGLIP = "model.vision_tower.encoder.layers.1"
QWEN_PLACE = "<|vision_start|><|image_pad|><|vision_end|>"
FAMILIES = {
    "llava": Family(
        llava,
        lambda asked: f"USER: <image>\n{asked} ASSISTANT:",
        "model.vision_tower.encoder.layers.2",
        others=1,
        picture=(48, 32),
        box=(8, 0, 40, 32),
    ),
    "blip2": Family(
        blip2,
        lambda asked: asked,
        "vision_model.encoder.layers.1",
        asked="",
        question=f"Question: {QUESTION} Answer:",
        others=1,
        picture=(64, 32),
        box=(0, 0, 64, 32),
    ),
    "qwen2": Family(
        functools.partial(qwen, False),
        functools.partial(chat, QWEN_PLACE),
        "model.visual.merger",
        map=(3, 5),
        picture=(80, 48),
        cells=(3, 5),
        box=(0, 0, 80, 48),
    ),
    "qwen2.5": Family(
        functools.partial(qwen, True),
        functools.partial(chat, QWEN_PLACE),
        "model.visual.merger",
        map=(3, 5),
        picture=(80, 48),
        cells=(3, 5),
        box=(0, 0, 80, 48),
    ),
    "paligemma": Family(
        paligemma,
        lambda asked: f"<image>{asked}",
        SIGLIP,
        asked="caption en",
        question=f"answer en {QUESTION}",
        picture=(64, 32),
        box=(0, 0, 64, 32),
    ),
}
