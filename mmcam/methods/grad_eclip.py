"""Grad-ECLIP: what each patch gives the class token of a transformer, weighed by the gradient there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.engine.as_found import as_found
from mmcam.engine.self_attention import AttentionMode
from mmcam.methods.blocks import blocks_of, check_rows, gradients_at, tokens_of
from mmcam.methods.registry import Maps, Question, register


@register(
    "grad_eclip",
    "Zhao et al., Gradient-based Visual Explanation for CLIP, ICML 2024; github.com/Cyang-Zhao/Grad-Eclip",
    family="attention",
    cost="2 forwards, 1 backward behind the last block a target",
    needs="a vision transformer with fused self-attention, whose blocks lie in a list",
)
def grad_eclip(question: Question) -> Maps:
    """``ReLU(Σ_q λ_qi Σ_c g_qc v_ic)`` at patch i, of the last block's attention, (T,N,h,w).

    g is the gradient at what the attention gives query q, v_i the value of patch i. λ_qi, in place of the attention, is
    the cosine of q's query and i's key over all heads, brought to 0…1 over the patches. A model that reads its class
    token has a gradient there alone; of one that reads all tokens, all of them count (ours).

    Raises:
        ExplainError: the layer is in no list of blocks; a block without fused attention among its tokens; rows that are
            not independent.
    """
    q = question
    last = blocks_of(q.model, q.layer.name)[-1]
    with as_found(q.model):
        check_rows(q, "Grad-ECLIP")
        read, tokens = tokens_of(q)
        mode = AttentionMode(tokens, of="output")
        gradients, scores = gradients_at(q, last, last, mode)
        each = []
        for own in gradients:
            cells = torch.stack([_given(read, g, *part) for g, part in zip(own, mode.parts, strict=True)]).sum(0)
            each.append(torch.unflatten(cells, 0, (q.texts, -1)).sum(0).relu())
    return Maps(torch.stack(each), scores)


def _given(read: Callable[[Tensor], Tensor], gradient: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Σ_q λ_qi Σ_c g_qc v_ic (rows,h,w), of gradients, queries, keys and values (rows,heads,L,D)."""
    g, queries, keys, values = (x.float().transpose(1, 2).flatten(2) for x in (gradient, query, key, value))
    used = g.abs().amax((0, 2)) > 0  # of the queries; those without a gradient need no cosines
    alike = F.normalize(keys, dim=-1) @ F.normalize(queries[:, used], dim=-1).transpose(1, 2)
    cosines, shares = read(alike), read(values @ g[:, used].transpose(1, 2))  # (rows, queries, h, w)
    low, high = cosines.amin((2, 3), keepdim=True), cosines.amax((2, 3), keepdim=True)
    loosened = torch.where(high > low, (cosines - low) / torch.where(high > low, high - low, 1.0), 0.0)
    return (loosened * shares).sum(1)
