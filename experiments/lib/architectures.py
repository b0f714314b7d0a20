"""Classifiers of torchvision and timm with random weights that let signals through, and pictures of noise for them."""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

from experiments.lib.tables import keep

SIDE: Final = 224
OBLONG: Final = (224, 160)
"""For every other network that takes any size: a map that is not square shows more mistakes."""
SIZES: Final = {
    *("test", "tiny", "small", "base", "large", "huge", "giant", "nano", "pico", "femto", "atto", "zepto", "micro"),
    *("mini", "medium", "big", "little", "lite", "plus", "xs", "xxs", "s", "m", "l", "b", "x", "xl", "xxl", "t", "g"),
    *("h", "p", "ti", "xlarge", "xsmall", "xxtiny", "titan", "gigantic", "xx", "tf", "jx"),
}
"""Words of a name that tell the size or the origin of a network and not its kind."""


def chosen(runs: Path, count: int) -> list[str]:
    """All of torchvision, and of timm the smallest network of each module and first word, then of further kinds.

    Args:
        runs: where the numbers of parameters are kept (timm has no table of them; each is built without memory).
        count: of timm's networks, at least all first words.
    """
    sizes = known_sizes(runs)
    ours = [name for name in sizes if name.startswith("torchvision: ")]
    theirs = sorted((name for name in sizes if name.startswith("timm: ")), key=lambda name: (sizes[name][0], name))
    first: dict[Any, str] = {}
    further: dict[Any, str] = {}
    for name in theirs:
        words = re.findall("[a-z]+", name.removeprefix("timm: ").removeprefix("test_"))
        first.setdefault((sizes[name][1], words[0]), name)
        further.setdefault((sizes[name][1], frozenset(words) - SIZES), name)
    more = [name for name in further.values() if name not in first.values()]
    picked = [*first.values(), *more[: max(0, count - len(first))]]
    return sorted({*ours, *picked}, key=lambda name: (sizes[name][0], name))


def known_sizes(runs: Path) -> dict[str, tuple[int, str]]:
    """Parameters and module of every classifier of both libraries, counted once."""
    path = runs / "sizes.json"
    if path.exists():
        return {name: (count, module) for name, (count, module) in json.loads(path.read_text()).items()}
    found: dict[str, tuple[int, str]] = {}
    names = [f"torchvision: {name}" for name in zoo.list_models(module=zoo)]
    names += [f"timm: {name}" for name in timm.list_models()]
    for name in names:
        try:
            with torch.device("meta"):
                model = build(name)
        except NotImplementedError:  # it computes its widths with tensors
            model = build(name)
        found[name] = sum(p.numel() for p in model.parameters()), type(model).__module__.rpartition(".")[2]
    keep(path, json.dumps(found))
    return found


def build(name: str, **options: Any) -> nn.Module:
    """A network with random weights."""
    library, _, own = name.partition(": ")
    if library == "timm":
        if not settings(own).num_classes:  # built for features; a head makes it a classifier
            options = {"num_classes": 1000} | options
        return timm.create_model(own, pretrained=False, **options)
    if own in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": False} | options  # its own way to draw them takes minutes
    return zoo.get_model(own, weights=None, **options)


def settings(own: str) -> Any:
    """What timm knows of a network: the size of its pictures, whether it takes others, its number of classes."""
    return timm.models.get_pretrained_cfg(own)


def random_network(name: str) -> tuple[nn.Module, tuple[int, int]]:
    """A network that lets signals through, and the (H,W) it gets."""
    torch.manual_seed(zlib.crc32(name.encode()))
    library, _, own = name.partition(": ")
    side, fixed = SIDE, own.startswith(("vit_", "maxvit"))
    model = None
    if library == "timm":
        config = settings(own)
        side, fixed = config.input_size[-1], config.fixed_input_size
        if fixed and side > 256:
            with contextlib.suppress(TypeError, AssertionError, RuntimeError):  # not every network can be built smaller
                model, side = build(name, img_size=SIDE), SIDE
    model = model or build(name)
    sizes = [(side, side)]
    if not fixed:
        sizes.insert(0, (min(side, SIDE), min(side, SIDE)))
        if zlib.crc32(name.encode()) % 2:
            sizes.insert(0, OBLONG)
    for i, size in enumerate(sizes):
        try:
            enliven(model, clouds(2, size, torch.Generator().manual_seed(1)))
            return model, size
        except (RuntimeError, ValueError, AssertionError, IndexError):
            if i + 1 == len(sizes):
                raise
    raise AssertionError


def enliven(model: nn.Module, x: Tensor) -> None:
    """Draw again what was initialised at or near zero, and fit batch norms to pictures (N,3,H,W) of noise."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            faint = parameter.abs().max() < 1e-2 if parameter.numel() else False
            if not faint or name.endswith("bias"):
                continue
            if parameter.ndim > 1 and parameter.squeeze().ndim > 1:
                nn.init.normal_(parameter, std=0.02)
            else:
                parameter.fill_(0.1)
        norms = [module for module in model.eval().modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train()
            norm.momentum = None
        model(x)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum


def clouds(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise at a fine and a coarse scale, (n,3,H,W): of white noise alone, many averaging layers leave nothing."""
    coarse = torch.randn(n, 3, -(-size[0] // 16) + 1, -(-size[1] // 16) + 1, generator=generator)
    fine = torch.randn(n, 3, *size, generator=generator)
    return F.interpolate(coarse, tuple(size), mode="bilinear", align_corners=False) + 0.5 * fine
