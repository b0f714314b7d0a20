"""Qwen2-VL and Qwen2.5-VL: pictures of any size, handed over as one long list of flattened patches.

Apart from `structure` because batches of one size, prepared inputs and pixel methods go through the model together.

Patches come in blocks of `merge` × `merge`, which the encoder's merger joins to one token for the language model.
Qwen2.5-VL runs its encoder window by window; its merger's tokens are therefore not row by row, and are put back here.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.generative import Generative, recorded, with_pictures
from mmcam.adapters.transformers.pictures import image_processor_of
from mmcam.engine.layer import Grid, Size
from mmcam.engine.outputs import picture_of
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Geometry, Preprocess
from mmcam.places.grids import placed


@dataclass(frozen=True)
class Resized(Preprocess):
    """The processor's own pixels, put together again from its patches; every picture keeps about its proportions.

    Attributes:
        maker: the image processor.
    """

    maker: Any = None

    @property
    def told(self) -> str:
        """What is done to a picture, in words."""
        return f"resize in its own proportions, by {type(self.maker).__name__}"

    def __call__(self, picture: Image.Image) -> tuple[Tensor, Geometry]:
        """The processor's input as a picture (3, H, W), and the geometry that leads back."""
        try:
            made = self.maker(images=picture.convert("RGB"), return_tensors="pt")
        except ValueError as error:
            raise PictureError(
                f"The processor cannot resize a {picture.width}×{picture.height} picture: {error}."
            ) from error
        _, rows, columns = made["image_grid_thw"][0].tolist()
        x = from_patches(made["pixel_values"], rows, columns, self.maker)
        size, (h, w) = (picture.height, picture.width), x.shape[1:]
        return x, Geometry(size, (h, w), (h / size[0], w / size[1]))

    def geometry(self, h: int, w: int) -> Geometry:
        """Where the pixels of a picture of h×w lie in the input."""
        return self(Image.new("RGB", (w, h)))[1]


