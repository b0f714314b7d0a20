"""Is what the library says of a network right, refused or wrong?"""

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from zoo.network import EITHER, MAP, REFUSED, Network
from zoo.planted import misplaced
from zoo.reference import differ, gradcam, in_cells, raw_evidence

import mmcam

ALLOWED = {MAP: {"right"}, REFUSED: {"refused"}, EITHER: {"right", "refused"}}
CLOSE = 1e-4


@dataclass(frozen=True)
class Verdict:
    """right, refused, wrong or foreign (an exception that is not the library's), and what was seen."""

    kind: str
    note: str


def judged(network: Network, model: nn.Module, layer: str | None = None) -> Verdict:
    """A network's maps at a layer, None for the default one, held against the planted and plain backpropagation."""
    try:
        return _map(network, model, layer)
    except mmcam.ExplainError as error:
        return _refusal(network, str(error), layer)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Verdict("foreign", f"{type(error).__name__}: {str(error)[:200]} ({where.name})")


def _refusal(network: Network, sentence: str, layer: str | None) -> Verdict:
    if "\n" in sentence or not sentence.endswith(".") or len(sentence) > 600 or re.search(r"[.!?] [A-Z]", sentence):
        return Verdict("wrong", f"not one sentence: {sentence}")
    if layer is None and not re.search(network.word, sentence):
        return Verdict("wrong", f"refused without {network.word!r}: {sentence}")
    return Verdict("refused", sentence)


def _map(network: Network, model: nn.Module, layer: str | None) -> Verdict:
    def explain(pictures: Any, target: Any, at: str | None = layer) -> Any:
        torch.manual_seed(0)  # of models that draw at random
        return mmcam.explain_class(model, pictures, target, layer=at, call=network.call)

    def activations(pictures: list[Tensor]) -> list[Tensor]:
        return [each.activations for each in explain(pictures, first)]

    first, second = network.targets
    pictures = list(torch.randn(3, *network.size, generator=torch.Generator().manual_seed(3)))
    alone = [explain(picture, first) for picture in pictures]
    faults = {
        "place": misplaced(activations, network.size),
        "gradient": _gradient(network, model, alone[0], pictures[0][None], layer),
        "pictures": _unequal(explain(pictures, first), alone),
        "targets": _several_targets(explain, pictures[0], first, second),
    }
    note = f"{alone[0].layer} {tuple(alone[0].activations.shape)}"
    faults = {what: fault for what, fault in faults.items() if fault}
    return Verdict("wrong" if faults else "right", "; ".join([note, *(f"{w}: {f}" for w, f in faults.items())]))


def _several_targets(explain: Callable[..., Any], picture: Tensor, *targets: Any) -> str:
    together = explain(picture, list(targets))
    try:
        alone = [explain(picture, target, one.layer) for target, one in zip(targets, together, strict=True)]
    except mmcam.IndependentError as error:
        return f"a layer that one of them does not depend on: {error}"
    return _unequal(together, alone)


def _gradient(network: Network, model: nn.Module, explanation: mmcam.Explanation, x: Tensor, layer: str | None) -> str:
    raw, gradient = raw_evidence(model, x, network.targets[0], explanation.layer, network.call)
    found = in_cells(raw, gradient, explanation.activations)
    if found is None:
        return f"the cells are not those of the layer, {tuple(raw.shape)}"
    shown = int(found.abs().amax((1, 2)).count_nonzero())
    if layer is None and 0 < shown <= 2 and (shown < len(found) or len(found) == 1):
        return f"{shown} of {len(found)} channels have a gradient: the answer itself, not what it was computed from"
    if (wrong := differ(explanation.weights, found.mean((1, 2)))) > CLOSE:
        return f"weights off by {wrong:.2g}"
    if (wrong := differ(explanation.values, gradcam(explanation.activations, found))) > CLOSE:
        return f"map off by {wrong:.2g}"
    return ""


def _unequal(together: list[mmcam.Explanation], alone: list[mmcam.Explanation]) -> str:
    for n, (one, other) in enumerate(zip(together, alone, strict=True)):
        if one.layer != other.layer:
            return f"number {n} at {one.layer} together, at {other.layer} alone"
        if (wrong := max(differ(one.weights, other.weights), differ(one.values, other.values))) > CLOSE:
            return f"number {n} off by {wrong:.2g} from what it is alone"
    return ""
