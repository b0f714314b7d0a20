"""Explanations in words: which named units spoke for a target, and which against (arXiv 1610.02391, section 6)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.explanation_like import ExplanationLike
from mmcam.neurons.names import Names
from mmcam.neurons.sentence import Reason, sentence
from mmcam.neurons.why import Why

__all__ = ["Reason", "Why", "narrate", "sentence"]


def narrate(
    exp: ExplanationLike,
    names: Names | Dissection,
    *,
    k: int = 5,
    by: Literal["contribution", "weight"] = "contribution",
    threshold: float = DETECTOR,
) -> Why:
    """Put an explanation into words.

    The k units that speak most for the target and the k that speak most against it are looked at; those with a name are
    told, units of the same name together. A name whose units speak for and against is told once, on the side where
    their sum lies, with the units of that side. What is not told, as an unnamed unit (as in the paper), stays in the
    table.

    What chance could have named is told with a "perhaps": of a dissection what its shuffles reach in more than 5 %, of
    names that nobody has tested those with an IoU of at most 0.1. A unit that is named after the photographs it answers
    to, and not after places in them, is told as such.

    Args:
        exp: made by a method that weighs channels.
        names: of the units of its layer: a Dissection, or Names of another tool.
        k: how many units on either side (the paper's 5).
        by: "contribution" sorts by mean(α·A), what a unit did in this picture; "weight" by α, as the paper does, which
            also finds units that matter to the target but see nothing here.
        threshold: names count if they fit better than this (0.04 is Network Dissection's for IoU, the paper took 0.05);
            names that come without a score always do.

    Raises:
        ExplainError: `names` are none; the method has no weights or none with a sign; the names belong to other
            weights, or to a layer with another number of units.
    """
    if not isinstance(names, (Names, Dissection)):
        raise ExplainError(
            f"The names of units are a Dissection or Names, and {names!r} is neither; pass for example "
            "mmcam.Dissection.load(path)."
        )
    dissection = names if isinstance(names, Dissection) else None
    known = names.known(threshold) if isinstance(names, Dissection) else names.above(threshold)
    _check(exp, known, by, k)
    assert exp.weights is not None
    assert exp.activations is not None
    # In the direction of what is claimed: a counterfactual map's weights have their sign turned.
    weights = exp.weights.float().cpu() * exp.sense
    contributions = weights * exp.activations.float().mean(dim=(-2, -1)).cpu()
    values = contributions if by == "contribution" else weights

    def reasons(order: Tensor, speaks: Literal["for", "against"]) -> list[Reason]:
        found = []
        for unit in order.tolist():
            name = known.units.get(unit)
            found.append(
                Reason(
                    unit,
                    name.name if name else "",
                    name.category if name else "",
                    name.score if name else None,
                    float(weights[unit]),
                    float(contributions[unit]),
                    speaks,
                    name.p if name else None,
                    name.seen_in if name else "places",
                    name is not None and name.doubtful(known.measure),
                )
            )
        return found

    order = values.argsort(descending=True, stable=True)
    positive = reasons(order[:k][values[order[:k]] > 0], "for")
    negative = reasons(order.flip(0)[:k][values[order.flip(0)[:k]] < 0], "against")
    text = sentence(exp.claim, positive, negative, known.measure, by)
    return Why(text, (*positive, *negative), known.measure, exp, dissection)


def _check(exp: ExplanationLike, names: Names, by: str, k: int) -> None:
    """Refuse what cannot be told, or would be told wrongly."""
    if exp.weights is None or exp.activations is None:
        raise ExplainError(
            f"The map was made by {exp.method} at {exp.layer}, which gives no weight to each unit of one layer; "
            "explain with method='gradcam' and one layer to ask why."
        )
    if exp.options.get("absolute"):
        raise ExplainError("With absolute=True no weight tells for from against; leave it out to ask why.")
    if by not in ("contribution", "weight"):
        raise ExplainError(f"There is no by={by!r}; choose 'contribution' or 'weight'.")
    if k < 1:
        raise ExplainError(f"k={k} units tell nothing; it is at least 1.")
    units, named = len(exp.weights), max([names.count, *(unit + 1 for unit in names.units)])
    if named > units or (names.complete and named < units):
        raise ExplainError(
            f"The names are those of {named} units, and {exp.layer} has {units}: they belong to another layer or model."
        )
    whose = (names.fingerprint, *names.casts)
    if names.fingerprint and exp.origin is not None and exp.origin.fingerprint not in whose:
        where = f" (made at {names.layer})" if names.layer else ""
        raise ExplainError(
            f"These names belong to other weights or another layer{where}; dissect this {exp.model} at {exp.layer}."
        )
