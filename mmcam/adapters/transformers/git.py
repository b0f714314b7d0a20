"""GIT: a language model that reads the picture's tokens as if they stood before the text."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import checked, preprocess_from, tokenizer_of
from mmcam.adapters.transformers.text import Wording, behind, ends_of, with_end
from mmcam.errors import ExplainError


class GitCaptioner(Wording, nn.Module):
    """A captioner (`mmcam.Captioner`)."""

    picture_encoder = "model.git.image_encoder"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        if model.config.num_image_with_embedding is not None:
            raise ExplainError("This GIT reads several frames of a video; only those of single pictures are explained.")
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = checked(preprocess_from(processor))
        blocks = model.git.image_encoder.vision_model.encoder.layers
        # All its tokens go to the language model, so the last block has a say.
        self.explain_layer = f"model.git.image_encoder.vision_model.encoder.layers.{len(blocks) - 1}"

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        return with_end(self.model.generate(pixel_values=x, **settings), self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a caption."""
        return ends_of(self.model.generation_config.eos_token_id, self.model.config.eos_token_id)

    @property
    def longest(self) -> int:  # type: ignore[override]
        """Tokens of a caption that the model has positions for."""
        most: int = self.model.config.max_position_embeddings
        return most

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax."""
        start = self.model.generation_config.bos_token_id
        read = behind(self.model.config.bos_token_id if start is None else start, tokens)
        logits: Tensor = self.model(input_ids=read, pixel_values=x, use_cache=False).logits
        return logits[:, -tokens.shape[1] :]  # those before belong to the picture's tokens
