"""Is the layer that the library finds in a network the right one, and does its map lie the right way round?"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

import mmcam
from experiments.lib.architectures import clouds
from mmcam.places.find import find_layer
from mmcam.places.survey import Spot, look, spot_at

EARLY: Final = 0.5
"""Share of the modules behind which the layer must stand; of all others, VGG has most behind its layer."""
PICTURES: Final = 4
"""Pictures of noise in a batch, over which changes are added up."""
FAINT: Final = 0.003
"""How much of a colour is added to pixels of variance 1: much would turn a random network over, wherever it looks."""
NOISE: Final = 0.05


@dataclass
class Row:
    """What became of one architecture.

    Attributes:
        model: "torchvision: NAME" or "timm: NAME".
        parameters: their number.
        size: (H,W) of the picture.
        layer: name of the layer found; "" if none.
        form: how it holds the map.
        cells: how it is known where its cells lie: "convolutional", "declared" or "measured".
        proof: bits of evidence, where it was measured.
        map: (K,h,w).
        verdict: "right"; "refused", rightly or not (see `note`); "wrong"; "error"; "too slow"; "left out".
        note: what is wrong, or the sentence of the error.
        depth: share of the model's modules that come before the layer's end, in the order of their names.
        passes: forwards of the model to find the layer; +1 for each with gradients.
        offsets: by how many cells the strongest change lies beside the changed place, greatest of rows and columns.
        seconds: for all checks.
    """

    model: str
    parameters: int = 0
    size: tuple[int, int] = (0, 0)
    layer: str = ""
    form: str = ""
    cells: str = ""
    proof: float | None = None
    map: tuple[int, ...] = ()
    verdict: str = ""
    note: str = ""
    depth: float = 0.0
    passes: float = 0
    offsets: tuple[int, ...] = ()
    seconds: float = 0.0


def check(name: str, model: nn.Module, size: tuple[int, int]) -> Row:
    """Find a model's layer, make a map there, and judge both."""
    row = Row(name, sum(p.numel() for p in model.parameters()), size)
    begun = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    x = clouds(1, size, generator)
    # A pattern of flags that nobody would set by chance; parameters without a gradient are common, too.
    for i, module in enumerate(model.modules()):
        module.training = i % 3 == 1
    for i, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(i % 2 == 0)
    before = state(model)

    def forward(pictures: Tensor) -> Any:
        row.passes += 1 + torch.is_grad_enabled()
        return model(pictures)

    try:
        row.layer = find_layer(model, forward, x)
        maps = mmcam.attribute(model, x, [score(1.0), score(-1.0)], layer=row.layer)
        found = faults(maps), placed(row, model, size, generator)
        early = "the layer stands before most others" if row.depth < EARLY else ""
        row.note = "; ".join(filter(None, (*found, early)))
        row.verdict = "wrong" if row.note else "right"
    except mmcam.ExplainError as error:
        row.verdict, row.note = "refused", str(error)
    if row.form == "a map" and row.passes > 1 and plain(model):
        row.note = "; ".join(filter(None, (row.note, f"a plain network cost {row.passes} passes")))
        row.verdict = "wrong"
    after = state(model)
    if changed := [key for key in before if before[key] != after[key]]:
        row.verdict, row.note = "wrong", f"{row.note} changed: {', '.join(changed)}".strip()
    row.seconds = time.perf_counter() - begun
    return row


def unchanged(model: nn.Module, size: tuple[int, int], known: Mapping[str, Any]) -> Row | None:
    """An earlier row with what is known of its cells, if the layer found and the map it shows are those of the row."""
    x = clouds(1, size, torch.Generator().manual_seed(0))
    try:
        layer = find_layer(model, model, x)
        spot = spot_of(model, layer, x)
    except mmcam.ExplainError:
        return None
    if (layer, spot.form, list(spot.map)) != (known["layer"], known["form"], list(known["map"])):
        return None
    return Row(**dict(known) | {"cells": spot.layer.cells, "proof": spot.bits})


def score(sign: float) -> Any:
    """The score of class 1, or against it: of a map of scores or of tokens, their mean."""

    def target(output: Any) -> Tensor:
        tensor = output if isinstance(output, Tensor) else output[0]
        if tensor.ndim == 4:
            tensor = tensor.mean((2, 3))
        return sign * (tensor.mean(1) if tensor.ndim == 3 else tensor)[:, 1]

    return target


