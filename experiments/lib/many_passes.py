"""Methods of many passes, beside the same passes alone: SmoothGrad, occlusion, RISE."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import mmcam
from experiments.lib.contestants import Run, Setting, likely, network, pictures, plain
from experiments.lib.peers import captum_occlusion
from mmcam.methods.perturbation import random_mask

AT_ONCE = 32
"""Pictures of a pass, as many as mmcam's."""
COPIES, MASKS = 50, 200


def smooth_task(setting: Setting) -> dict[str, Run]:
    """SmoothGrad over fifty noisy copies of a picture; "passes alone": as many forwards and backwards to the pixels."""
    name = "lite0"
    model, frozen, x = network(name, setting), network(name, setting).requires_grad_(False), pictures(1, setting)
    (target,) = likely(model, x)
    noisy = x + 0.5 * torch.randn(COPIES, *x.shape[1:], generator=torch.Generator().manual_seed(2)).to(x.device)

    def alone() -> None:
        for part in noisy.split(AT_ONCE):
            leaf = part.clone().requires_grad_()
            torch.autograd.grad(frozen(leaf)[:, target].sum(), leaf)

    return {
        "forward": plain(model, x),
        "passes alone": alone,
        "mmcam": lambda: mmcam.attribute(model, x, [target], method="smoothgrad", n=COPIES)[0],
    }


def occlusion_task(name: str, setting: Setting) -> dict[str, Run]:
    """Occlusion by squares of 32 pixels, 16 apart; "passes alone": as many forwards, of pictures as tensors lie."""
    model, x = network(name, setting), pictures(1, setting)
    (target,) = likely(model, x)
    return {
        "forward": plain(model, x),
        "passes alone": over(model, lambda: covered(x)),
        "mmcam": lambda: mmcam.attribute(model, x, [target], method="occlusion")[0],
        "mmcam, 16 classes": lambda: mmcam.attribute(model, x, likely(model, x, 16), method="occlusion")[:, 0],
        "captum": lambda: captum_occlusion(model, x, target),
    }


def rise_task(setting: Setting) -> dict[str, Run]:
    """RISE with 200 masks."""
    model, x = network("lite0", setting), pictures(1, setting)
    (target,) = likely(model, x)

    def masked() -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        for part in torch.arange(MASKS).split(AT_ONCE):
            masks = [random_mask(x.shape[-2], x.shape[-1], 7, 0.5, generator) for _ in part]
            yield x * torch.stack(masks)[:, None].to(x.device)

    return {
        "forward": plain(model, x),
        "passes alone": over(model, masked),
        "mmcam": lambda: mmcam.attribute(model, x, [target], method="rise", n=MASKS)[0],
    }


def over(model: nn.Module, changed: Callable[[], Iterator[Tensor]]) -> Run:
    """Forward passes of changed pictures."""

    @torch.no_grad()
    def run() -> None:
        for pictures_ in changed():
            model(pictures_)

    return run


def covered(x: Tensor, patch: int = 32, stride: int = 16) -> Iterator[Tensor]:
    """A picture (1,C,H,W) as it is, then with each square covered, a batch at a time."""
    height, width = x.shape[-2:]
    corners = [(top, left) for top in starts(height, patch, stride) for left in starts(width, patch, stride)]
    yield x
    for start in range(0, len(corners), AT_ONCE):
        part = corners[start : start + AT_ONCE]
        batch = x.repeat(len(part), 1, 1, 1)
        for one, (top, left) in zip(batch, part, strict=True):
            one[:, top : top + patch, left : left + patch] = 0
        yield batch


def starts(side: int, patch: int, stride: int) -> range:
    """Where squares begin along a side, so that the last reaches its end."""
    return range(0, max(side - patch, 0) + stride, stride)
