"""Excitation backprop: hand a score down the network as a probability of winning, in shares that keep their sum."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.modules import find_module, independent
from mmcam.engine.outputs import picture_of, score_of
from mmcam.engine.tap import Tap
from mmcam.errors import ExplainError
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
def excitation_backprop(question: Question) -> Maps:
    """Marginal winning probabilities at the layer, summed over its channels: (T,N,h,w), summing to 1 (see `_maps`)."""
    return _maps(question, contrastive=False)


@register(
    "c_mwp",
    "Zhang et al., Top-down Neural Attention by Excitation Backprop, arXiv 1608.00507, section 3.3",
    family="excitation",
    cost=_COST,
    needs=_NEEDS,
)
def contrastive(question: Question) -> Maps:
    """Contrastive marginal winning probabilities: those for the target less those against it, where positive."""
    return _maps(question, contrastive=True)


def _maps(question: Question, contrastive: bool) -> Maps:
    """Winning probabilities at the layer.

    They start at the *top*: the input of the classifier, which is the last layer with weights, or the output of the
    network that sees the picture where a language side follows. With g = dS/da there (the plain gradient: the
    classifier's weights, or the language side's slope) neuron i starts with p_i ∝ g⁺_i a_i. This is the paper's first
    step through a linear classifier; the same step with its weights negated gives q_i ∝ g⁻_i a_i, and the contrast is
    p − q. From the top to the layer p goes by the excitation rule.

    Raises:
        ExplainError: the network uses an operation the rule is not defined for; the layer is not below the top.
    """
    q, n = question, len(question.x)
    layer = q.layer.name
    tap = Tap(q.layer, picture_of(q.x))
    # Beside a language side, the part of the model that holds the layer is what sees the picture.
    vision = find_module(q.model, layer.partition(".")[0]) if q.language else None
    rule = ExcitationRule()
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
                (slope,) = torch.autograd.grad(score.sum(), top, retain_graph=True, allow_unused=True)
                if slope is None:
                    raise ExplainError(f"The score of the target does not pass through {rule.place()}.")
                # Versions of a text see the same picture: their slopes add up, and its first row starts.
                slope = torch.unflatten(slope.float(), 0, (q.texts, n)).sum(0)
                p = _start(slope, top.detach()[:n])
                p = p - _start(-slope, top.detach()[:n]) if contrastive else p
                p = torch.cat([p, p.new_zeros(len(top) - n, *p.shape[1:])])
                with rule.switch(True):
                    (won,) = torch.autograd.grad(top, leaf, p.to(top.dtype), retain_graph=True, allow_unused=True)
                if won is None:
                    raise ExplainError(
                        f"Layer {layer!r} does not lie below {rule.place()}, where winning probabilities start; "
                        "choose an earlier layer."
                    )
                maps.append(torch.unflatten(won.float(), 0, (q.texts, n)).sum((0, 2)).relu())
                scores.append(score.detach())
    return Maps(torch.stack(maps), torch.stack(scores))


def _start(slope: Tensor, activations: Tensor) -> Tensor:
    """p_i = g⁺_i a⁺_i / Σ g⁺ a⁺ over the neurons of each row; 0 where no neuron speaks for the target."""
    share = slope.relu() * activations.float().relu()
    total = share.flatten(1).sum(1).view(-1, *[1] * (share.ndim - 1))
    return torch.where(total > 0, share / torch.where(total > 0, total, 1.0), 0.0)
