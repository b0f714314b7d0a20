"""Does the library find the right layer? Every classifier of torchvision and most families of timm, random weights.

For each architecture the default layer is found, the Grad-CAM of a class is made there, and six things are checked:

- the map is finite, and not one value everywhere (the map for the class or the one against it: a random network may
  have nothing that speaks for a class);
- it lies the right way round: one place of the picture is touched, a corner or one inside, and the activations, read as
  the map reads them, change most there. For tokens, the place is one cell and so is where it must show (or next to it):
  tokens read from the wrong one on wrap around the border, and are found out. Maps of convolutions can only be
  transposed or turned; for them the place is a third of each side, and it must show in the same quarter, because a deep
  random network spreads its pixels wide;
- the layer stands behind at least half of the modules, not at the stem;
- a network of convolutions alone is traced once, without gradients;
- the model is left as found: train flags, requires_grad, hooks, gradients, weights, and the random state;
- nothing is raised, unless there is no map to show and one sentence says so.

Weights are random. What their initialisation puts at or near zero (heads, last normalisations of residual branches,
layer scales) is drawn again, or no gradient would come through, and batch norms are fitted to a batch of noise.

Every result is kept in ``runs/layer-sweep/`` as soon as it is there, and a second run goes on where the first stopped.

    python -m experiments.checks.layer_sweep
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
import resource
import signal
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import timm
import torch
import torchvision
import typer
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

import mmcam
from experiments.lib.tables import keep, show
from mmcam.places.find import find_layer
from mmcam.places.grids import grid_at

SIDE: Final = 224
OBLONG: Final = (224, 160)
"""For every other network that takes any size: a map that is not square shows more mistakes."""
EARLY: Final = 0.5
"""Share of the modules behind which the layer must stand; of all others, VGG has most behind its layer."""
PICTURES: Final = 4
"""Pictures of noise in a batch, over which changes are added up."""
FAINT: Final = 0.003
"""How much of a colour is added to pixels of variance 1: much would turn a random network over, wherever it looks."""
NOISE: Final = 0.05
SIZES: Final = {
    *("test", "tiny", "small", "base", "large", "huge", "giant", "nano", "pico", "femto", "atto", "zepto", "micro"),
    *("mini", "medium", "big", "little", "lite", "plus", "xs", "xxs", "s", "m", "l", "b", "x", "xl", "xxl", "t", "g"),
    *("h", "p", "ti", "xlarge", "xsmall", "xxtiny", "titan", "gigantic", "xx", "tf", "jx"),
}
"""Words of a name that tell the size or the origin of a network and not its kind."""


@dataclass
class Row:
    """What became of one architecture.

    Attributes:
        model: "torchvision: NAME" or "timm: NAME".
        parameters: their number.
        size: (H,W) of the picture.
        layer: name of the layer found; "" if none.
        form: how it holds the map.
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
    map: tuple[int, ...] = ()
    verdict: str = ""
    note: str = ""
    depth: float = 0.0
    passes: float = 0
    offsets: tuple[int, ...] = ()
    seconds: float = 0.0


# ---------------------------------------------------------------------------------------------------------------------
# which networks, and how they are made


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
                model = built(name)
        except NotImplementedError:  # it computes its widths with tensors
            model = built(name)
        found[name] = sum(p.numel() for p in model.parameters()), type(model).__module__.rpartition(".")[2]
    keep(path, json.dumps(found))
    return found


def built(name: str, **options: Any) -> nn.Module:
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


def made(name: str) -> tuple[nn.Module, tuple[int, int]]:
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
                model, side = built(name, img_size=SIDE), SIDE
    model = model or built(name)
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


# ---------------------------------------------------------------------------------------------------------------------
# the checks


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
    row.map, row.depth, row.form = tuple(base.shape[1:]), depth(model, row.layer), form(model, row.layer, size)
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


