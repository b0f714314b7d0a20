"""Networks with random weights through which a signal passes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def settle(model: nn.Module, x: Tensor) -> nn.Module:
    """Fit the batch-norm statistics to the random weights, so that no signal dies on the way."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        model.train()(x)
    return model.eval()