def plain(model: nn.Module) -> bool:
    """All weights are those of convolutions, their batch norms and linear layers: one cheap forward is promised."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    return all(isinstance(m, kinds) for m in model.modules() if next(m.parameters(recurse=False), None) is not None)


def faults(maps: Tensor) -> str:
    """What is wrong with the maps (2,1,h,w) for and against a class."""
    if not torch.isfinite(maps).all():
        return "the map is not finite"
    if all(bool(m.max() - m.min() <= 1e-6 * m.abs().max()) for m in maps):
        return "the map is one value everywhere"
    return ""


def placed(row: Row, model: nn.Module, size: tuple[int, int], generator: torch.Generator) -> str:
    """A faint colour over one place changes the activations most there: in four corners and one place inside.

    What changes everywhere whichever place is touched (a global gate, an attention that looks at all cells alike) is
    subtracted: the share of each cell in the change is compared with its mean share over the places. Where few
    pictures leave a doubt, because a random network throws its pixels about, more decide, and then noise in place of a
    colour, which random attention notices better: by chance alone, all five places come out right once in a thousand.
    """
    base = mmcam.record(model, clouds(1, size, generator), row.layer)[row.layer]
    row.map, row.depth = tuple(base.shape[1:]), depth(model, row.layer)
    spot = spot_of(model, row.layer, clouds(1, size, generator))
    row.form, row.cells, row.proof = spot.form, spot.layer.cells, spot.bits
    faults = ""
    for batches, noise in ((1, False), (4, False), (16, True)):
        faults = misplaced(row, model, size, batches, noise, generator)
        if not faults:
            break
    return faults


def misplaced(
    row: Row, model: nn.Module, size: tuple[int, int], batches: int, noise: bool, generator: torch.Generator
) -> str:
    """What is wrong with the places of changes, by so many batches of pictures touched by a colour or by noise."""
    _, h, w = row.map
    # A convolution's patch is large enough to lie where its layer looks, and not in the border's padding alone.
    high, wide = (1, 1) if "tokens" in row.form else (max(1, h // 3), max(1, w // 3))
    places = [(0, 0), (0, w - wide), (h - high, 0), (h - high, w - wide), (h // 4, w // 4)]
    changes = torch.zeros(len(places), h, w)
    for _ in range(batches):
        x = clouds(PICTURES, size, generator)
        base = mmcam.record(model, x, row.layer)[row.layer]
        for (top, left), change in zip(places, changes, strict=True):
            noisy = x.clone()
            part = noisy[:, :, span(top, high, h, size[0]), span(left, wide, w, size[1])]
            colours = torch.randn(PICTURES, 3, 1, 1, generator=generator)
            part += NOISE * (colours + clouds(PICTURES, part.shape[2:], generator)) if noise else FAINT * colours
            change += (mmcam.record(model, noisy, row.layer)[row.layer] - base).norm(dim=1).sum(0)
    shares = changes / changes.sum((1, 2), keepdim=True)
    own = shares - shares.mean(0)
    if not own.isfinite().all():
        return "the activations do not change with the picture"
    if "tokens" not in row.form:
        sides = [(top + high / 2 > h / 2, left + wide / 2 > w / 2) for top, left in places]
        far = [place for place, side, share in zip(places, sides, own, strict=True) if quarter(share) != side]
        return f"what changes at {far} of {h}×{w} shows in another quarter" if far else ""
    peaks = [divmod(int(share.argmax()), w) for share in own]
    row.offsets = tuple(max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in zip(places, peaks, strict=True))
    far = [place for place, offset in zip(places, row.offsets, strict=True) if offset > 1]
    return f"what changes at {far} of {h}×{w} shows elsewhere" if far else ""


def quarter(share: Tensor) -> tuple[bool, bool]:
    """(lower, right): the quarter of a map (h,w) with the greatest mean; a middle row or column belongs to none."""
    h, w = (side // 2 for side in share.shape)
    corners = {(False, False): share[:h, :w], (False, True): share[:h, -w:]}
    corners |= {(True, False): share[-h:, :w], (True, True): share[-h:, -w:]}
    return max(corners, key=lambda key: float(corners[key].mean()))


def span(cell: int, count: int, cells: int, pixels: int) -> slice:
    """The pixels under `count` cells from one on."""
    return slice(cell * pixels // cells, -(-(cell + count) * pixels // cells))


def spot_of(model: nn.Module, layer: str, x: Tensor) -> Spot:
    """What is known of where a layer's cells lie."""
    spot = spot_at(model, look(model, model, x, layer), (layer, 0))
    assert spot is not None
    return spot


def depth(model: nn.Module, layer: str) -> float:
    """Where a layer's last module stands among all modules."""
    names = [name for name, _ in model.named_modules()]
    inside = [i for i, name in enumerate(names) if name == layer or name.startswith(f"{layer}.")]
    return (max(inside) + 1) / len(names)


def state(model: nn.Module) -> dict[str, Any]:
    """All that must be as it was."""
    modules, parameters = list(model.modules()), list(model.parameters())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "train flags": [module.training for module in modules],
        "requires_grad": [parameter.requires_grad for parameter in parameters],
        "hooks": [len(getattr(module, kind)) for module in modules for kind in hooks],
        "gradients": [parameter.grad is None for parameter in parameters],
        "random state": torch.get_rng_state().numpy().tobytes(),
        "weights": {name: zlib.crc32(t.contiguous().view(-1).numpy().tobytes()) for name, t in tensors(model)},
        "grad mode": torch.is_grad_enabled(),
    }


def tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, without graphs."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        yield name, tensor.detach()
