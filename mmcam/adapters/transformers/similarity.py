"""CLIP, Chinese-CLIP, SigLIP and ALIGN: a picture and a text are embedded apart and compared by their cosine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import checked, preprocess_from, tokenizer_of
from mmcam.errors import ExplainError


class Similarity(nn.Module):
    """A model of pictures and texts (`mmcam.SimilarityModel`).

    Raises:
        ExplainError: the pictures have no fixed size, as those of `Siglip2Model`.
    """

    picture_encoder = "model.vision_model"

    def __init__(self, model: Any, processor: Any) -> None:
        if model.config.model_type == "siglip2":
            raise ExplainError(
                "Siglip2Model takes a picture of any proportions as a row of patches, which has no adapter; a SigLIP 2 "
                "of fixed size (its name ends like -patch16-256) is a SiglipModel and has one."
            )
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = checked(preprocess_from(processor))
        self.explain_layer = _layer(self, model.vision_model)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N,3,H,W) → their embeddings (N,D)."""
        return _embedding(self.model.get_image_features(pixel_values=x))

    def similarity(self, x: Tensor, texts: Sequence[str]) -> Tensor:
        """The model's ``logits_per_image`` (R,) of picture ``r % N`` and text r: the cosine, scaled as in training.

        Raises:
            ExplainError: a text is longer than the model reads.
        """
        said = self._said(texts, x.device)  # first, so that the engine records no graph of it
        seen = _normed(self(x))
        cosine = (seen.repeat(len(said) // len(seen), 1) * said).sum(-1)
        scaled: Tensor
        if hasattr(self.model, "temperature"):  # ALIGN
            scaled = cosine / self.model.temperature
        else:  # SigLIP has a bias, too, both of shape (1,).
            scaled = cosine * self.model.logit_scale.exp() + getattr(self.model, "logit_bias", 0.0)
        return scaled

    def _said(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Embeddings (R,D) of length 1; a text that comes several times is read once."""
        different = list(dict.fromkeys(texts))
        most = self.model.config.text_config.max_position_embeddings
        # SigLIP reads its text off at the last place, so all are as long as in training.
        padding: dict[str, Any] = {"padding": True}
        if self.model.config.model_type.startswith("siglip"):
            padding = {"padding": "max_length", "max_length": most}
        tokens = self.tokenizer(different, return_tensors="pt", **padding).to(device)
        if tokens["input_ids"].shape[1] > most:
            longest = max(different, key=lambda text: len(self.tokenizer(text)["input_ids"]))
            raise ExplainError(
                f"{type(self.model).__name__} reads texts of up to {most} tokens, fewer than {longest!r}."
            )
        said = _normed(_embedding(self.model.get_text_features(**tokens)))
        return said[[different.index(text) for text in texts]]


def _layer(module: nn.Module, encoder: Any) -> str:
    """Name of the last layer whose patches have a say."""
    blocks = encoder.encoder.blocks if hasattr(encoder.encoder, "blocks") else encoder.encoder.layers
    name = next(name for name, inner in module.named_modules() if inner is blocks)
    # Nothing but CLIP's class token leaves the last block, so the block's output has no gradient at the patches.
    inside = ".layer_norm1" if hasattr(encoder.embeddings, "class_embedding") else ""
    return f"{name}.{len(blocks) - 1}{inside}"


def _embedding(features: Any) -> Tensor:
    """Of transformers' newer versions an output object, of older ones the tensor itself."""
    tensor: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return tensor


def _normed(embedding: Tensor) -> Tensor:
    length: Tensor = embedding.norm(dim=-1, keepdim=True)
    return embedding / length
