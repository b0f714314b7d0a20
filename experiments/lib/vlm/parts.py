"""What tiny vision-language models are built of: tokenizers, image processors, templates, random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

TEXTS = [
    "a dog runs on the red grass. a cat and the boat in the park",
    "USER: Describe the picture in one sentence. ASSISTANT: a dog is playing in the park",
    "Question: what is on the grass? Answer: yes or no",
    "answer en caption en user assistant where is the cat?",
]
CAPTION = "a dog runs on the grass"
QUESTION = "where is the cat?"
ASKED = "Describe the picture in one sentence."
TEXT: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT |= {"num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
MEAN = STD = (0.5, 0.5, 0.5)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PLACE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(*places: str, blanks: bool = False, begin: bool = False, **named: str) -> Any:
    """A tokenizer learnt from a few sentences.

    Args:
        places: special tokens.
        blanks: of the kind that writes a blank before every text, as Llama's does, instead of a byte-level one.
        begin: every text starts with "<s>".
        named: special tokens that the processor asks for by name.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<pad>", "<s>", "</s>", *places, *named.values()]
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace() if blanks else pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.Metaspace() if blanks else decoders.ByteLevel()
    alphabet = ["\n"] if blanks else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=520, special_tokens=special, initial_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    made.train_from_iterator(TEXTS * 4, trainer)
    if begin:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 2)])
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names, extra_special_tokens=dict(named) or list(places))


def seeded(build: Callable[[], Any]) -> Any:
    """A model with the same random weights each time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build().eval()


def written(model: Any, token: Any, part: Any = None) -> Any:
    """The same model, which writes five tokens of a few words."""
    said = set(token("a dog runs on the red grass and the cat in the boat", add_special_tokens=False)["input_ids"])
    silent = [i for i in range(len(token)) if i not in said]
    settings = {"max_new_tokens": 5, "min_new_tokens": 5, "suppress_tokens": silent}
    settings |= {"pad_token_id": token.pad_token_id, "eos_token_id": token.eos_token_id, "do_sample": False}
    (part or model).generation_config.update(**settings)
    return model


def squares(maker: str = "SiglipImageProcessor", **settings: Any) -> Any:
    """An image processor of small squares."""
    import transformers as hf

    size = {"height": 32, "width": 32}
    return getattr(hf, maker)(**{"size": size, "image_mean": MEAN, "image_std": STD, "resample": 3, **settings})


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A smooth one of (width, height)."""
    coarse = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