def to_patches(x: Tensor, maker: Any) -> Tensor:
    """Pictures (N,3,H,W) → flattened patches (N·patches, values), block by block, as the image processor makes them.

    A still picture stands in every frame of a patch.
    """
    side, merge, frames = maker.patch_size, maker.merge_size, maker.temporal_patch_size
    block = side * merge
    # (N, 3, block row, patch row, pixel row, block column, patch column, pixel column)
    cut = torch.unflatten(torch.unflatten(x, 3, (-1, merge, side)), 2, (x.shape[2] // block, merge, side))
    patches = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)
    return patches.unsqueeze(6).expand(*patches.shape[:6], frames, side, side).flatten(5).flatten(0, 4)


def from_patches(patches: Tensor, rows: int, columns: int, maker: Any) -> Tensor:
    """The picture (3,H,W) that the image processor made these patches (rows·columns, values) of."""
    side, merge, frames = maker.patch_size, maker.merge_size, maker.temporal_patch_size
    blocks = patches.view(rows // merge, columns // merge, merge, merge, 3, frames, side, side)[:, :, :, :, :, 0]
    return blocks.permute(4, 0, 2, 5, 1, 3, 6).reshape(3, rows * side, columns * side)


class Qwen(Generative):
    """A captioner that also writes answers; the pictures of one batch have one size."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self.maker = image_processor_of(processor)
        vision = model.config.vision_config
        windows = getattr(vision, "window_size", 0)
        self.window = windows // vision.spatial_merge_size // vision.patch_size  # in tokens; 0: row by row

    def grid(self, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
        """How the tokens (N·L, K) of the merger or of a block lie in the pictures."""
        h, w = (side // self._block for side in picture)
        block = self._name_of(self._visual().blocks)
        merged = layer.startswith(self.explain_layer)
        if tensor.ndim != 2 or not h * w or not (merged or layer.startswith(f"{block}.")):
            return None
        merge = 1 if merged and layer != f"{self.explain_layer}.ln_q" else self.maker.merge_size
        length = h * w * merge**2
        if len(tensor) % length:
            return None
        at = places(h, w, self.window)
        if merge > 1:  # the patches of a block follow each other, row by row
            inside = torch.arange(merge**2).view(1, merge, 1, merge)
            at = (at.view(h, 1, w, 1) * merge**2 + inside).flatten()
        map_ = placed(at.to(tensor.device)[None], h * merge, w * merge)

        def read(t: Tensor) -> Tensor:
            return map_.read(t.unflatten(0, (-1, length)))

        def write(t: Tensor, new: Tensor) -> Tensor:
            return map_.write(t.unflatten(0, (-1, length)), new).flatten(0, 1)

        return Grid(read, write, map_.form)

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        found = self.model.model.rope_deltas  # the model remembers them from one call to the next
        try:
            return super().generated(x, **settings)
        finally:
            self.model.model.rope_deltas = found

    def _prepares(self) -> Preprocess:
        maker = image_processor_of(self.processor)
        return Resized(mode="squash", mean=tuple(maker.image_mean), std=tuple(maker.image_std), maker=maker)

    def _prompt(self, text: str, size: tuple[int, ...]) -> list[int]:
        tokens, place = super()._prompt(text, size), self.model.config.image_token_id
        # The processor resizes pictures as it likes; a prepared input keeps its size, so its places are counted here.
        start, side = tokens.index(place), self._block
        after = start + tokens.count(place)
        return [*tokens[:start], *[place] * ((size[0] // side) * (size[1] // side)), *tokens[after:]]

    @property
    def _block(self) -> int:
        """Side in pixels of what becomes one token of the language model."""
        side: int = self.maker.patch_size * self.maker.merge_size
        return side

    def _visual(self) -> Any:
        return self.model.model.visual

    def _tower(self) -> nn.Module:
        tower: nn.Module = self._visual()
        return tower

    def _default_layer(self) -> str:
        return self._name_of(self._visual().merger)

    def _pictures(self, x: Tensor) -> dict[str, Tensor]:
        side, patch = self._block, self.maker.patch_size
        h, w = x.shape[-2:]
        if h % side or w % side:
            raise ExplainError(f"An input of {h}×{w} cannot be cut into blocks of {side}×{side} pixels; resize it.")
        grid = torch.tensor([[1, h // patch, w // patch]] * len(x), device=x.device)
        return {"pixel_values": to_patches(x, self.maker), "image_grid_thw": grid}

    def _beside(self, ids: Tensor, starts: Tensor) -> dict[str, Tensor]:
        if "mm_token_type_ids" not in signature(self.model.model.get_rope_index).parameters:
            return {}  # the first releases of transformers 5 look for the picture's places themselves
        return {"mm_token_type_ids": (ids == self.model.config.image_token_id).int()}

    def _logits(self, x: Tensor, ids: Tensor, starts: Tensor, keep: int) -> Tensor:
        pictures = self._pictures(x)
        sizes = pictures["image_grid_thw"]
        visual, (h, w) = self._visual(), (side // self._block for side in picture_of(x))
        # Read here, because the encoder puts as many tokens in order, and the model takes as many, as x has pictures.
        (tokens,) = recorded([visual.merger], lambda: visual(pictures["pixel_values"], grid_thw=sizes))
        features = tokens.unflatten(0, (-1, h * w))[:, places(h, w, self.window).to(x.device)]
        embeds = with_pictures(self.model, ids, features)
        positions, _ = self.model.model.get_rope_index(
            ids, image_grid_thw=sizes[:1].expand(len(ids), -1), **self._beside(ids, starts)
        )
        logits: Tensor = self.model(
            inputs_embeds=embeds,
            position_ids=positions,
            attention_mask=torch.ones_like(ids),
            use_cache=False,
            logits_to_keep=keep,
        ).logits
        return logits


def places(h: int, w: int, window: int = 0) -> Tensor:
    """Which token each cell of a map of h×w, row by row, is: (h·w,).

    Args:
        h, w: of the map.
        window: side of the windows that follow each other, each row by row; those at the right and at the bottom are
            smaller where it does not divide h and w. 0: no windows.
    """
    rows, columns = torch.arange(h).repeat_interleave(w), torch.arange(w).repeat(h)
    if not window:
        return rows * w + columns
    windows = (rows // window) * (-(-w // window)) + columns // window
    order = torch.argsort(windows, stable=True)  # the cell that each token is
    return torch.argsort(order)
