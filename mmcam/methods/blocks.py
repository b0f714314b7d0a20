"""The blocks of a vision transformer: which there are, how their tokens lie, and a pass through one of them apart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine import independence
from mmcam.engine.gradients import of_each
from mmcam.engine.modules import find_module
from mmcam.engine.outputs import first_tensor, picture_of, replace_tensor, score_of
from mmcam.engine.self_attention import AttentionMode
from mmcam.engine.tap import read_grid
from mmcam.errors import ExplainError
from mmcam.methods.registry import Question


def blocks_of(model: nn.Module, layer: str) -> list[str]:
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


def tokens_of(q: Question) -> tuple[Any, int]:
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


def gradients_at(q: Question, block: str, last: str, mode: AttentionMode) -> tuple[list[list[Tensor]], Tensor]:
    """Of each target the gradients at a mode's leaves in a block, and the scores (T,N), as if the block were the last.

    Raises:
        ExplainError: the block shows nothing of the kind.
    """
    with _read_at(q.model, block, last, mode):
        output = q.forward(q.rows().per_text(q.x.clone()), q.rows())
    if not mode.leaves:
        raise ExplainError(
            f"Block {block!r} shows no attention among its {mode.tokens} tokens; method='layercam' needs none."
        )
    with torch.enable_grad():
        blocks = q.rows().blocks(output)
        scores = [torch.cat([score_of(target, own, q.pictures) for own in blocks]) for target in q.targets]
    each = [
        [torch.zeros_like(leaf) if g is None else g.float() for g, leaf in zip(own, mode.leaves, strict=True)]
        for own in of_each(scores, mode.leaves, 1, keep=False)
    ]
    return each, torch.stack(scores).detach()


def check_rows(q: Question, name: str) -> None:
    """Raise ExplainError where rows are not independent; a pass of several would mix them."""
    if len(q.rows()) > 1 and not independence.of_pictures(q):
        raise ExplainError(f"{name} needs rows that are independent; pass one picture and one text at a time.")


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
