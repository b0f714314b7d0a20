"""What a language model that reads a picture's places among its words shows of them, besides the scores of words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TokenActivations:
    """How high each token of a text scores at each place of one picture, and where the tokens are read or said.

    Attributes:
        maps: A (M,h,w) of M tokens, those of the prompt behind the picture and then those of the caption: ReLU of the
            product of the language model's last states at the picture's places with the token's weights in its head.
        relevance: r (M,M), in row i the same of token i at the place where token j of the prompt is read, or token j of
            the caption is said.
        tokens: (M,).
    """

    maps: Tensor
    relevance: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class HeadAttention:
    """What each attention head of a language model pays the places of one picture when it says each token of a caption.

    Attributes:
        maps: (L,layers,heads,h,w) of L tokens.
        sums: (L,layers,heads), over the picture's places.
    """

    maps: Tensor
    sums: Tensor
