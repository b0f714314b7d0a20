"""LeGrad: how much more each block of a vision transformer would say, attended it more to a patch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine import independence
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.gradients import of_each
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, picture_of, replace_tensor, score_of
from mmcam.engine.self_attention import AttentionMode
from mmcam.engine.tap import read_grid
from mmcam.errors import ExplainError
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
    names = _blocks(q.model, layer.name)
    if not 0 <= blocks <= len(names):
        raise ExplainError(f"blocks={blocks} of {len(names)} cannot be taken; pass 1…{len(names)}, or 0 for all.")
    with as_found(q.model):
        if len(q.rows()) > 1 and not independence.of_pictures(q):
            raise ExplainError("LeGrad needs rows that are independent; pass one picture and one text at a time.")
        grid, tokens = _tokens(q)
        total: Tensor | float = 0.0
        for name in reversed(names[-blocks:]):
            relevance, scores = _of_block(q, name, names[-1], tokens)
            if name == names[-1]:
                own = scores
            total = total + relevance / (blocks or len(names))
    assert isinstance(total, Tensor)
    cells = torch.stack([grid(one[..., None])[:, 0] for one in total])
    return Maps(cells.float(), own)


def _blocks(model: nn.Module, layer: str) -> list[str]:
    """The blocks of the innermost list that a layer is in, by name; all of one kind."""
    parts = layer.split(".")
    for end in range(len(parts) - 1, 0, -1):
        parent, own = ".".join(parts[:end]), find_module(model, ".".join(parts[: end + 1]))
        holder = find_module(model, parent)
        alike = [name for name, each in holder.named_children() if type(each) is type(own)]
        if isinstance(holder, (nn.ModuleList, nn.Sequential)) and len(alike) > 1 and len(list(own.children())) > 1:
            return [f"{parent}.{name}" for name in alike]
    raise ExplainError(
        f"Layer {layer!r} is in no list of blocks, as those of a vision transformer are; method='layercam' needs none."
    )


def _tokens(q: Question) -> tuple[Any, int]:
    """How tokens (rows, L, 1) are read as a map, and L."""
    found: list[Any] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(read_grid(q.layer, output, picture_of(q.x)))

    handle = find_module(q.model, q.layer.name).register_forward_hook(hook)
    try:
        q.forward(q.rows().per_text(q.x.clone()), q.rows())
    finally:
        handle.remove()
    tensor, grid = found[q.layer.call or 0]
    if tensor.ndim != 3:
        raise ExplainError(
            f"Layer {q.layer.name!r} gives a map, and LeGrad reads tokens (N,L,K), as a vision transformer's blocks "
            "have them; method='layercam' reads maps."
        )
    return grid.read, tensor.shape[1]


def _of_block(q: Question, block: str, last: str, tokens: int) -> tuple[Tensor, Tensor]:
    """The mean over heads and queries of the positive gradient at a block's attention (T,N,L), and its scores (T,N)."""
    mode = AttentionMode(tokens)
    with _read_at(q.model, block, last, mode):
        output = q.forward(q.rows().per_text(q.x.clone()), q.rows())
    if not mode.leaves:
        raise ExplainError(
            f"Block {block!r} shows no attention among its {tokens} tokens; method='layercam' needs none."
        )
    with torch.enable_grad():
        scores = _scores(q, output)
    each = []
    for gradients in of_each(scores, mode.leaves, 1, keep=False):
        given = [torch.zeros_like(a) if g is None else g for g, a in zip(gradients, mode.leaves, strict=True)]
        means = torch.stack([g.float().relu().flatten(1, -3).mean((1, 2)) for g in given]).mean(0)
        each.append(torch.unflatten(means, 0, (q.texts, -1)).sum(0))
    return torch.stack(each), torch.stack(scores).detach()


def _scores(c: Computation, output: Any) -> list[Tensor]:
    blocks = c.rows().blocks(output)
    return [torch.cat([score_of(target, block, c.pictures) for block in blocks]) for target in c.targets]


@contextlib.contextmanager
def _read_at(model: nn.Module, block: str, last: str, mode: AttentionMode) -> Iterator[None]:
    """Inside, a block runs in a mode, and what follows the last block reads that block's output."""
    kept: list[Tensor] = []
    stack = contextlib.ExitStack()

    def before(module: nn.Module, inputs: Any) -> None:
        stack.enter_context(mode)

    def behind(module: nn.Module, inputs: Any, output: Any) -> None:
        stack.close()
        found = first_tensor(output)
        assert found is not None
        kept.append(found)
        torch.set_grad_enabled(block == last)  # the blocks between are read by nothing

    def instead(module: nn.Module, inputs: Any, output: Any) -> Any:
        torch.set_grad_enabled(True)
        return replace_tensor(output, kept[0])

    own = find_module(model, block)
    handles: Sequence[Any] = [own.register_forward_pre_hook(before), own.register_forward_hook(behind)]
    if block != last:
        handles = [*handles, find_module(model, last).register_forward_hook(instead)]
    try:
        with stack, torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        for handle in handles:
            handle.remove()
