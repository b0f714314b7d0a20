"""Class activation maps: sums of a layer's activations, weighted by the target's gradient there.

Each method is a pure function of `Evidence` (A (N,K,h,w), g = dS/dA (T,N,K,h,w)) that returns un-normalised float32
maps (T,N,h,w) and, where it has one number a channel, the weights (T,N,K). `register_cam` makes a method of it, which
also takes

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
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmcam.engine.outputs import picture_of
from mmcam.engine.run import Evidence, run
from mmcam.errors import ExplainError
from mmcam.methods.registry import Maps, Question, keyword_options, register
from mmcam.methods.relu_rules import ReluRule, Rule
from mmcam.places.trace import trace


def gradcam(
    evidence: Evidence, *, relu: bool = True, absolute: bool = False, pooling: Literal["mean", "max"] = "mean"
) -> tuple[Tensor, Tensor]:
    """Grad-CAM: ``L = ReLU(Σ_k α_k A^k)`` with ``α_k = (1/Z) Σ_ij dS/dA^k_ij`` (arXiv 1610.02391, eqs. 1 and 2).

    Args:
        evidence: activations and gradients.
        relu, absolute, pooling: the paper's ablations: no ReLU at the end; |dS/dA| averaged; the gradient's maximum
            over the cells in place of its mean.
    """
    # Reduced in float32: a half-precision mean over 14×14 cells loses the small gradients.
    gradients = evidence.gradients.float()
    gradients = gradients.abs() if absolute else gradients
    if pooling not in ("mean", "max"):
        raise ExplainError(f"There is no pooling {pooling!r} of gradients; choose 'mean' or 'max'.")
    if pooling == "mean":
        weights = gradients.mean(dim=(-2, -1))
    else:
        hidden = None if evidence.cells is None else evidence.cells == 0
        weights = (gradients if hidden is None else gradients.masked_fill(hidden, -torch.inf)).amax(dim=(-2, -1))
    summed = weighted_sum(weights, evidence.activations)
    return summed.relu() if relu else summed, weights


def cam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """CAM: ``M = Σ_k w_k A^k`` with the weights of the linear layer behind a global average pool (arXiv 1512.04150).

    There dS/dA is w_k / Z at every cell, so its sum over the cells gives w_k for any linear target, contrasts included.
    The map is signed, without ReLU.

    Raises:
        ExplainError: the gradient differs between cells, so no global average pool follows the layer.
    """
    gradients = evidence.gradients.float()
    spread = gradients.amax(dim=(-2, -1)) - gradients.amin(dim=(-2, -1))
    if (spread > 1e-4 * gradients.abs().amax()).any():
        raise ExplainError(_NEEDS_GAP)
    weights = gradients.sum(dim=(-2, -1))
    return weighted_sum(weights, evidence.activations), weights


def gradcam_plus_plus(evidence: Evidence, *, normalise: bool = True) -> tuple[Tensor, Tensor]:
    """Grad-CAM++: ``w_k = Σ_ij a_ij ReLU(dY/dA^k_ij)``, Y = e^S (Chattopadhyay et al., arXiv 1710.11063, eqs. 10, 19).

    The derivatives of Y are e^S·g, e^S·g² and e^S·g³ where the network behind the layer is piecewise linear. The factor
    cancels inside a and only scales w, so it is left out: e^S overflows.

    Args:
        evidence: activations and gradients.
        normalise: a sums to 1 over the cells of a channel whose gradient is positive, as in the official code
            (github.com/adityac94/Grad_CAM_plus_plus); False is the formula of the paper.
    """
    g, a = evidence.gradients.float(), evidence.activations.float()
    # g² / (2g² + g³ ΣA), reduced by g², which would under- and overflow; not where the denominator is 0, taken as 1.
    denominator = 2 + a.sum(dim=(-2, -1), keepdim=True) * g
    return plus_plus(a, g, torch.where(denominator == 0, g**2, 1.0), denominator, normalise)


def plus_plus(
    activations: Tensor, first: Tensor, numerator: Tensor, denominator: Tensor, normalise: bool
) -> tuple[Tensor, Tensor]:
    """The map of Grad-CAM++ from the first derivative of Y and the fraction a, each (T,N,K,h,w).

    As in the official code a zero denominator counts as 1.
    """
    shares = numerator / torch.where(denominator == 0, 1.0, denominator)
    positive = first.relu()
    if normalise:
        total = torch.where(positive > 0, shares, 0.0).sum(dim=(-2, -1), keepdim=True)
        shares = shares / torch.where(total == 0, 1.0, total)
    weights = (shares * positive).sum(dim=(-2, -1))
    return weighted_sum(weights, activations).relu(), weights


def layercam(evidence: Evidence) -> tuple[Tensor, None]:
    """LayerCAM: ``M = ReLU(Σ_k ReLU(g^k) ⊙ A^k)``, a weight for every cell (Jiang et al., TIP 2021, eqs. 6–8)."""
    return _cellwise(evidence.gradients.float().relu(), evidence.activations).relu(), None


def xgradcam(evidence: Evidence) -> tuple[Tensor, Tensor]:
    """XGrad-CAM: Grad-CAM with ``α_k = Σ_ij g_ij A_ij / Σ_ij A_ij`` (Fu et al., arXiv 2008.02312, eq. 6).

    A channel whose activations sum to 0 gets weight 0.
    """
    a = evidence.activations.float()
    total = a.sum(dim=(-2, -1))
    share = (evidence.gradients.float() * a).sum(dim=(-2, -1))
    weights = torch.where(total == 0, 0.0, share / torch.where(total == 0, 1.0, total))
    return weighted_sum(weights, a).relu(), weights


def hirescam(evidence: Evidence, *, relu: bool = True) -> tuple[Tensor, None]:
    """HiResCAM: ``M = Σ_k g^k ⊙ A^k``, without averaging (Draelos & Carin, arXiv 2011.08891, eq. 3).

    Args:
        evidence: activations and gradients.
        relu: only what speaks for the target; False is the paper's signed map, whose sum is the score (less the
            bias) where one linear layer follows.
    """
    summed = _cellwise(evidence.gradients.float(), evidence.activations)
    return summed.relu() if relu else summed, None


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k α_k A^k: (T,N,K) and (N,K,h,w) → (T,N,h,w), float32."""
    return torch.einsum("tnk,nkhw->tnhw", weights, activations.float())


