"""A small captioner of the transformers library, a ViT and a GPT-2 with random weights, whose caption is explained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import mmcam
from experiments.lib.contestants import Run, Setting, pictures, plain
from mmcam.adapters.transformers import Parts

WIDTH, BLOCKS, HEADS = 384, 6, 6
LENGTH = 12
END = "<|endoftext|>"
TEXTS = ("a dog runs on the red grass .", "a man in a park plays with a blue ball , and a cat looks at the boat .")


def transformers_task(setting: Setting) -> dict[str, Run]:
    """A caption is written by transformers' own `generate`, and each of its words explained."""
    model: Any = mmcam.wrap(*built(setting.side)).to(setting.device)
    x = pictures(1, setting)
    (caption,) = (" ".join(word for word, _ in model.words(tokens)) for tokens in model.generate(x))
    seen = mmcam.look(model, x[0])

    def maps() -> Tensor:
        return torch.stack([exp.values for exp in mmcam.explain_caption(model, x[0])])

    return {
        "forward": plain(model.model.encoder, x),
        "forward and a caption": plain(model.generate, x),
        "mmcam": maps,
        "mmcam, a further word": lambda: mmcam.explain_caption(model, seen, 0, caption=caption).values,
    }


def built(side: int) -> tuple[Any, Any]:
    """The model, and what makes its pictures and reads its words."""
    import transformers

    token = tokenizer()
    end = token.eos_token_id
    sizes: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS}
    seen = transformers.ViTConfig(**sizes, intermediate_size=4 * WIDTH, image_size=side, patch_size=16)
    said = transformers.GPT2Config(
        n_embd=WIDTH, n_layer=BLOCKS, n_head=HEADS, n_positions=64, vocab_size=len(token),
        initializer_range=0.2, bos_token_id=end, eos_token_id=end,
    )  # fmt: skip
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(seen, said)
    torch.manual_seed(0)
    model = transformers.VisionEncoderDecoderModel(config).eval()
    lengths = {"min_length": LENGTH, "max_length": LENGTH}
    model.generation_config.update(decoder_start_token_id=5, eos_token_id=end, pad_token_id=end, **lengths)
    return model, Parts(transformers.ViTImageProcessor(size={"height": side, "width": side}), token)


def tokenizer() -> Any:
    """GPT-2's kind, learnt from two sentences."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS * 4, vocab_size=330, min_frequency=2, show_progress=False)
    trained.add_special_tokens([END])
    return PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, bos_token=END, eos_token=END)
