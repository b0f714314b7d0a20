"""The first step of excitation backprop: from the score to the input of the last layer with weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from mmcam.methods.operations import Weighted, vjp


@dataclass(frozen=True)
class Cells:
    """A last layer with weights that gives scores at several cells, which a pool or the target makes into one.

    Attributes:
        layer: a convolution, or a linear layer over tokens.
        scores: the place of its output in the graph, which what overwrites the output later does not move.
    """

    layer: Weighted
    scores: GradientEdge


def cells_of(layer: Weighted, output: Tensor) -> Cells | None:
    """None where each row of the output has one cell only, and one step leads from the score to the layer's input."""
    cells = output.shape[1:-1] if layer.kind == "linear" else output.shape[2:]
    return Cells(layer, get_gradient_edge(output)) if cells.numel() > 1 and output.requires_grad else None


def at_once(slope: Tensor, x: Tensor, signed: bool) -> Tensor:
    """p_j ∝ g⁺_j x_j over everything in a row, g being the score's slope at x; 0 where nothing speaks for the target.

    Where a pool follows the layer, this reads both as one linear layer over all cells.
    """
    return shared(slope.relu() * _part(x.float(), signed), tuple(range(1, x.ndim)), signed)


def by_cell(layer: Weighted, p: Tensor, x: Tensor, negated: bool, signed: bool) -> Tensor:
    """From what the scores of every cell have won to the neurons that the layer sees in that cell.

    Cell u has won m_u ∝ (Σ_c p_cu)⁺, which is p_cu for a target that is one class c, and neuron j wins
    m_u x_j w⁺_uj / Σ_k x_k w⁺_uk, w_u = Σ_c p_cu w_c being the cell's weights for the target. A target that only speaks
    against classes has Σ_c |p_cu| in place of the sum.

    Args:
        layer: a convolution, or a linear layer over tokens.
        p: (N, …) at the layer's output, up to a factor; of classes that speak against the target negative.
        x: (N, …), the layer's input.
        negated: the layer's weights change their sign, the cells do not: the paper's dual units.
        signed: values count with their sign.
    """
    axis = p.ndim - 1 if layer.kind == "linear" else 1
    everything = tuple(range(1, p.ndim))
    won = p.sum(axis, keepdim=True)
    won = won if signed else won.relu()
    none = won.sum(everything, keepdim=True) == 0
    won = shared(torch.where(none, p.abs().sum(axis, keepdim=True), won), everything, signed)
    towards = p * won.sign()  # a cell below zero (signed) has not turned against the target
    weights = _weights(layer, -towards if negated else towards, x).relu()
    seen, back = vjp(lambda x: layer.weigh(x, _each(layer, x)), x)
    neurons = shared(weights * _part(seen.float(), signed), (axis,), signed)
    return back((won * neurons).to(x.dtype)).float()


def shared(parts: Tensor, axes: tuple[int, ...], signed: bool) -> Tensor:
    """The parts over their sum; 0 where that is not positive (signed: where it is 0)."""
    total = parts.sum(axes, keepdim=True)
    some = total != 0 if signed else total > 0
    return torch.where(some, parts / torch.where(some, total, 1.0), 0.0)


def _part(x: Tensor, signed: bool) -> Tensor:
    return x if signed else x.relu()


def _each(layer: Weighted, x: Tensor) -> Tensor:
    """Weights by which the layer gives, instead of scores, each value that it sees at a cell: (features, …)."""
    weight = layer.weight
    if layer.kind == "linear":
        return torch.eye(weight.shape[1], dtype=x.dtype, device=x.device)
    size = weight[0].numel()
    one = torch.eye(size, dtype=x.dtype, device=x.device).reshape(size, *weight.shape[1:])
    return one.repeat(x.shape[1] // weight.shape[1], 1, 1, 1)  # once a group


def _weights(layer: Weighted, p: Tensor, x: Tensor) -> Tensor:
    """w_u = Σ_c p_cu w_c for what `_each` lists: (N, features, h, w), of a linear layer (N, …, features)."""
    weight = layer.weight.detach().float()
    if layer.kind == "linear":
        return p @ weight
    groups = (x.shape[1] // weight.shape[1], -1)
    p, weight = p.unflatten(1, groups), weight.flatten(1).unflatten(0, groups)
    return torch.einsum("ngchw,gcs->ngshw", p, weight).flatten(1, 2)
