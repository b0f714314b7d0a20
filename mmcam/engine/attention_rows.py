"""What some tokens of a self-attention pay some others, noted while a model runs as it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_SOFTMAX = (torch.softmax, F.softmax, Tensor.softmax)


class AttentionRows(TorchFunctionMode):
    """While active, what `rows` pay `columns` in every self-attention among `tokens` tokens is noted, of one text.

    Attention is seen fused (`scaled_dot_product_attention`) or as the softmax of a square; it runs as ever.

    Args:
        tokens: L.
        rows, columns: of the L, (R,) and (C,).

    Attributes:
        found: (heads,R,C) each, in the order of the model's layers.
    """

    def __init__(self, tokens: int, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.tokens, self.rows, self.columns = tokens, rows, columns
        self.found: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            self._fused(*args, **kwargs)
        elif func in _SOFTMAX and output.ndim == 4 and output.shape[-2:] == (self.tokens, self.tokens):
            self.found.append(output[0][:, self.rows][:, :, self.columns].detach().float())
        return output

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        if query.ndim != 4 or (query.shape[-2], key.shape[-2]) != (self.tokens, self.tokens):
            return
        with torch.no_grad():
            own, keys = query[0][:, self.rows].float(), key[0].float()
            keys = keys.repeat_interleave(len(own) // len(keys), 0)
            logits = own @ keys.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
            if is_causal:
                later = torch.arange(self.tokens, device=self.rows.device) > self.rows[:, None]
                logits = logits.masked_fill(later, -torch.inf)
            if attn_mask is not None:
                mask = attn_mask.expand(*attn_mask.shape[:-2], self.tokens, self.tokens)[..., self.rows, :]
                mask = mask[0] if mask.ndim == 4 else mask  # of the one text; for all heads, or for each
                logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask.float()
            self.found.append(logits.softmax(-1)[:, :, self.columns])