def _cellwise(weights: Tensor, activations: Tensor) -> Tensor:
    """Σ_k w^k ⊙ A^k: (T,N,K,h,w) and (N,K,h,w) → (T,N,h,w), float32."""
    return torch.einsum("tnkhw,nkhw->tnhw", weights, activations.float())


def collect(
    question: Question, *, counterfactual: bool = False, relu_rule: Rule = "plain", zero: bool = False
) -> Evidence:
    """The evidence at the question's layer.

    Args:
        question: what is asked.
        counterfactual: turn the gradient's sign.
        relu_rule: rule of the ReLUs between score and layer.
        zero: as in `mmcam.engine.run`.

    Raises:
        ExplainError: a network the rule is not defined for.
    """
    with contextlib.ExitStack() as stack:
        if relu_rule != "plain":
            stack.enter_context(stack.enter_context(ReluRule(relu_rule)).switch(True))
        evidence = run(question, question.layer, zero=zero)
    return replace(evidence, gradients=-evidence.gradients) if counterfactual else evidence


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
        if not isinstance(units, Iterable) or isinstance(units, str):
            raise ExplainError(f"units={units!r} is no list of channels; pass for example units=[0, 3].")
        wrong = [unit for unit in units if isinstance(unit, bool) or not 0 <= operator.index(unit) < channels]
        if wrong or not len(units):
            problem = f"There is no unit {wrong[0]}" if wrong else "The list of units is empty"
            raise ExplainError(f"{problem}; the layer has units 0…{channels - 1}.")
        neurons = activations.new_zeros(1, channels, 1, 1)
        neurons[:, list(units)] = 1
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

    def evidence(self, question: Question) -> Evidence:
        """The question's evidence under these options."""
        evidence = collect(question, counterfactual=self.counterfactual, relu_rule=self.relu_rule)
        if self.units is None and self.mask is None:
            return evidence
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

        @register(name, source, cost="1 forward, 1 backward to the layer", options=own | shared)
        def compute(question: Question, **options: Any) -> Maps:
            evidence = CamOptions(**{key: options[key] for key in options if key in shared}).evidence(question)
            values, weights = function(evidence, **{key: options[key] for key in options if key in own})
            return Maps(values, evidence.scores, weights, None if weights is None else evidence.activations)

        return function

    return add


register_cam("gradcam", "Selvaraju et al., Grad-CAM, arXiv 1610.02391, eqs. 1–2")(gradcam)
register_cam("gradcam++", "Chattopadhyay et al., Grad-CAM++, arXiv 1710.11063, eqs. 10 and 19")(gradcam_plus_plus)
register_cam("layercam", "Jiang et al., LayerCAM, IEEE TIP 2021, eqs. 6–8")(layercam)
register_cam("xgradcam", "Fu et al., Axiom-based Grad-CAM, arXiv 2008.02312, eq. 6")(xgradcam)
register_cam("hirescam", "Draelos & Carin, HiResCAM, arXiv 2011.08891, eq. 3")(hirescam)


@register(
    "cam",
    "Zhou et al., Learning Deep Features for Discriminative Localization, arXiv 1512.04150, eq. 2",
    cost="2 forwards, 1 backward to the layer",
    needs="a global average pool and one linear layer behind the layer",
)
def _cam(
    question: Question, *, units: Sequence[int] | None = None, mask: Any = None, counterfactual: bool = False
) -> Maps:
    _check_linear_head(question)
    evidence = collect(question, counterfactual=counterfactual)
    values, weights = cam(evidence)
    if units is not None or mask is not None:  # after the weights were found: a part of the cells shows no pooling
        neurons = chosen(evidence.activations, units, mask)
        weights = weights * neurons.amax(dim=(-2, -1))
        evidence = replace(evidence, activations=evidence.activations * neurons)
        values = weighted_sum(weights, evidence.activations)
    return Maps(values, evidence.scores, weights, evidence.activations)


_NEEDS_GAP = (
    "CAM needs a global average pool and one linear layer straight after the layer, which this model does not have; "
    "method='gradcam' generalises it to any model."
)


def _check_linear_head(question: Question) -> None:
    """Only one layer with weights may stand behind the layer, and nothing that bends the score."""
    q, layer = question, question.layer.name
    x = q.rows().per_text(q.x)
    calls = trace(q.model, lambda: q.forward(x, q.rows()), picture_of(x))
    modules = dict(q.model.named_modules())
    names = [call.name for call in calls]
    if layer not in names:
        return  # the engine says so better
    leaves = [m for name in names[names.index(layer) + 1 :] if not list((m := modules[name]).children())]
    linear = [m for m in leaves if isinstance(m, (nn.Linear, nn.Conv2d))]
    harmless = (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.Dropout, nn.Flatten, nn.Identity, nn.Linear, nn.Conv2d)
    if len(linear) != 1 or not all(isinstance(m, harmless) for m in leaves):
        raise ExplainError(_NEEDS_GAP)
