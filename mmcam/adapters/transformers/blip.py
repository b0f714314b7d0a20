"""BLIP: captions, answers to questions, and whether a text fits a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.adapters.transformers.pictures import checked, preprocess_from, tokenizer_of
from mmcam.adapters.transformers.text import Wording, behind, said, with_end
from mmcam.errors import ExplainError


class Blip(nn.Module):
    """What the BLIP models share: a ViT all of whose tokens are read by a text model, so its last block has a say."""

    picture_encoder = "model.vision_model"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = checked(preprocess_from(processor))

    @property
    def explain_layer(self) -> str:
        """The last block of the vision encoder."""
        return f"model.vision_model.encoder.layers.{len(self.model.vision_model.encoder.layers) - 1}"

    def see(self, x: Tensor) -> Tensor:
        """The picture's tokens (N, 1 + h·w, K), the class token first."""
        seen: Tensor = self.model.vision_model(pixel_values=x).last_hidden_state
        return seen

    def copies(self, texts: Sequence[str], seen: Tensor) -> int:
        """How many rows of `seen` each text has.

        Raises:
            ExplainError: there is not one text a picture.
        """
        if not texts or len(seen) % len(texts):
            raise ExplainError(f"There are {len(seen)} pictures and {len(texts)} texts; give one a picture.")
        return len(seen) // len(texts)


class BlipCaptioner(Wording, Blip):
    """A captioner (`mmcam.Captioner`), without a prompt."""

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        return with_end(self.model.generate(pixel_values=x, **settings), self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """The token that ends a caption."""
        return (self.model.config.text_config.sep_token_id,)

    @property
    def longest(self) -> int:  # type: ignore[override]
        """Tokens of a caption that the model has positions for."""
        most: int = self.model.config.text_config.max_position_embeddings
        return most

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax."""
        read = behind(self.model.config.text_config.bos_token_id, tokens)
        out = self.model.text_decoder(input_ids=read, encoder_hidden_states=self.see(x), use_cache=False)
        logits: Tensor = out.logits
        return logits


class BlipAnswerer(Wording, Blip):
    """Writes its answers: within `asked`, a captioner (`mmcam.Captioner`) whose captions are the answers."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self._questions: tuple[str, ...] = ()

    @contextlib.contextmanager
    def asked(self, questions: Sequence[str]) -> Iterator[None]:
        """Answer these questions, one a picture, for the length of a with-block."""
        before, self._questions = self._questions, tuple(questions)
        try:
            yield
        finally:
            self._questions = before

    def beams(self, x: Tensor, beam: int) -> list[list[tuple[list[int], float]]]:
        """None: what it writes are answers, of which `explain_answer` tells."""
        raise ExplainError(
            f"{type(self.model).__name__} answers questions and searches no captions; use explain_answer."
        )

    @property
    def longest(self) -> int:  # type: ignore[override]
        """Tokens of an answer that the model has positions for."""
        most: int = self.model.config.text_config.max_position_embeddings
        return most

    def generate(self, x: Tensor) -> list[list[int]]:
        """The answers of the model's own generation settings."""
        text = self.model.config.text_config
        answers: list[list[int]] = [[] for _ in x]
        for rows, meant in self._questions_of(self.see(x)):
            made = self.model.text_decoder.generate(
                input_ids=rows.new_full((len(rows), 1), text.bos_token_id),
                eos_token_id=text.sep_token_id,
                pad_token_id=text.pad_token_id,
                encoder_hidden_states=meant,
            )
            for row, answer in zip(rows.tolist(), said(made, (text.sep_token_id,)), strict=True):
                answers[row] = answer
        return answers

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax, behind the question."""
        read = behind(self.model.config.text_config.bos_token_id, tokens)
        places, parts = [], []
        for rows, meant in self._questions_of(self.see(x)):
            out = self.model.text_decoder(input_ids=read[rows], encoder_hidden_states=meant, use_cache=False)
            parts.append(out.logits)
            places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]

    def _questions_of(self, seen: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The questions as the decoder reads them, those of one length together: rows (M) and states (M, L, K).

        Not padded to one length, because transformers (5.23) lets BLIP's cross-attention see the padding, mask or not,
        so that an answer would change with the other questions asked.
        """
        if not self._questions:
            raise ExplainError(
                f"{type(self.model).__name__} answers questions; use explain_answer, or `with model.asked([…]):`."
            )
        copies, n = self.copies(self._questions, seen), len(self._questions)
        ids = self.tokenizer(list(self._questions))["input_ids"]
        for length in sorted({len(row) for row in ids}):
            own = [i for i, row in enumerate(ids) if len(row) == length]
            rows = torch.tensor([copy * n + i for copy in range(copies) for i in own], device=seen.device)
            asked = torch.tensor([ids[i] for i in own], device=seen.device).repeat(copies, 1)
            yield rows, self.model.text_encoder(input_ids=asked, encoder_hidden_states=seen[rows]).last_hidden_state


class BlipMatcher(Blip):
    """Compares pictures and texts (`mmcam.SimilarityModel`).

    Attributes:
        matching: True for the matching head, which reads the text over all tokens of the picture: its logit of "they
            match" less that of "they do not". False for the cosine of the picture's and the text's projected class
            tokens, the contrastive score.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self.matching = True

    @property
    def explain_layer(self) -> str:
        """The last block; before its attention if only its class token goes on."""
        return super().explain_layer + ("" if self.matching else ".layer_norm1")

    def similarity(self, x: Tensor, texts: Sequence[str]) -> Tensor:
        """The score (R,) of picture and text."""
        seen = self.see(x)
        copies = self.copies(texts, seen)
        made = self.tokenizer(list(texts), padding=True, return_tensors="pt").to(seen.device)
        ids, mask = (made[name].repeat(copies, 1) for name in ("input_ids", "attention_mask"))
        if self.matching:
            both = self.model.text_encoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=seen)
            logits: Tensor = self.model.itm_head(both.last_hidden_state[:, 0])
            return logits[:, 1] - logits[:, 0]
        alone = self.model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return F.cosine_similarity(self.model.vision_proj(seen[:, 0]), self.model.text_proj(alone[:, 0]))
