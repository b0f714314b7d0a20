"""An entry of the zoo: how a network is built, what it is asked, and what a true explanation of it would be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

MAP, REFUSED, EITHER = "a right map", "a refusal", "a right map or a refusal"


@dataclass(frozen=True)
class Network:
    """One network of the zoo.

    Attributes:
        name: unique.
        build: an eval-mode module, under a seed.
        size: (C,H,W) of its pictures; wider than high where the network allows it, so that transposing shows.
        outcome: what the default layer must give. MAP where there are places to be shown; REFUSED where no layer that
            the answer depends on has any, or none that could be known; EITHER where the order can be told by measuring
            only, or hangs on the picture.
        word: a pattern in the sentence of a refusal.
        targets: two different ones.
        layers: named layers, and what each must give.
        call: of a layer that runs several times.
        long: takes several seconds.
    """

    name: str
    build: Callable[[], nn.Module]
    size: tuple[int, int, int] = (3, 64, 96)
    outcome: str = MAP
    word: str = ""
    targets: tuple[Any, Any] = (1, 2)
    layers: Mapping[str, str] = field(default_factory=dict)
    call: int | None = None
    long: bool = False

    def model(self) -> nn.Module:
        """The network with weights under which no signal dies or drowns on its way."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return lively(self.build(), self.size)


def lively(model: nn.Module, size: tuple[int, int, int]) -> nn.Module:
    """Fresh weights: as initialised, many a head or branch is zero, and a branch that is zero shows no fault.

    Batch normalisations get the statistics of noise, so that deep networks neither fade nor blow up.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _enliven(name, parameter)
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and m.track_running_stats]
    if norms:
        model.eval()
        for norm in norms:
            norm.train()
            norm.momentum = None
            norm.reset_running_stats()
        with torch.no_grad():
            model(torch.randn(4, *size))
    return model.eval()


def _enliven(name: str, parameter: nn.Parameter) -> None:
    last = name.rpartition(".")[2]
    if not parameter.is_floating_point():
        return
    if parameter.ndim <= 1 and "bias" not in last:
        # Of normalisations about one, of gates on a branch about a half.
        parameter.normal_(1.0 if parameter.abs().mean() > 0.1 else 0.5, 0.1)
    elif last == "weight" or last.endswith("_weight"):
        parameter.normal_(0, (1 / parameter[0].numel()) ** 0.5)
    elif parameter.ndim <= 1:
        parameter.normal_(0, 0.1)
    else:  # tokens and positions
        parameter.normal_(0, 0.3)
