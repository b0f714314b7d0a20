"""The attention that the tokens of a block pay each other, or what it gives them, as where gradients begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_SOFTMAX = (torch.softmax, F.softmax, Tensor.softmax)


class AttentionMode(TorchFunctionMode):
    """While active, the attention among `tokens` tokens becomes a leaf, and what follows is recorded.

    Attention is seen however it is spelled: fused (`scaled_dot_product_attention`), in `nn.MultiheadAttention`, or as a
    softmax of a square, whose output is not seen. Attention over something else, as of a text, is left alone.

    Args:
        tokens: L.
        of: "attention", the probabilities, or "output", what they give: the values, weighed by them.

    Attributes:
        leaves: (rows, heads, L, L) each, or outputs (rows, heads, L, D), in the order they were computed.
        parts: of each output its queries, keys and values (rows, heads, L, D).
    """

    def __init__(self, tokens: int, of: Literal["attention", "output"] = "attention") -> None:
        super().__init__()
        self.tokens, self.of = tokens, of
        self.leaves: list[Tensor] = []
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._fused(func, *args, **kwargs)
        if func is F.multi_head_attention_forward:
            # Its own calls are not seen here; asked for its weights, it computes the attention as a softmax.
            return self._multi_head(func, *args, **kwargs)
        output = func(*args, **kwargs)
        seen = self.of == "attention" and func in _SOFTMAX and self._square(output)
        return self._leaf(output) if seen else output

    def _square(self, attention: Tensor) -> bool:
        return attention.ndim >= 3 and attention.shape[-2:] == (self.tokens, self.tokens)

    def _leaf(self, attention: Tensor) -> Tensor:
        leaf = attention.detach().requires_grad_()
        self.leaves.append(leaf)
        torch.set_grad_enabled(True)
        return leaf * 1  # a dropout or mask may work on it in place

    def _fused(
        self,
        func: Callable[..., Tensor],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        other = (query.shape[-2], key.shape[-2]) != (self.tokens, self.tokens) or is_causal or enable_gqa
        if other or self.of == "output":
            own: dict[str, Any] = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
            output = func(query, key, value, attn_mask, dropout_p, **own)
            if other:
                return output
            self.parts.append((query.detach(), key.detach(), value.detach()))
            return self._leaf(output)
        logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if attn_mask is not None:
            added = attn_mask.dtype != torch.bool
            logits = logits + attn_mask if added else logits.masked_fill(~attn_mask, -torch.inf)
        return self._leaf(logits.softmax(-1)) @ value

    def _multi_head(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        query, key, value, _, heads, *weights = args
        names = ("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight",
                 "out_proj_bias")  # fmt: skip
        own = dict(zip(names, weights, strict=False)) | kwargs
        plain = own.get("in_proj_weight") is not None and own.get("bias_k") is None and not own.get("add_zero_attn")
        plain = plain and own.get("attn_mask") is None and own.get("key_padding_mask") is None
        plain = plain and not own.get("need_weights", True)
        if not plain or query.ndim != 3 or (len(query), len(key)) != (self.tokens, self.tokens):
            output: tuple[Tensor, Tensor | None] = func(*args, **kwargs)
            return output
        ((_, rows, width), bias) = query.shape, own["in_proj_bias"]
        parts = [
            F.linear(x, w, None if bias is None else bias.chunk(3)[i])
            for i, (x, w) in enumerate(zip((query, key, value), own["in_proj_weight"].chunk(3), strict=True))
        ]
        q, k, v = (x.view(self.tokens, rows * heads, width // heads).transpose(0, 1).unflatten(0, (rows, heads))
                   for x in parts)  # fmt: skip
        found = self._fused(F.scaled_dot_product_attention, q, k, v)
        joined = found.flatten(0, 1).transpose(0, 1).reshape(self.tokens, rows, width)
        return F.linear(joined, own["out_proj_weight"], own["out_proj_bias"]), None
