"""CLIP-Dissect: name units with any words, by what CLIP sees in the pictures that excite them most.

Source: Oikarinen & Weng, ICLR 2023, arXiv 2204.10965; the soft-WPMI of its section 3, with the defaults of the official
code, Trustworthy-ML-Lab/CLIP-dissect.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.datasets.concepts import ConceptData
from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Layer
from mmcam.engine.modules import unwrap
from mmcam.engine.record import activations
from mmcam.errors import ExplainError, PictureError
from mmcam.neurons.fingerprint import cast_fingerprints, fingerprint
from mmcam.neurons.names import Names, UnitName
from mmcam.places.find import find_layer
from mmcam.places.survey import layer_at
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of

_SURE, _UNSURE = 0.998, 0.97  # that a unit's first and (nearly) last picture are among those it stands for
_TINY = 1e-7  # keeps the logarithm finite

_POOLING: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
}


@torch.inference_mode(False)
def clip_dissect(
    model: Any,
    pictures: Sequence[Any] | ConceptData,
    words: Sequence[str] | Path | str,
    clip: Any,
    processor: Any,
    *,
    layer: str | nn.Module | None = None,
    preprocess: Any = None,
    pooling: Literal["mean", "max"] = "mean",
    top_k: int = 100,
    a: float = 10.0,
    lam: float = 1.0,
    batch: int = 32,
) -> Names:
    """Name every unit of a layer with the word that fits best to the pictures that excite it most; no labels needed.

    The word is the one of the greatest soft-WPMI (see `soft_wpmi`); words and pictures meet in a CLIP model of your
    own. Pictures that cannot be read are left out with a warning.

    Args:
        model: of any task; left as found.
        pictures: paths or pictures, or a data set with ``len()`` and ``picture(i)``: what the model was trained on, or
            any pictures that show what the words say; thousands are usual.
        words: a list, or a text file with one a line; each is scored once.
        clip: a model with ``get_text_features`` and ``get_image_features``, such as transformers' CLIPModel or
            SiglipModel, on any device; left as found.
        processor: its own, with the tokeniser.
        layer: dotted name, or the module itself; default the last spatial layer before pooling.
        preprocess: as in `explain_class`.
        pooling: how a unit's map becomes one number a picture.
        top_k: how many pictures speak for a unit; at most as many as there are, and better a small part of them.
        a: sharpness of p(word | picture).
        lam: weight of p(word): greater values prefer words that fit few units.
        batch: pictures, or words, at a time.

    Returns:
        A name for each unit, with its soft-WPMI as the score ("similarity", as CLIP-Dissect calls it, without an upper
        bound). Units whose pooled activation is the same in all pictures, or not finite, stay without a name.

    Raises:
        ExplainError: an unknown layer or pooling, fewer pictures than `top_k`, fewer than two words, a `clip` of
            another kind.
    """
    module: Any = unwrap(model)
    lacking = [name for name in ("get_text_features", "get_image_features") if not hasattr(clip, name)]
    if lacking:
        raise ExplainError(f"{type(clip).__name__} is no CLIP model: it lacks {', '.join(lacking)}.")
    if pooling not in _POOLING:
        raise ExplainError(f"There is no pooling {pooling!r}; choose one of {', '.join(_POOLING)}.")
    if not hasattr(pictures, "__len__") or isinstance(pictures, str):
        raise ExplainError("The pictures are a list of them, or a data set with len() and picture(i).")
    vocabulary = _vocabulary(words)
    _check_top_k(top_k, len(pictures))

    forward = forward_of(module)
    pooled, seen = [], []
    place: Layer | None = None
    refused: list[PictureError] = []
    with as_found(clip):
        for start in with_progress(range(0, len(pictures), batch), "Looking at pictures"):
            inputs, shown = _batch(
                module, pictures, range(start, min(start + batch, len(pictures))), preprocess, refused
            )
            if not shown:
                continue
            if place is None:
                found = find_layer(module, forward, inputs) if layer is None else layer
                place = layer_at(module, forward, inputs, found)
            pooled.append(_POOLING[pooling](activations(module, forward, inputs, [place])[0].float()))
            seen.append(_features(clip, clip.get_image_features, processor(images=shown, return_tensors="pt")))
        if refused:
            warnings.warn(f"{len(refused)} pictures are left out; the first: {refused[0]}", stacklevel=3)
        _check_top_k(top_k, len(pictures) - len(refused))
        said = [_text_features(clip, processor, vocabulary[i : i + batch]) for i in range(0, len(vocabulary), batch)]
    assert place is not None  # there are pictures
    excitement = torch.cat(pooled)
    scores = soft_wpmi(torch.cat(seen) @ torch.cat(said).T, excitement.to(seen[0].device), top_k, a, lam)
    best, words_at = (tensor.tolist() for tensor in scores.max(dim=1))
    telling = excitement.isfinite().all(0) & (excitement.amax(0) > excitement.amin(0))
    return Names(
        {k: UnitName(vocabulary[words_at[k]], score=best[k]) for k in telling.nonzero()[:, 0].tolist()},
        count=excitement.shape[1],
        measure="similarity",
        source=f"CLIP-Dissect with {type(clip).__name__}: {len(vocabulary)} words, {len(excitement)} pictures",
        layer=place.name,
        fingerprint=fingerprint(module, place.name),
        casts=cast_fingerprints(module, place.name),
        complete=True,
    )


def soft_wpmi(similarities: Tensor, pooled: Tensor, top_k: int = 100, a: float = 10.0, lam: float = 1.0) -> Tensor:
    """Soft weighted pointwise mutual information of units and words.

    p(word | picture) is the softmax over the words of `a` times the cosine. A unit stands for its `top_k` pictures
    x₀, x₁, … of the greatest pooled activation, the r-th of which belongs to it with p_r = .998 - (.998 - .97)·r/top_k.
    Then log p(word | unit) = Σ_r log(1 + p_r·(p(word | x_r) - 1) + 1e-7), p(word) is the mean of p(word | unit) over
    the units, and the result is log p(word | unit) - `lam`·log p(word).

    Args:
        similarities: cosines (N, W) of pictures and words.
        pooled: activations (N, K), one number a picture and unit, on the same device.
        top_k: at most N. Of equal activations the first pictures count.
        a, lam: as in `clip_dissect`.

    Returns:
        (K, W), in the dtype of the cosines.

    Raises:
        ExplainError: fewer pictures than `top_k`.
    """
    _check_top_k(top_k, len(pooled))
    ranks = torch.arange(top_k, device=similarities.device, dtype=similarities.dtype)[:, None]
    member = _SURE - ranks / top_k * (_SURE - _UNSURE)
    given_unit = []
    for unit in pooled.T:  # one at a time: (K, top_k, W) would not fit into memory
        pictures = unit.argsort(descending=True, stable=True)[:top_k]
        p = (a * similarities[pictures]).softmax(dim=1)
        # 1 + member·(p - 1), written so that little is lost to rounding where p is small.
        given_unit.append((1 - member + member * p + _TINY).log().sum(0))
    log_p = torch.stack(given_unit)
    return log_p - lam * (log_p.logsumexp(0) - math.log(len(log_p)))


def _check_top_k(top_k: int, pictures: int) -> None:
    if not 1 <= top_k <= pictures:
        raise ExplainError(
            f"There are {pictures} pictures and top_k is {top_k}; pass more pictures, or a top_k of at least 1 and "
            "well below their number."
        )


def _vocabulary(words: Sequence[str] | Path | str) -> list[str]:
    """The words, each once, in their order."""
    if isinstance(words, (str, Path)):
        try:
            words = Path(words).read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ExplainError(f"{words} is no text file in UTF-8 with one word a line ({error}).") from error
    vocabulary = list(dict.fromkeys(stripped for word in words if (stripped := word.strip())))
    if len(vocabulary) < 2:
        raise ExplainError(f"There are {len(vocabulary)} different words; pass at least two to choose from.")
    return vocabulary


def _batch(
    module: nn.Module, pictures: Any, indices: range, preprocess: Any, refused: list[PictureError]
) -> tuple[Tensor, list[Any]]:
    """Pictures as the model takes them and as CLIP's processor does; errors of those left out go into `refused`."""
    picture = getattr(pictures, "picture", None) or pictures.__getitem__
    made = []
    for index in indices:
        try:
            made.append(batch_of(module, picture(index), preprocess))
        except PictureError as error:
            refused.append(error)
    inputs = torch.cat([one.x for one in made]) if made else torch.empty(0)
    return inputs, [one.pictures[0] for one in made]


def _text_features(clip: Any, processor: Any, words: list[str]) -> Tensor:
    # The full length, as both CLIP and SigLIP were trained: SigLIP reads the last token, so with less padding a word
    # would mean something else in another batch.
    return _features(
        clip, clip.get_text_features, processor(text=words, padding="max_length", truncation=True, return_tensors="pt")
    )


def _features(clip: Any, encode: Callable[..., Any], inputs: Any) -> Tensor:
    """Rows of length 1 in float32, on clip's device."""
    parameter = next(clip.parameters())
    output = encode(
        **{
            name: value.to(parameter.device, parameter.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
    )
    # transformers 5 hands out the encoder's whole output, older ones and other people's models the tensor.
    features = output if isinstance(output, Tensor) else output.pooler_output
    return F.normalize(features.float(), dim=-1)
