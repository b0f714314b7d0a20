"""Rules for the backward pass of a ReLU.

For a gradient g arriving at y = ReLU(x): plain ``g·[x>0]``; deconv ``g·[g>0]`` (Zeiler & Fergus, arXiv 1311.2901);
guided ``g·[x>0]·[g>0]`` (Springenberg et al., arXiv 1412.6806, fig. 1). ReLU6 counts as a ReLU that is also flat
above 6.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.methods.operations import Relu
from mmcam.methods.rule_mode import RuleMode, Table

Rule = Literal["plain", "guided", "deconv"]


def deconv(relu: Relu, gradient: Tensor, y: Tensor) -> Tensor:
    """g·[g>0]."""
    return gradient.clamp(min=0)


def guided(relu: Relu, gradient: Tensor, y: Tensor) -> Tensor:
    """g·[x>0]·[g>0]."""
    return relu.derivative(gradient, y).clamp_(min=0)  # in place: the derivative is ours


_TABLES: dict[Rule, Table] = {"plain": {}, "guided": {"relu": guided}, "deconv": {"relu": deconv}}


class ReluRule(RuleMode):
    """While active, every ReLU that runs can obey a rule in its backward pass (see `RuleMode`).

    Raises:
        ExplainError: an unknown rule; on the forward pass, where the network uses an activation the rules are not
            defined for.
    """

    def __init__(self, rule: Rule) -> None:
        if rule not in _TABLES:
            raise ExplainError(f"There is no rule {rule!r} for ReLUs; choose 'plain', 'guided' or 'deconv'.")
        super().__init__(rule, _TABLES[rule])
