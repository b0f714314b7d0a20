"""What the family of class activation maps shares: how evidence is collected, and which channels and cells count.

Every registered member also takes

* ``counterfactual=True``: the gradient with its sign turned, so the map shows what lowers the score (arXiv 1610.02391,
  section 3.3);
* ``units=[…]``, ``mask=(h,w)``: only these channels and these cells of the layer count, everything else is taken as
  absent (Omeiza et al., Smooth Grad-CAM++, arXiv 1908.01224, section 3);
* ``relu_rule="guided"`` or ``"deconv"``: the rule of the ReLUs between score and layer (arXiv 1610.02391, appendix).
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from mmcam.engine.run import Evidence, run_at
from mmcam.errors import ExplainError
from mmcam.methods.fusion import fuse
from mmcam.methods.registry import Maps, Question, keyword_options, register
from mmcam.methods.relu_rules import ReluRule, Rule


def collect(
    question: Question, *, counterfactual: bool = False, relu_rule: Rule = "plain", zero: bool = False
) -> Evidence:
    """The evidence at the question's layer, the first of several.

    Args:
        question: what is asked.
        counterfactual: turn the gradient's sign.
        relu_rule: rule of the ReLUs between score and layer.
        zero: as in `mmcam.engine.run`.

    Raises:
        ExplainError: a network the rule is not defined for.
    """
    first = replace(question, others=())
    return collect_all(first, counterfactual=counterfactual, relu_rule=relu_rule, zero=zero)[0]


def collect_all(
    question: Question, *, counterfactual: bool = False, relu_rule: Rule = "plain", zero: bool = False
) -> list[Evidence]:
    """The evidence at each of the question's layers, of one forward and one backward; else as `collect`."""
    with contextlib.ExitStack() as stack:
        if relu_rule != "plain":
            stack.enter_context(stack.enter_context(ReluRule(relu_rule)).switch(True))
        found = run_at(question, question.layers, zero=zero)
    return [replace(own, gradients=-own.gradients) for own in found] if counterfactual else found


def chosen(activations: Tensor, units: Sequence[int] | None, mask: Any) -> Tensor:
    """1 at the neurons that count, 0 at the others, in a shape that multiplies activations (N,K,h,w).

    Args:
        activations: of the layer.
        units: the channels that count; None for all.
        mask: (h,w), or (N,h,w) with one a picture, true at the cells that count; None for all.

    Raises:
        ExplainError: there is no such channel, or the mask has another size than the layer.
    """
    neurons = activations.new_ones(1, 1, 1, 1)
    if units is not None:
        channels = activations.shape[1]
        given = units.tolist() if isinstance(units, Tensor) else units
        listed = list(given) if isinstance(given, Iterable) else [None]
        if not all(hasattr(unit, "__index__") for unit in listed):
            raise ExplainError(f"units={units!r} is no list of channels; pass for example units=[0, 3].")
        wrong = [unit for unit in listed if isinstance(unit, bool) or not 0 <= operator.index(unit) < channels]
        if wrong or not listed:
            problem = f"There is no unit {wrong[0]}" if wrong else "The list of units is empty"
            raise ExplainError(f"{problem}; the layer has units 0…{channels - 1}.")
        neurons = activations.new_zeros(1, channels, 1, 1)
        neurons[:, listed] = 1
    cells = chosen_cells(activations, mask)
    return neurons if cells is None else neurons * cells


def chosen_cells(activations: Tensor, mask: Any) -> Tensor | None:
    """The mask of `chosen` as (1 or N, 1, h, w), None for all cells."""
    if mask is None:
        return None
    try:
        cells = torch.as_tensor(mask, device=activations.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplainError(f"mask={mask!r} is no mask; pass an array or tensor (h,w) or (N,h,w).") from error
    size = tuple(activations.shape[-2:])
    if cells.shape[-2:] != size or cells.ndim not in (2, 3) or cells.shape[:-2] not in ((), (1,), (len(activations),)):
        raise ExplainError(
            f"The mask has shape {tuple(cells.shape)}; the layer has {size[0]}×{size[1]} cells: "
            "pass one mask of that size, or one a picture (N,h,w)."
        )
    return cells.bool().to(activations.dtype).reshape(-1, 1, *size)


CamFunction = Callable[..., tuple[Tensor, Tensor | None]]

_functions: dict[str, CamFunction] = {}


def cam_function(name: str) -> CamFunction:
    """The function of evidence that a method of the family is.

    Raises:
        ExplainError: there is none of that name.
    """
    if name not in _functions:
        raise ExplainError(
            f"There is no class activation map {name!r} of evidence alone; choose of {', '.join(_functions)}."
        )
    return _functions[name]


@dataclass(frozen=True)
class CamOptions:
    """The options every method of the family has beside its own.

    Attributes:
        units, mask: the channels and cells that count, as in `chosen`.
        counterfactual: the gradient with its sign turned.
        relu_rule: rule of the ReLUs between score and layer.
    """

    units: Sequence[int] | None = None
    mask: Any = None
    counterfactual: bool = False
    relu_rule: Rule = "plain"

    def evidence(self, question: Question) -> list[Evidence]:
        """The question's evidence at each of its layers under these options."""
        found = collect_all(question, counterfactual=self.counterfactual, relu_rule=self.relu_rule)
        return found if self.units is None and self.mask is None else [self._chosen(own) for own in found]

    def _chosen(self, evidence: Evidence) -> Evidence:
        neurons = chosen(evidence.activations, self.units, self.mask)
        return replace(
            evidence,
            activations=evidence.activations * neurons,
            gradients=evidence.gradients * neurons,
            cells=chosen_cells(evidence.activations, self.mask),
        )


def register_cam(name: str, source: str) -> Callable[[CamFunction], CamFunction]:
    """Make a function of evidence a method of the family, with its options beside the function's own.

    The function gets `Evidence` (A (N,K,h,w), g (T,N,K,h,w)) and returns maps (T,N,h,w) and the weights (T,N,K) of the
    channels, or None where it has no one number for each. Its keyword-only parameters are options of the method.

    Args:
        name: for ``method=``.
        source: paper and equation.

    Raises:
        ValueError: the name is taken; an option has the name of one that the family shares.
    """

    def add(function: CamFunction) -> CamFunction:
        own, shared = keyword_options(function), {field.name: field.default for field in fields(CamOptions)}
        if twice := own.keys() & shared.keys():
            raise ValueError(
                f"All class activation maps have the option {min(twice)!r}; call that of {name!r} otherwise."
            )

        @register(name, source, cost="1 forward, 1 backward to the layer", options=own | shared, several=True)
        def compute(question: Question, **options: Any) -> Maps:
            found = CamOptions(**{key: options[key] for key in options if key in shared}).evidence(question)
            maps = []
            for evidence in found:
                values, weights = function(evidence, **{key: options[key] for key in options if key in own})
                activations = None if weights is None else evidence.activations
                maps.append(Maps(values, evidence.scores, weights, activations))
            return maps[0] if len(maps) == 1 else fuse(maps, question.fuse)

        _functions[name] = function
        return function

    return add
