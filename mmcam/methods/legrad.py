"""LeGrad: how much more each block of a vision transformer would say, attended it more to a patch."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.self_attention import AttentionMode
from mmcam.errors import ExplainError
from mmcam.methods.blocks import blocks_of, check_rows, gradients_at, tokens_of
from mmcam.methods.registry import Maps, Question, register


@register(
    "legrad",
    "Bousselham et al., LeGrad, arXiv 2404.03214, eqs. 4–8",
    family="attention",
    cost="a forward and a backward behind a block, for each block",
    needs="a vision transformer, whose blocks of self-attention lie in a list",
)
def legrad(question: Question, *, blocks: int = 0) -> Maps:
    """The mean over blocks l, heads and queries of ReLU(dS^l/dA^l), at the patches attended to, (T,N,h,w).

    A^l is the attention of block l, S^l the score when what follows the last block reads block l.

    Args:
        question: the blocks are those of the list that its layer is in.
        blocks: the last so many; 0 for all.

    Raises:
        ExplainError: the layer is in no list of blocks; a block without attention among the layer's tokens; a model
            whose rows are not independent.
    """
    q, layer = question, question.layer
    names = blocks_of(q.model, layer.name)
    if not 0 <= blocks <= len(names):
        raise ExplainError(f"blocks={blocks} of {len(names)} cannot be taken; pass 1…{len(names)}, or 0 for all.")
    with as_found(q.model):
        check_rows(q, "LeGrad")
        read, tokens = tokens_of(q)
        total: Tensor | float = 0.0
        for name in reversed(names[-blocks:]):
            relevance, scores = _of_block(q, name, names[-1], tokens)
            if name == names[-1]:
                own = scores
            total = total + relevance / (blocks or len(names))
    assert isinstance(total, Tensor)
    cells = torch.stack([read(one[..., None])[:, 0] for one in total])
    return Maps(cells.float(), own)


def _of_block(q: Question, block: str, last: str, tokens: int) -> tuple[Tensor, Tensor]:
    """The mean over heads and queries of the positive gradient at a block's attention (T,N,L), and its scores (T,N)."""
    gradients, scores = gradients_at(q, block, last, AttentionMode(tokens))
    each = []
    for own in gradients:
        means = torch.stack([g.relu().flatten(1, -3).mean((1, 2)) for g in own]).mean(0)
        each.append(torch.unflatten(means, 0, (q.texts, -1)).sum(0))
    return torch.stack(each), scores
