"""What is scored of a word or an answer: its log-probability, its logit, its probability, how unsure the model is.

A score is a function of a language model's outputs at some tokens, and users may add their own:

```python
@mmcam.register_score("margin")
def margin(logits, tokens, chosen):
    own = logits.gather(-1, tokens[..., None])[..., 0]
    others = logits.scatter(-1, tokens[..., None], -torch.inf).amax(-1)
    return ((own - others) * chosen).sum(1)


mmcam.explain_caption(captioner, picture, "dog", score="margin")
```
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcam.errors import ExplainError

Score = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits (R,L,V), tokens (R,L), chosen (R,L), 1 at the tokens that count) → scores (R,)."""

SCORES: dict[str, Score] = {}


def register_score(name: str) -> Callable[[Score], Score]:
    """Make a function of logits, tokens and a choice of them available as ``score=name`` for words and answers.

    Raises:
        ValueError: the name is taken.
    """

    def add(score: Score) -> Score:
        if name in SCORES:
            raise ValueError(f"There is a score {name!r} already; register this one under another name.")
        SCORES[name] = score
        return score

    return add


@register_score("log_prob")
def log_prob(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    """The sum of the log-probabilities of the tokens: the logarithm of the probability of the whole word."""
    return _chosen_sum(token_log_probs(logits, tokens), chosen)


@register_score("logit")
def logit(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    """The sum of the tokens' own scores before the softmax, which what else could be said does not touch."""
    return _chosen_sum(_of_tokens(logits, tokens), chosen)


@register_score("prob")
def prob(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    """The probability of the whole word: the product of its tokens'."""
    return log_prob(logits, tokens, chosen).exp()


@register_score("entropy")
def entropy(logits: Tensor, tokens: Tensor, chosen: Tensor) -> Tensor:
    """How unsure the model is, in nats: the mean entropy of what could be said at the places of the tokens."""
    log_probs = _wide(logits).log_softmax(-1)
    spread = -(log_probs.exp() * log_probs).nan_to_num(0.0).sum(-1)  # p log p is 0 where p is 0
    return _chosen_sum(spread, chosen) / chosen.sum(1)


def get(name: str) -> Score:
    """The score of a name.

    Raises:
        ExplainError: there is none; the message lists all.
    """
    if name not in SCORES:
        raise ExplainError(f"There is no score {name!r} of words and answers; there are {', '.join(SCORES)}.")
    return SCORES[name]


def claim(name: str, event: str, target: str) -> str:
    """What the model did, as the beginning of a sentence: the event itself, where the score says how likely it was."""
    return event if name in ("log_prob", "logit", "prob") else f"The {name} of {target} is as high as it is"


def token_outputs(model: Any, name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What of a captioner gives a score's input: pictures and tokens (R,L) → (R,L), or (R,L,V).

    Raises:
        ExplainError: the model gives log-probabilities only.
    """
    get(name)
    if name == "log_prob":
        log_probs: Callable[[Tensor, Tensor], Tensor] = model.token_log_probs
        return log_probs
    if not hasattr(model, "token_logits"):
        raise ExplainError(
            f"{type(model).__name__} gives log-probabilities only; score={name!r} needs a method token_logits "
            "(see mmcam.Captioner)."
        )
    logits: Callable[[Tensor, Tensor], Tensor] = model.token_logits
    return logits


def score_of_tokens(name: str) -> Score:
    """A score as a function of what `token_outputs` gives: the sum, if these are log-probabilities (R,L) already."""
    if name == "log_prob":
        return lambda log_probs, tokens, chosen: _chosen_sum(log_probs, chosen)
    return get(name)


def token_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p of the tokens (R, L) under the logits (R, L, V), in single precision at least."""
    return _of_tokens(_wide(logits).log_softmax(-1), tokens)


def _wide(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision has three digits


def _of_tokens(values: Tensor, tokens: Tensor) -> Tensor:
    return values.gather(-1, tokens[..., None])[..., 0]


def _chosen_sum(values: Tensor, chosen: Tensor) -> Tensor:
    # Filled, not only multiplied: padding may hold -inf, and 0 times that is not 0.
    return (values.masked_fill(chosen == 0, 0) * chosen).sum(1)
