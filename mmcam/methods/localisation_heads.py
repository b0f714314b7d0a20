"""Localisation heads: the few attention heads of a language model that look at one place of the picture, and much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import begun
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.variants import picture_scores

Array = NDArray[np.float64]

_EARLY = 2  # layers
_BOTTOM = 0.05  # attention at a cell of the last row
_NOTHING = 0.001  # attention above twice the mean that counts
_SIGMA = 1.0  # of the smoothing, in cells


@register(
    "localisation_heads",
    "Kang et al., CVPR 2025, arXiv 2503.06287, section 3; github.com/seilk/LocalizationHeads",
    family="attention",
    cost="2 forwards, whatever the number of targets",
    needs="a language model that reads the picture's vectors among those of its words",
)
def localisation_heads(question: Question, *, heads: int = 3, at: Sequence[tuple[int, int]] | None = None) -> Maps:
    """The sum of the chosen heads' attention to the picture, each smoothed by a Gaussian of 1 cell, (T,N,h,w).

    Attention is that of the place where the word is said, the mean over its tokens. A head is one of those chosen if
    S, what it pays all of the picture, is at least the elbow of all heads' sorted S (the point furthest from the line
    between the first and the last), and it has one of the least spatial entropies H = −Σ_c P_c log P_c, c being the
    connected parts (8 neighbours) of ReLU(A − 2·mean A) above 0.001, P_c their shares of it. As in the authors' code,
    heads of the first two layers are no candidates, nor such as pay a cell of the last row more than 0.05.

    The paper takes the three heads that are chosen most often over 1,000 pictures; here every word has those of its own
    (the code's way for one picture), unless `at` names them. Where fewer heads qualify, there are fewer; where none
    does, those with the greatest S stand in (ours).

    Args:
        question: of a word, or an answer that is written.
        heads: how many.
        at: (layer, head) of each, from 0, in place of a choice.

    Raises:
        ExplainError: another kind of model; no such head; a contrast, of which attention knows nothing.
    """
    if question.head_attention is None:
        raise ExplainError(
            f"{type(question.model).__name__} does not show what its heads pay the picture's places: localisation "
            "heads are those of language models of the transformers library that see; method='gradcam' needs none."
        )
    if question.texts > 1:
        raise ExplainError("Attention compares no two versions of a text; leave contrast= and by_word= out.")
    if heads < 1:
        raise ExplainError(f"heads={heads} shows nothing; pass at least 1.")
    with as_found(question.model), begun(question.kept, question.model):
        each = []
        for found, chosen in question.head_attention():
            shares = (chosen / chosen.sum(1, keepdim=True)).to(found.maps)
            maps = torch.einsum("tl,lahij->tahij", shares, found.maps)
            sums = torch.einsum("tl,lah->tah", shares, found.sums)
            each.append(torch.stack([_joined(*own, heads, at) for own in zip(maps, sums, strict=True)]))
    return Maps(torch.stack(each, 1), picture_scores(question, question.x[None])[:, 0])


def _joined(maps: Tensor, sums: Tensor, heads: int, at: Sequence[tuple[int, int]] | None) -> Tensor:
    """The map (h,w) of the heads of one word, chosen of maps (layers,heads,h,w) and sums (layers,heads)."""
    from scipy.ndimage import gaussian_filter  # a command that needs none of it would pay for the import

    paid = maps.double().cpu().numpy()
    own = chosen_heads(paid, sums.double().cpu().numpy(), heads) if at is None else _named(at, paid.shape[:2])
    total = sum(gaussian_filter(paid[layer, head], _SIGMA) for layer, head in own)
    return torch.from_numpy(np.asarray(total)).to(maps)


def chosen_heads(maps: Array, sums: Array, count: int) -> list[tuple[int, int]]:
    """(layer, head) of the localisation heads, that with the least spatial entropy first (see `localisation_heads`).

    Args:
        maps: attention to the picture (layers,heads,h,w).
        sums: what each head pays all of it (layers,heads).
        count: at most so many.
    """
    attentive = [(layer, head) for layer, head in np.argwhere(sums >= elbow(sums.ravel())).tolist()]
    entropies = {
        (layer, head): entropy
        for layer, head in attentive
        if layer >= _EARLY
        and not (maps[layer, head, -1] > _BOTTOM).any()
        and np.isfinite(entropy := spatial_entropy(maps[layer, head]))
    }
    found = sorted(entropies, key=lambda head: entropies[head])
    found = found or sorted(attentive, key=lambda head: -sums[head])
    return found[:count]


def elbow(values: Array) -> float:
    """The value at which a sorted curve lies furthest from the line between its first and its last point."""
    y = np.sort(values)
    if len(y) < 3:
        return float(y[0])
    x = np.arange(len(y))
    # The distance is this, over the line's length.
    return float(y[np.argmax(np.abs((y[-1] - y[0]) * x - (len(y) - 1) * (y - y[0])))])


def spatial_entropy(attention: Array) -> float:
    """−Σ_c P_c log P_c over the connected parts of what is above twice the mean (h,w); inf where there are none."""
    from scipy.ndimage import label

    high = np.clip(attention - 2 * attention.mean(), 0, None)
    parts, count = label(high > _NOTHING, structure=np.ones((3, 3)))
    if not count:
        return float("inf")
    shares = [high[parts == part].sum() / high.sum() for part in range(1, count + 1)]
    return float(-sum(share * np.log(share) for share in shares))


def _named(at: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    try:
        heads = [(int(layer), int(head)) for layer, head in at]
    except (TypeError, ValueError) as error:
        raise ExplainError(f"at={at!r} names no heads; pass (layer, head) of each, as at=[(14, 3)].") from error
    wrong = [head for head in heads if not all(0 <= i < n for i, n in zip(head, shape, strict=True))]
    if wrong or not heads:
        problem = f"There is no head {wrong[0]}" if wrong else "The list of heads is empty"
        raise ExplainError(f"{problem}; the model shows {shape[0]} layers of {shape[1]} heads, counted from 0.")
    return heads
