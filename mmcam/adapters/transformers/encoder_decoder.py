"""VisionEncoderDecoderModel: a ViT, Swin or other encoder with a language model, e.g. vit-gpt2-image-captioning."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import checked, preprocess_from, tokenizer_of
from mmcam.adapters.transformers.text import Wording, behind, ends_of, with_end
from mmcam.errors import ExplainError


class EncoderDecoder(Wording, nn.Module):
    """A captioner (`mmcam.Captioner`)."""

    picture_encoder = "model.encoder"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = checked(preprocess_from(processor))
        # All its tokens go to the decoder, so the last block has a say; a Swin keeps its stages one level deeper.
        inner = getattr(model.encoder, "encoder", model.encoder)
        blocks = getattr(inner, "layers", None) or getattr(inner, "layer", None)
        if blocks is not None:
            name = next(name for name, module in self.named_modules() if module is blocks)
            self.explain_layer = f"{name}.{len(blocks) - 1}"

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        return with_end(self.model.generate(pixel_values=x, **settings), self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a caption."""
        return ends_of(self._setting("eos_token_id"), self.tokenizer.eos_token_id)

    @property
    def longest(self) -> int | None:  # type: ignore[override]
        """Tokens of a caption that the decoder has positions for."""
        most: int | None = getattr(self.model.config.decoder, "max_position_embeddings", None)
        return most

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax."""
        seen = self.model.encoder(pixel_values=x)
        start = self._setting("decoder_start_token_id", "bos_token_id")
        if start is None:
            raise ExplainError(
                f"{type(self.model).__name__} does not say what a caption starts with; set "
                "model.generation_config.decoder_start_token_id."
            )
        read = behind(start, tokens)
        logits: Tensor = self.model(encoder_outputs=seen, decoder_input_ids=read, use_cache=False).logits
        return logits

    def _setting(self, *names: str) -> Any:
        """The first of some settings that is there, looked for where ``generate`` does."""
        places = (self.model.generation_config, self.model.config, self.model.config.decoder)
        found = (getattr(place, name, None) for name in names for place in places)
        return next((value for value in found if value is not None), None)
