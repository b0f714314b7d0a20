"""The guard: before the first map, an adapter's scores are compared with what the model itself says.

Twice: with the scores of the tokens that transformers' own ``generate`` writes, which passes through none of the
adapter's code; and with another picture's vectors put in the place of a picture's own, where the score has to become
that other picture's. The second shows that nothing reaches the language model on a way that is not explained.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmcam.engine.instead import instead
from mmcam.errors import ExplainError

TOKENS = 3
"""Tokens that are written and compared."""

_APART = {torch.float64: 1e-3, torch.float32: 1e-3}
"""How far logits may be apart, relative to the largest; in half precision 0.05."""


def check_adapter(adapter: Any, x: Tensor, other: Tensor) -> None:
    """Compare an adapter of `mmcam.adapters.transformers.structure` with its model.

    Args:
        adapter: inside `mmcam.engine.as_found.as_found`.
        x, other: two pictures (3,H,W).

    Raises:
        ExplainError: they differ.
    """
    name = type(adapter.model).__name__
    tokens, own = _by_generate(adapter, x)
    scores = adapter.token_logits(x[None], tokens)
    if (apart := _apart(own, scores)) is not None:
        raise ExplainError(
            f"The scores that mmcam computes for {name} are not those of the model's own generate (apart by "
            f"{apart:.1%} of the largest), so its maps would be of something else; it is not explained."
        )
    vectors: list[Tensor] = []

    def note(rows: Tensor) -> Tensor:
        vectors.append(rows)
        return rows

    with instead({adapter.handed_over: note}):
        wanted = adapter.token_logits(other[None], tokens)
    with instead({adapter.handed_over: lambda rows: vectors[0]}):
        swapped = adapter.token_logits(x[None], tokens)
    if (apart := _apart(wanted, swapped)) is not None:
        raise ExplainError(
            f"The picture reaches the language model of {name} on a way that is not known here: with another picture's "
            f"vectors the score is not that picture's (apart by {apart:.1%}); it is not explained."
        )


def _by_generate(adapter: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Some tokens (1,L) that the model writes, and their logits (1,L,V)."""
    inputs = adapter._inputs(x, adapter._texts(1)[0])
    settings = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False, "num_beams": 1}
    try:
        out = adapter.model.generate(**inputs, **settings, output_logits=True, return_dict_in_generate=True)
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ExplainError(
            f"{type(adapter.model).__name__} cannot write by its own generate ({' '.join(str(error).split())[:200]}), "
            "with which its scores are compared; it is not explained."
        ) from error
    logits = torch.stack(list(out.logits), 1)
    return out.sequences[:, -logits.shape[1] :], logits


def _apart(one: Tensor, other: Tensor) -> float | None:
    """How far two are apart relative to the largest, if that is too far."""
    usual = _APART.get(other.dtype, 0.05)  # generate gives single precision whatever it computes in
    one, other = one.float(), other.to(one.device).float()
    finite = one.isfinite() & other.isfinite()
    apart = float((one - other)[finite].abs().max() / one[finite].abs().max().clamp(min=1e-12))
    return apart if apart > usual else None
