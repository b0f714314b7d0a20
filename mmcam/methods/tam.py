"""TAM: where in a picture a language model's own states say a token, less what earlier tokens say there, too."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import begun
from mmcam.engine.shown import TokenActivations
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.token_maps import less_context, rank_gaussian
from mmcam.methods.variants import picture_scores


@register(
    "tam",
    "Li et al., Token Activation Map, ICCV 2025, arXiv 2506.23270; github.com/xmed-lab/TAM",
    family="tokens",
    cost="2 forwards, whatever the number of targets",
    needs="a language model that reads the picture's vectors among those of its words",
)
def tam(question: Question) -> Maps:
    """``rank_gaussian(ReLU(A_i − s·I_i))``, A_i = ReLU(F·w_i) at the picture's places, (T,N,h,w).

    F are the language model's last states there, w_i its head's weights of token i. I_i = Σ_j r_ij A_j / Σ_j r_ij over
    the other tokens j before i, those of the prompt behind the picture among them, with r_ij = ReLU(f_j·w_i) and f_j
    the state where j of the prompt is read, or j of the caption is said; s is the least-squares share (see
    `mmcam.methods.token_maps`). A word of several tokens has the mean of their maps (ours).

    Where the authors' code takes the user's words of the prompt, this takes all of its tokens that are no special
    ones. It brings the map and the text's scores to 0…1 together before it filters, which changes the unit alone as
    long as one of them is 0; that is left out.

    Raises:
        ExplainError: another kind of model; a contrast, of which TAM knows nothing.
    """
    if question.token_activations is None:
        raise ExplainError(
            f"{type(question.model).__name__} does not show how high tokens score at the picture's places, which TAM "
            "reads: it is for language models of the transformers library that see; method='gradcam' needs none of it."
        )
    if question.texts > 1:
        raise ExplainError("TAM compares no two versions of a text; leave contrast= and by_word= out.")
    with as_found(question.model), begun(question.kept, question.model):
        each = [_of_words(found, chosen) for found, chosen in question.token_activations()]
    return Maps(torch.stack(each, 1), picture_scores(question, question.x[None])[:, 0])


def _of_words(found: TokenActivations, chosen: Tensor) -> Tensor:
    """The maps (T,h,w) of words, of which each is some of the text's last L tokens, 1 in its row of `chosen` (T,L)."""
    first = len(found.tokens) - chosen.shape[1]
    wanted = {i: _of_token(found, first + i) for i in chosen.any(0).nonzero()[:, 0].tolist()}
    return torch.stack([torch.stack([wanted[i] for i in own.nonzero()[:, 0].tolist()]).mean(0) for own in chosen])


def _of_token(found: TokenActivations, i: int) -> Tensor:
    earlier = (found.tokens[:i] != found.tokens[i]).nonzero()[:, 0]
    return rank_gaussian(less_context(found.maps[i], found.maps[earlier], found.relevance[i, earlier]))
