"""Networks whose every ReLU is a module of its own and not in place: the only kind of which captum's hooks see each."""

from __future__ import annotations

import copy
from typing import Final

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

USES: Final = {BasicBlock: 2, Bottleneck: 3}
"""How often a forward pass of torchvision's blocks uses their one ReLU."""


def separate(model: nn.Module) -> nn.Module:
    """A copy of a network with the same outputs, in which no ReLU is shared or in place; module names stay.

    Args:
        model: any network; of those that share ReLUs, torchvision's ResNets are known.
    """
    twin = copy.deepcopy(model)
    for module in list(twin.modules()):
        if isinstance(module, (nn.ReLU, nn.ReLU6)):
            module.inplace = False
        elif isinstance(module, tuple(USES)):
            module.relu = InTurn(USES[type(module)])
    return twin


class InTurn(nn.Module):
    """Several ReLUs, each used once in a forward pass of the block that calls them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(count))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """The next one's output."""
        relu: nn.Module = self.relus[self.calls % len(self.relus)]
        self.calls += 1
        return relu(x)
