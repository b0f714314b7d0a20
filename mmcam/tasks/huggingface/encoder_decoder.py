"""VisionEncoderDecoderModel: a ViT, Swin or other encoder with a language model, e.g. vit-gpt2-image-captioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.tasks.huggingface.pictures import preprocess_from, tokenizer_of
from mmcam.tasks.huggingface.text import tokens_of, without_specials, words_of


class EncoderDecoder(nn.Module):
    """A captioner (`mmcam.Captioner`)."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = preprocess_from(processor)
        # All its tokens go to the decoder, so the last block has a say; a Swin keeps its stages one level deeper.
        inner = getattr(model.encoder, "encoder", model.encoder)
        layers = getattr(inner, "layers", None) or inner.layer
        name = next(name for name, module in self.named_modules() if module is layers)
        self.explain_layer = f"{name}.{len(layers) - 1}"

    def generate(self, x: Tensor) -> list[list[int]]:
        """The caption of the model's own generation settings."""
        return without_specials(self.tokenizer, self.model.generate(pixel_values=x).tolist())

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """log p(token | picture, tokens before it)."""
        seen = self.model.encoder(pixel_values=x)
        start = self.model.config.decoder_start_token_id
        if start is None:
            start = self.model.generation_config.decoder_start_token_id
        before = torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], dim=1)
        logits = self.model(encoder_outputs=seen, decoder_input_ids=before, use_cache=False).logits
        log_probs: Tensor = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        return log_probs

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption."""
        return tokens_of(self.tokenizer, caption)

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words the tokens spell."""
        return words_of(self.tokenizer, tokens)


def adapt(model: Any, processor: Any) -> EncoderDecoder:
    """See `mmcam.wrap`."""
    return EncoderDecoder(model, processor)
