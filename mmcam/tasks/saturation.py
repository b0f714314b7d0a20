"""Why a target may have no gradient anywhere: it is a probability that is exactly 0 or 1."""

from __future__ import annotations

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.outputs import score_of
from mmcam.errors import IndependentError
from mmcam.tasks.graph import MOVING, behind

_SQUASHING = {
    "Softmax": "softmax",
    "LogSoftmax": "log-softmax",
    "Sigmoid": "sigmoid",
    "LogSigmoidForward": "log-sigmoid",
    "Hardsigmoid": "hard sigmoid",
    "Tanh": "tanh",
}
"""Functions that level out, by their names in autograd, and their ends."""

_LINEAR = (
    *MOVING,
    "Gather",
    "Stack",
    "Cat",
    "Sum",
    "Mean",
    "Add",
    "Sub",
    "Rsub",
    "Neg",
    "Mul",
    "Div",
    "MaskedFill",
    "Max",
)
"""What a target may do with a probability, by names in autograd."""


def saturation(c: Computation) -> IndependentError | None:
    """The error for targets without a gradient because a softmax or sigmoid has levelled out; None for other causes.

    Told by the graph of one more forward: a target's values are exactly 0, 1 or −1, and next behind it is such a
    function.
    """
    with as_found(c.model), torch.enable_grad():
        x = c.x.detach().clone().requires_grad_()
        output = c.forward(c.rows().per_text(x.clone()), c.rows())
        (block,) = c.rows().blocks(output)
        for target in c.targets:
            score = score_of(target, block, c.pictures)
            for node in behind(score, _LINEAR):
                if (name := _SQUASHING.get(node)) and _level(score.detach()):
                    value = f"{score[0].item():.3g}"
                    return IndependentError(
                        f"The target is saturated: it is {value}, from a {name} that has no gradient left there; "
                        f"explain the logits before the {name}, in a target function or from a model that returns them."
                    )
    return None


def _level(score: Tensor) -> bool:
    """Every value is at an end of a probability, of its logarithm, or of a difference of two."""
    near = 8 * torch.finfo(score.dtype).eps
    return bool(((score.abs() <= near) | ((score.abs() - 1).abs() <= near)).all())
