"""ViltForQuestionAnswering: one transformer reads the question's words and the picture's patches together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import Processed, image_processor_of, tokenizer_of
from mmcam.engine.layer import Grid, Size
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Geometry
from mmcam.places.grids import tokens

LONGEST = 1333 / 800
"""No picture's longer side is more than so many times the length its shorter one is made, as the processor has it."""


@dataclass(frozen=True)
class Proportional(Processed):
    """Pictures in nearly their own proportions: the shorter side of one length, both of whole patches, nothing padded.

    Pictures of other proportions become inputs of another size, which one batch cannot hold: explain them one by one,
    or pass ``preprocess=mmcam.Preprocess(size=…, mode="squash", …)``, which makes all of them alike.

    Attributes:
        size: (height, width) of a square picture's input.
        resize: length of the shorter side.
        divisor: both sides are cut down to a multiple of it.
    """

    divisor: int = 32

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input (3, H, W) and the geometry that leads back.

        Raises:
            PictureError: the picture is so elongated that its shorter side holds no patch.
        """
        return self._of(picture.height, picture.width)(picture)

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in its own input."""
        return self._of(h, w).geometry(h, w)

    @property
    def _told_places(self) -> str:
        return f"resize {self.resize}, cut to multiples of {self.divisor}"

    def _of(self, h: int, w: int) -> Processed:
        """The preprocessing of pictures of h×w."""
        assert self.resize is not None
        ratio = self.resize / min(h, w)
        ratio *= min(1.0, int(LONGEST * self.resize) / (max(h, w) * ratio))
        high, wide = (int(side * ratio + 0.5) // self.divisor * self.divisor for side in (h, w))
        if min(high, wide) == 0:
            raise PictureError(f"A picture of {w}×{h} pixels is too elongated for a ViLT; cut it first.")
        return Processed((high, wide), "squash", mean=self.mean, std=self.std, processor=self.processor)


class Vilt(nn.Module):
    """A VQA model (`mmcam.VQAModel`).

    ViLT shuffles its patches in every forward pass. Here they are put back in rows before the encoder reads them, which
    changes nothing but the rounding of its sums: each patch carries its position with it.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = _preprocess(processor)
        labels = model.config.id2label
        self.answers = [str(labels[i]) for i in range(len(labels))]
        # ViLT was trained to do without masked words.
        self.blank_word = self.tokenizer.mask_token or ""
        # Only the first word's token leaves the last block, so the block's output has no gradient at the patches.
        self.explain_layer = f"model.vilt.encoder.layer.{len(model.vilt.encoder.layer) - 1}.layernorm_before"

    def grid(self, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
        """Where the patches stand among all tokens, (R,L,K): behind the question's and a class token."""
        h, w = (side // self.model.config.patch_size for side in picture)
        both = layer.removeprefix("model.vilt.").partition(".")[0] in ("encoder", "layernorm")  # words and patches
        both |= layer == "model.vilt.embeddings"
        fits = tensor.ndim == 3 and tensor.shape[1] > h * w + 1
        return tokens(h, w, skip=tensor.shape[1] - h * w) if both and fits else None

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        """Logits (R, answers) of R pictures and as many questions.

        Raises:
            ExplainError: a question is too long, or a picture's sides are no whole patches.
            ValueError: not one question a picture. All layers see both, so no row can be added behind one of them.
        """
        if len(x) != len(questions):
            raise ValueError(
                f"ViLT reads a question and its picture together: there are {len(x)} pictures for {len(questions)}."
            )
        text = self._read(questions, x.device)
        patches, mask = self._look(x)
        logits: Tensor = self.model(**text, image_embeds=patches, pixel_mask=mask).logits
        return logits

    def _read(self, questions: Sequence[str], device: torch.device) -> dict[str, Tensor]:
        """Tokens (R,L) and their masks."""
        text = self.tokenizer(list(questions), padding=True, return_tensors="pt")
        most = self.model.config.max_position_embeddings
        lengths = text["attention_mask"].sum(1)
        if int(lengths.max()) > most:
            asked = questions[int(lengths.argmax())]
            raise ExplainError(f"ViLT reads questions of up to {most} tokens; {asked!r} has {int(lengths.max())}.")
        return {name: value.to(device) for name, value in text.items()}

    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded patches row by row behind the class token, (R,1+h·w,K), and their mask (R,1+h·w).

        All of them: a ``max_image_length`` in the configuration would have each pass see others, drawn at random.
        """
        embeddings = self.model.vilt.embeddings
        side = self.model.config.patch_size
        if x.shape[-2] % side or x.shape[-1] % side:
            raise ExplainError(f"ViLT's input has sides of whole patches of {side}; this one is {tuple(x.shape[-2:])}.")
        whole = torch.ones(len(x), *x.shape[-2:], dtype=torch.long, device=x.device)
        embedded, mask, (place, (_, w)) = embeddings.visual_embed(x, whole, max_image_length=-1)
        order = (place[..., 0] * w + place[..., 1]).argsort(1)[..., None]
        patches = embedded[:, 1:].gather(1, order.expand(-1, -1, embedded.shape[2]))
        return torch.cat([embedded[:, :1], patches], dim=1), mask


def _preprocess(processor: Any) -> Proportional:
    maker = image_processor_of(processor)
    short, divisor = maker.size["shortest_edge"], maker.size_divisor
    if not maker.do_resize:
        raise ExplainError(f"{type(maker).__name__} has to resize its pictures to whole patches: set do_resize=True.")
    mean, std = tuple(maker.image_mean), tuple(maker.image_std)
    square = short // divisor * divisor
    return Proportional((square, square), "squash", short, mean, std, processor=maker, divisor=divisor)