def clouds(n: int, size: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise at a fine and a coarse scale, (n,3,H,W): of white noise alone, many averaging layers leave nothing."""
    coarse = torch.randn(n, 3, -(-size[0] // 16) + 1, -(-size[1] // 16) + 1, generator=generator)
    fine = torch.randn(n, 3, *size, generator=generator)
    return F.interpolate(coarse, tuple(size), mode="bilinear", align_corners=False) + 0.5 * fine


def quarter(share: Tensor) -> tuple[bool, bool]:
    """(lower, right): the quarter of a map (h,w) with the greatest mean; a middle row or column belongs to none."""
    h, w = (side // 2 for side in share.shape)
    corners = {(False, False): share[:h, :w], (False, True): share[:h, -w:]}
    corners |= {(True, False): share[-h:, :w], (True, True): share[-h:, -w:]}
    return max(corners, key=lambda key: float(corners[key].mean()))


def span(cell: int, count: int, cells: int, pixels: int) -> slice:
    """The pixels under `count` cells from one on."""
    return slice(cell * pixels // cells, -(-(cell + count) * pixels // cells))


def form(model: nn.Module, layer: str, size: tuple[int, int]) -> str:
    """How a layer holds its map, in words."""
    forms: list[str] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        tensor = output if isinstance(output, Tensor) else output[0]
        grid = grid_at(model, layer, tensor, size)
        forms.append(grid.form if grid else "")

    handle = model.get_submodule(layer).register_forward_hook(hook)
    try:
        mmcam.record(model, torch.zeros(1, 3, *size), layer)[layer]
    finally:
        handle.remove()
    return forms[0]


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


# ---------------------------------------------------------------------------------------------------------------------
# the run


def judged(name: str, limit: int) -> Row:
    """One network, built, checked and freed; what goes wrong is its verdict."""
    begun = time.perf_counter()

    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        model, size = made(name)
        return check(name, model, size)
    except TimeoutError:
        return Row(name, verdict="too slow", note=f"more than {limit} s", seconds=time.perf_counter() - begun)
    except Exception as error:  # the verdict of one network must not end the others
        note = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Row(name, verdict="error", note=note, seconds=time.perf_counter() - begun)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        gc.collect()


def main(
    count: Annotated[int, typer.Option(help="Networks of timm, at least one of each module and first word.")] = 250,
    limit: Annotated[int, typer.Option(help="Seconds a network may take.")] = 300,
    memory: Annotated[int, typer.Option(help="GiB a network may take.")] = 24,
    only: Annotated[str, typer.Option(help="Only names that match this expression; no table is written.")] = "",
    retry: Annotated[bool, typer.Option(help="Check again what was not right.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    runs: Annotated[Path, typer.Option(help="Folder for what is kept between runs.")] = Path("runs/layer-sweep"),
) -> None:
    """Write layer-sweep.json and .md."""
    warnings.filterwarnings("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    names = [name for name in chosen(runs, count) if re.search(only, name)]
    path = runs / "rows.jsonl"
    rows = {row["model"]: row for row in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    with path.open("a") as file:
        for name in names:
            if name in rows and not (retry and rows[name]["verdict"] != "right") and not only:
                continue
            row = asdict(judged(name, limit))
            rows[name] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(
                f"{row['verdict']:8} {name:50} {row['layer']:36} {row['form']} {row['map']} {row['note']}", flush=True
            )
    if not only:
        report([rows[name] for name in names], out, f"python -m experiments.checks.layer_sweep --count {count}")


def report(rows: list[dict[str, Any]], out: Path, command: str) -> None:
    """The table and the counts below it."""
    verdicts = Counter((row["model"].partition(":")[0], row["verdict"]) for row in rows)
    below = [""]
    for library in ("torchvision", "timm"):
        parts = [f"{n} {verdict}" for (own, verdict), n in sorted(verdicts.items()) if own == library]
        below.append(f"- {library}: {sum(n for (own, _), n in verdicts.items() if own == library)}: {', '.join(parts)}")
    below.append(f"- found by one forward without gradients: {sum(row['passes'] == 1 for row in rows)}")
    below.append(
        "- A map (N,K,h,w) is read as it is: where its change shows elsewhere, random gates or attention over the "
        "whole picture have moved it, not the reading."
    )
    for line in below[1:]:
        Console().print(line)
    head = ("model", "layer found", "form", "map K×h×w", "verdict", "note")
    cells = [
        [row["model"], row["layer"], row["form"], "×".join(map(str, row["map"])), row["verdict"], row["note"]]
        for row in sorted(rows, key=lambda row: (row["model"].startswith("timm"), row["model"]))
    ]
    versions = {m.__name__: m.__version__ for m in (mmcam, torch, torchvision, timm)}
    above = [
        f"`{command}`",
        "",
        ", ".join(f"{k} {v}" for k, v in versions.items()) + "; see the script for the checks.",
    ]
    table = {"command": command, "versions": versions, "rows": rows}
    show(out / "layer-sweep", table, head, cells, above, below)


if __name__ == "__main__":
    typer.run(main)
