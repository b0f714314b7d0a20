"""Excitation backprop: hand a score down the network as a probability of winning, in shares that keep their sum."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import find_module, independent
from mmcam.engine.outputs import picture_of, score_of
from mmcam.engine.tap import Tap
from mmcam.errors import ExplainError
from mmcam.methods.excitation_head import at_once, by_cell
from mmcam.methods.excitation_rules import ExcitationRule
from mmcam.methods.registry import Maps, Question, register

_NEEDS = "convolutions, linear layers, pooling, batch norm, sums, concatenations and ReLUs between layer and classifier"
_COST = "1 forward; 1 forward and 1 backward of the layers behind the layer a target"


@register(
    "excitation_backprop",
    "Zhang et al., Top-down Neural Attention by Excitation Backprop, arXiv 1608.00507, eqs. 1–4",
    family="excitation",
    cost=_COST,
    needs=_NEEDS,
)
def excitation_backprop(question: Question, *, signed: bool = False, over_cells: bool = False) -> Maps:
    """Marginal winning probabilities at the layer, summed over its channels: (T,N,h,w), summing to 1 (see `_maps`)."""
    return _maps(question, False, signed, over_cells)


@register(
    "c_mwp",
    "Zhang et al., Top-down Neural Attention by Excitation Backprop, arXiv 1608.00507, section 3.3",
    family="excitation",
    cost=_COST,
    needs=_NEEDS,
)
def contrastive(question: Question, *, signed: bool = False, over_cells: bool = False) -> Maps:
    """Contrastive marginal winning probabilities: those for the target less those against it, where positive."""
    return _maps(question, True, signed, over_cells)


def _maps(question: Question, contrastive: bool, signed: bool, over_cells: bool) -> Maps:
    """Winning probabilities at the layer.

    They start at the *top*: the input of the classifier, which is the last layer with weights, or the output of the
    network that sees the picture where a language side follows. With g = dS/da there (the plain gradient: the
    classifier's weights, or the language side's slope) neuron i starts with p_i ∝ g⁺_i a_i. This is the paper's first
    step through a linear classifier; the same step with its weights negated gives q_i ∝ g⁻_i a_i, and the contrast is
    p − q. A classifier that gives scores at many cells, which are pooled afterwards, takes two steps: the pool's, by
    value, and the classifier's in each cell (`by_cell`). From the top to the layer p goes by the excitation rule.

    Args:
        question: what is explained.
        contrastive: p − q, where positive, in place of p.
        signed: activations count with their sign, not with their positive part (`rules`).
        over_cells: a classifier and the pool behind it are one linear layer, and p takes one step over all cells.

    Raises:
        ExplainError: the network uses an operation the rule is not defined for; the layer is not below the top; p and
            q differ in no cell of the layer.
    """
    q, n = question, len(question.x)
    layer = q.layer.name
    tap = Tap(q.layer, picture=picture_of(q.x))
    # Beside a language side, the part of the model that holds the layer is what sees the picture.
    vision = find_module(q.model, layer.partition(".")[0]) if q.language else None
    rule = ExcitationRule(signed)
    with as_found(q.model), tap.on(q.model):
        with rule.inside(vision), rule:
            output = tap.forward(lambda: q.forward(q.rows().per_text(q.x), q.rows()), 1)
        top, leaf = rule.top(), tap.leaf
        maps, scores = [], []
        with torch.enable_grad():
            for target in q.targets:
                score = score_of(target, output, n)
                if not score.requires_grad:
                    raise independent(layer, q.model)
                p = _started(q, rule, score, contrastive, signed, over_cells)
                p = torch.cat([p, p.new_zeros(len(top) - n, *p.shape[1:])])
                with rule.switch(True):
                    (won,) = torch.autograd.grad(top, leaf, p.to(top.dtype), retain_graph=True, allow_unused=True)
                if won is None:
                    raise ExplainError(
                        f"Layer {layer!r} does not lie below {rule.place()}, where winning probabilities start; "
                        "choose an earlier layer."
                    )
                won = torch.unflatten(won.float(), 0, (q.texts, n)).sum(0)
                if contrastive and rule.cells is not None and not over_cells and _cancel(won):
                    raise ExplainError(
                        f"What speaks for the target and what speaks against it share each cell of layer {layer!r} "
                        "alike, for the classifier scores every cell by itself; choose an earlier layer, or pass "
                        "over_cells=True, which reads the classifier over all cells."
                    )
                cam = won.sum(1)
                maps.append(cam if signed and not contrastive else cam.relu())
                scores.append(score.detach())
    return Maps(torch.stack(maps), torch.stack(scores))


def _started(
    q: Question, rule: ExcitationRule, score: Tensor, contrastive: bool, signed: bool, over_cells: bool
) -> Tensor:
    """p at the top for a target's scores (N,), or p − q.

    Raises:
        ExplainError: the score does not pass through the top.
    """
    n, top, cells = len(q.x), rule.top(), None if over_cells else rule.cells
    x = top.detach()[:n]

    def slope(place: Tensor | GradientEdge, ruled: bool = False) -> Tensor:
        with rule.switch(ruled):
            (found,) = torch.autograd.grad(score.sum(), [place], retain_graph=True, allow_unused=True)  # type: ignore[arg-type]
        if found is None:
            raise ExplainError(f"The score of the target does not pass through {rule.place()}.")
        if len(found) != q.texts * n:
            raise ExplainError(
                f"{n} pictures are {len(found)} rows at {rule.place()}, so winning probabilities of one picture cannot "
                "be told from another's; use method='gradcam'."
            )
        # Versions of a text see the same picture: their slopes add up, and its first row starts.
        return torch.unflatten(found.float(), 0, (q.texts, n)).sum(0)

    plain = slope(top)
    if cells is None:
        p = at_once(plain, x, signed)
        return p - at_once(-plain, x, signed) if contrastive else p
    won = slope(cells.scores, ruled=True)
    won = won * plain.flatten(1).any(1).view(-1, *[1] * (won.ndim - 1))  # a score that a ReLU cut off has no winners
    p = by_cell(cells.layer, won, x, False, signed)
    return p - by_cell(cells.layer, won, x, True, signed) if contrastive else p


def _cancel(won: Tensor) -> bool:
    """Contrasts (N,K,h,w) that add up to nothing in every cell, but for the rounding, though their channels do not.

    A cell where nothing speaks for the target, or nothing against it, is no exception: one side of it is lost.
    """
    both = (won.amax(1) > 0) & (won.amin(1) < 0)
    return bool(both.any() and (won.sum(1).abs() <= 1e-4 * won.abs().sum(1))[both].all())
