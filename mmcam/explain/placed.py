"""What regions and boxes share: several places of a picture, each with its class, seen from the end of the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mmcam.errors import ExplainError, IndependentError
from mmcam.explain.chunks import in_groups
from mmcam.explain.explained import Explained, How, explanations
from mmcam.image import Batch
from mmcam.places.encoder import encoder_end
from mmcam.tasks.asked import Asked, several
from mmcam.tasks.targets import is_list

Places = list[tuple[Any, Any]]
"""Of a picture, each place with its class."""


def explain_places(
    module: nn.Module, what: str, ask: Callable[[Batch, list[Places], list[bool]], Asked], how: How, encoder: str = ""
) -> Callable[[Batch, Sequence[Any], Sequence[Any]], list[Any]]:
    """How a batch is explained of which places, and classes at them, are asked.

    Args:
        module: what is explained.
        what: a place is called.
        ask: pictures, their places, and of each whether it is answered by a list → what is asked of the model.
        how: the layer, the method, its options.
        encoder: name of the module that ends the encoder; "" where it is to be found.

    Returns:
        (pictures, what was given of each as place, and as class) → a result for each.
    """

    def explain(batch: Batch, wheres: Sequence[Any], targets: Sequence[Any]) -> list[Any]:
        rows = [_pairs(*each, what) for each in zip(wheres, targets, strict=True)]
        listed = [is_list(where) or is_list(target) for where, target in zip(wheres, targets, strict=True)]

        def of(some: Batch, members: list[int]) -> list[Any]:
            asked = ask(some, [rows[n] for n in members], [listed[n] for n in members])
            return list(_at_encoder(asked, how, encoder).as_listed())

        return in_groups(module, batch, [(len(row), None) for row in rows], of)

    return explain


def _at_encoder(asked: Asked, how: How, encoder: str) -> Explained:
    """What is asked, explained by default at the end of the model's encoder, if it has one with a say in it."""
    c = asked.computation
    if how.layer is not None or isinstance(getattr(c.model, "explain_layer", None), str):
        return explanations(asked, how)
    end = encoder_end(c.model, c.alone, c.x, encoder or None)
    try:
        return explanations(asked, How(end, how.method, how.call, how.options, how.fuse))
    except IndependentError:
        return explanations(asked, how)


def _pairs(where: Any, target: Any, what: str) -> Places:
    """The places of a picture, each with its class; one of either goes with several of the other.

    Raises:
        ExplainError: several of both, and not as many.
    """
    places, targets = several(where, what), several(target, "class")
    if len(places) == 1 or len(targets) == 1:
        most = max(len(places), len(targets))
        places, targets = places * (most // len(places)), targets * (most // len(targets))
    if len(places) != len(targets):
        problem = f"There are {len(places)} {what}{'es' if what == 'box' else 's'} and {len(targets)} classes"
        raise ExplainError(f"{problem} for a picture; give one a {what}.")
    return list(zip(places, targets, strict=True))
