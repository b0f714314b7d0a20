"""Pix2Struct: reads a picture of any proportions as a list of patches, each with its row and column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.adapters.transformers.pictures import image_processor_of, tokenizer_of
from mmcam.adapters.transformers.text import Wording, behind, ends_of, with_end
from mmcam.engine.layer import Grid, Size
from mmcam.errors import ExplainError
from mmcam.image import Geometry, Preprocess
from mmcam.places.grids import tokens


@dataclass(frozen=True)
class Patchwork(Preprocess):
    """The processor's own patches, put together again to the picture they were cut from.

    So pixel and perturbation methods see a picture. The list's filling up to a fixed length is left out, as the model
    never looks at it. A picture keeps about its proportions, so pictures of one batch need the same ones.

    Attributes:
        processor: called with one picture; its ``flattened_patches`` are the input.
        patch: (height, width) of one.
    """

    processor: Any = None
    patch: tuple[int, int] = (16, 16)

    @property
    def told(self) -> str:
        """What is done to a picture, in words."""
        h, w = self.patch
        return f"whole patches of {w}×{h}, each picture's own mean and std, by {type(self.processor).__name__}"

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input as a picture (3, rows·height, columns·width) and the geometry that leads back."""
        flat = self.processor(images=picture.convert("RGB"), return_tensors="pt")["flattened_patches"][0]
        rows, columns = (int(flat[:, i].max()) for i in (0, 1))
        cells = flat.new_zeros(rows, columns, flat.shape[1] - 2)
        there = flat[:, 0] > 0  # rows and columns count from 1; 0 is filling
        cells[flat[there, 0].long() - 1, flat[there, 1].long() - 1] = flat[there, 2:]
        h, w = self.patch
        x = cells.unflatten(2, (h, w, -1)).permute(4, 0, 2, 1, 3).reshape(-1, rows * h, columns * w)
        size = (picture.height, picture.width)
        return x, Geometry(size, (rows * h, columns * w), (rows * h / size[0], columns * w / size[1]))


class Pix2Struct(Wording, nn.Module):
    """A captioner (`mmcam.Captioner`); its pictures (N, 3, H, W) hold whole patches."""

    picture_encoder = "model.encoder"

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        maker = image_processor_of(processor)
        if getattr(maker, "is_vqa", False) or model.config.is_vqa:
            raise ExplainError(
                "This Pix2Struct has its question drawn into the picture, which only works for captions yet; prepare "
                "it with an image processor of is_vqa=False, or use another model for questions."
            )
        self.model = model
        self.tokenizer = tokenizer_of(processor)
        size = maker.patch_size
        self.patch = (int(size["height"]), int(size["width"]))
        # The processor takes each picture's own mean and deviation; these only serve to show a prepared input.
        # The whole processor has a number of patches of its own, which goes before its part's.
        whole = processor if callable(processor) else maker
        self.preprocess = Patchwork(mean=(0.5,) * 3, std=(0.25,) * 3, processor=whole, patch=self.patch)
        self.explain_layer = f"model.encoder.encoder.layer.{len(model.encoder.encoder.layer) - 1}"

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        patches, mask = self._patches(x)
        return with_end(self.model.generate(flattened_patches=patches, attention_mask=mask, **settings), self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a caption."""
        return ends_of(self.model.generation_config.eos_token_id, self.model.config.text_config.eos_token_id)

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) before the softmax."""
        patches, mask = self._patches(x)
        seen = self.model.encoder(flattened_patches=patches, attention_mask=mask)
        start = self.model.generation_config.decoder_start_token_id
        read = behind(self.model.config.text_config.decoder_start_token_id if start is None else start, tokens)
        logits: Tensor = self.model(encoder_outputs=seen, decoder_input_ids=read, use_cache=False).logits
        return logits

    def grid(self, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
        """The encoder's tokens lie row by row."""
        h, w = (full // side for full, side in zip(picture, self.patch, strict=True))
        known = layer.startswith("model.encoder.") and tensor.ndim == 3 and tensor.shape[1] == h * w
        return tokens(h, w) if known else None

    def _patches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures as the model reads them: patches (N, L, 2 + height·width·3), and 1 for each, (N, L).

        Raises:
            ExplainError: the sides are no multiples of a patch's, or the places cannot be counted in `x`'s precision.
        """
        (height, width), (h, w) = x.shape[-2:], self.patch
        if height % h or width % w:
            raise ExplainError(f"A prepared input holds whole patches of {h}×{w}; this one has {height}×{width}.")
        rows, columns = height // h, width // w
        places = torch.cartesian_prod(torch.arange(1, rows + 1), torch.arange(1, columns + 1)).to(x)
        if places[-1].tolist() != [rows, columns]:
            raise ExplainError(
                f"{x.dtype} cannot count {max(rows, columns)} rows or columns; use the model in float32."
            )
        # unfold puts the channel first; the model's patches have it last.
        cut = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2).unflatten(2, (-1, h * w)).transpose(2, 3)
        patches = torch.cat([places.expand(len(x), -1, -1), cut.flatten(2)], dim=2)
        return patches, torch.ones_like(patches[..., 0])
