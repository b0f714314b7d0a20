"""What an explanation costs, beside the plain forward pass of its model and beside other libraries.

One interleaved run: every round times every contestant once, in a new order, so that a slow minute of the machine hits
all alike; the figures are ratios to that round's plain forward without gradients. Before anything is timed, the maps
are checked to agree. Peak memory is measured in a fresh process for each contestant.

    python -m experiments.checks.benchmark            # one core takes about an hour; writes experiments/results/
    python -m experiments.checks.benchmark --quick    # small pictures, few rounds: does everything still run?
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import torchvision
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.export import comma_separated, latex
from experiments.lib.memory import peak_of, peak_printed_by
from experiments.lib.separate import separate
from experiments.lib.settled import settle
from experiments.lib.stamp import device_name
from experiments.lib.tables import keep
from mmcam.engine.run import run as engine_run
from mmcam.files import write_whole
from mmcam.methods.cam import gradcam

RESULTS = Path(__file__).parents[1] / "results"
WORDS, VOCABULARY = 16, 1000
LAYERS = {"resnet50": "layer4", "vgg16": "features.29"}
TARGETS = {
    "resnet50 B16": 1.10,
    "vgg16 B16": 1.10,
    "resnet50 5 classes": 1.20,
    "resnet50+LSTM 16 words": 2.00,
    "resnet50 B16 guided": 1.15,
    "vgg16 B16 guided": 1.15,
}
"""Where the library means to be: at most so many plain forwards; for five classes, so many times one class; guided, so
many times a forward and a backward pass to the pixels."""

Run = Callable[[], Tensor | None]


@dataclass(frozen=True)
class Setting:
    """Picture side, batch, threads and rounds of one run."""

    side: int
    batch: int
    rounds: int
    threads: int
    device: str


@dataclass
class Cell:
    """One figure: how long a contestant took, in plain forwards of the same round, and its extra memory.

    Attributes:
        ratio, low, high: median and range over the rounds.
        ms: median time.
        mb: peak memory above what the loaded model and input take; None where it was not measured.
    """

    task: str
    name: str
    ratio: float
    low: float
    high: float
    ms: float
    mb: float | None = None


class Captioner(nn.Module):
    """ResNet-50, mean-pooled into the first step of an LSTM; random weights, since only the time counts."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        resnet = torchvision.models.resnet50(weights=None)
        self.encoder = nn.Sequential(*list(resnet.children())[:-2])
        self.picture = nn.Linear(2048, width)
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.output = nn.Linear(width, VOCABULARY)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (R, L) of the tokens (R, L), read beside the pictures."""
        first = self.picture(self.encoder(x).mean((2, 3)))[:, None].expand(len(tokens), -1, -1)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward of an RNN in eval mode, for anyone
            states, _ = self.lstm(torch.cat([first, self.embedding(tokens[:, :-1])], 1))
        return self.output(states).log_softmax(-1).gather(-1, tokens[:, :, None])[:, :, 0]


def network(name: str, setting: Setting) -> nn.Module:
    """A network with random weights on the setting's device."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    return settle(model, torch.randn(4, 3, 64, 64)).to(setting.device)


def pictures(n: int, setting: Setting) -> Tensor:
    """A batch of noise."""
    return torch.randn(n, 3, setting.side, setting.side, generator=torch.Generator().manual_seed(1)).to(setting.device)


def plain(model: nn.Module, *inputs: Tensor) -> Run:
    """The forward pass without gradients, which every figure is a multiple of."""

    def run() -> None:
        with torch.no_grad():
            model(*inputs)

    return run


def likely(model: nn.Module, x: Tensor, count: int = 1) -> list[int]:
    """The classes the model finds likeliest over a batch: their maps are not empty."""
    with torch.no_grad():
        return model(x).sum(0).topk(count).indices.tolist()


def torchcam_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """torchcam's Grad-CAM (N,h,w), not normalised."""
    import torchcam.methods

    with torchcam.methods.GradCAM(model, layer) as extractor:
        scores = model(x)
        return extractor(target, scores, normalized=False)[0]


def captum_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """captum's Grad-CAM (N,h,w)."""
    import captum.attr

    peer = captum.attr.LayerGradCam(model, model.get_submodule(layer))
    return peer.attribute(x, target, relu_attributions=True)[:, 0].detach()


def pgc_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """pytorch-grad-cam's Grad-CAM (N,H,W) at the picture's size, scaled to 0..1, on the CPU: it makes no other."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with pytorch_grad_cam.GradCAM(model, [model.get_submodule(layer)]) as peer:
        return torch.from_numpy(peer(x, [ClassifierOutputTarget(target)] * len(x)))


def batch_task(name: str, n: int, setting: Setting) -> dict[str, Run]:
    """One class for each picture of a batch."""
    model, x, layer = network(name, setting), pictures(n, setting), LAYERS[name]
    (target,) = likely(model, x)
    return {
        "forward": plain(model, x),
        "mmcam": lambda: mmcam.attribute(model, x, [target], layer=layer)[0],
        "torchcam": lambda: torchcam_maps(model, layer, x, target),
        "captum": lambda: captum_maps(model, layer, x, target),
        "pytorch-grad-cam": lambda: pgc_maps(model, layer, x, target),
    }


def classes_task(name: str, setting: Setting) -> dict[str, Run]:
    """Five classes of one picture; peers are called once a class."""
    model, x, layer = network(name, setting), pictures(1, setting), LAYERS[name]
    classes = likely(model, x, 5)

    def each(maps: Callable[[nn.Module, str, Tensor, int], Tensor]) -> Run:
        return lambda: torch.cat([maps(model, layer, x, c) for c in classes])

    return {
        "forward": plain(model, x),
        "mmcam, one class": lambda: mmcam.attribute(model, x, classes[:1], layer=layer)[:, 0],
        "mmcam": lambda: mmcam.attribute(model, x, classes, layer=layer)[:, 0],
        "torchcam": each(torchcam_maps),
        "captum": each(captum_maps),
        "pytorch-grad-cam": each(pgc_maps),
    }


def caption_task(setting: Setting) -> dict[str, Run]:
    """Every word of a caption of 16; peers, who know no captions, are given one word at a time as a class.

    "by hand" is what one would write: one forward pass with a hook on the layer, one backward pass a word.
    """
    torch.manual_seed(0)
    model = Captioner()
    settle(model.encoder, torch.randn(4, 3, 64, 64))
    model.eval().to(setting.device)
    x = pictures(1, setting)
    tokens = torch.randint(1, VOCABULARY, (1, WORDS), device=setting.device)
    layer = "encoder.7"

    class Read(nn.Module):
        """Pictures to the log-probabilities of the caption's words, as a peer wants a classifier."""

        def __init__(self) -> None:
            super().__init__()
            self.captioner = model

        def forward(self, pixels: Tensor) -> Tensor:
            return model(pixels, tokens.expand(len(pixels), -1))

    reader = Read().eval()
    targets = [lambda out, t=t: out[:, t] for t in range(WORDS)]

    def ours() -> Tensor:
        run = engine_run(model, lambda p, copies: model(p, tokens.repeat(copies, 1)), x, targets, layer)
        return gradcam(run)[0][:, 0]

    def by_hand() -> Tensor:
        kept: list[Tensor] = []

        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = model.get_submodule(layer).register_forward_hook(hook)
        scores = model(x, tokens)
        handle.remove()
        maps = []
        for t in range(WORDS):
            (gradient,) = torch.autograd.grad(scores[:, t].sum(), kept[0], retain_graph=True)
            maps.append((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu())
        return torch.cat(maps).detach()

    def each(maps: Callable[[nn.Module, str, Tensor, int], Tensor]) -> Run:
        return lambda: torch.cat([maps(reader, f"captioner.{layer}", x, t) for t in range(WORDS)])

    return {
        "forward": plain(model.encoder, x),
        "forward with text": plain(model, x, tokens),
        "mmcam": ours,
        "by hand": by_hand,
        "torchcam": each(torchcam_maps),
        "captum": each(captum_maps),
        "pytorch-grad-cam": each(pgc_maps),
    }


def guided_task(name: str, n: int, setting: Setting) -> dict[str, Run]:
    """Guided Grad-CAM of a batch, beside the least it could cost: a forward and a backward pass to the pixels."""
    model, x, layer = network(name, setting), pictures(n, setting), LAYERS[name]
    (target,) = likely(model, x)
    modules = separate(network(name, setting))  # captum's copy
    frozen = network(name, setting).requires_grad_(False)
    swapped = network(name, setting)  # pytorch-grad-cam's copy: its ReLUs do not come back as they were

    def ideal() -> None:
        pixels = x.clone().requires_grad_()
        torch.autograd.grad(frozen(pixels)[:, target].sum(), pixels)

    def captum_guided() -> Tensor:
        import captum.attr

        peer = captum.attr.GuidedGradCam(modules, modules.get_submodule(layer))
        return peer.attribute(x.clone().requires_grad_(), target, interpolate_mode="bilinear").detach()

    def by_pgc() -> Tensor:
        """Its GuidedBackpropReLUModel explains the first picture of a batch only, so it is called once a picture."""
        from pytorch_grad_cam import GuidedBackpropReLUModel

        cams = pgc_maps(swapped, layer, x, target)
        guided = GuidedBackpropReLUModel(model=swapped, device=setting.device)
        pixels = [torch.from_numpy(guided(picture[None], target_category=target)) for picture in x]
        return torch.stack(pixels).permute(0, 3, 1, 2) * cams[:, None]

    return {
        "forward": plain(model, x),
        "forward + backward to the pixels": ideal,
        "mmcam": lambda: mmcam.attribute(model, x, [target], layer=layer, method="guided_gradcam")[0],
        "captum": captum_guided,
        "pytorch-grad-cam": by_pgc,
    }


def tasks(setting: Setting) -> dict[str, Callable[[], dict[str, Run]]]:
    """All tasks by name; each is built when its turn comes."""
    b = setting.batch
    return {
        "resnet50 B1": lambda: batch_task("resnet50", 1, setting),
        f"resnet50 B{b}": lambda: batch_task("resnet50", b, setting),
        "vgg16 B1": lambda: batch_task("vgg16", 1, setting),
        f"vgg16 B{b}": lambda: batch_task("vgg16", b, setting),
        "resnet50 5 classes": lambda: classes_task("resnet50", setting),
        "resnet50+LSTM 16 words": lambda: caption_task(setting),
        "resnet50 B1 guided": lambda: guided_task("resnet50", 1, setting),
        f"resnet50 B{b} guided": lambda: guided_task("resnet50", b, setting),
        f"vgg16 B{b} guided": lambda: guided_task("vgg16", b, setting),
    }


def check(task: str, runs: dict[str, Run]) -> None:
    """Raise unless every contestant's maps agree with the library's, each brought to the others' size and scale."""
    mine = runs["mmcam"]()
    assert mine is not None
    for name, run in runs.items():
        if name.startswith(("forward", "mmcam")):
            continue
        theirs = run()
        assert theirs is not None
        theirs = theirs.to(mine.device)
        ours = mine
        if name == "pytorch-grad-cam":
            if "guided" in task:
                continue  # scaled map times unscaled gradient, with another handling of in-place ReLUs: timed only
            # It normalises each map to 0..1 and then resizes it.
            ours = mine - mine.amin((1, 2), keepdim=True)
            ours = ours / ours.amax((1, 2), keepdim=True).clamp(min=1e-30)
            ours = F.interpolate(ours[:, None], theirs.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
            ours = ours - ours.amin((1, 2), keepdim=True)
            ours = ours / ours.amax((1, 2), keepdim=True).clamp(min=1e-30)
        error = float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
        if not float(theirs.abs().max()) > 0:
            raise AssertionError(f"{task}: {name} gives empty maps, which agree with everything")
        if not error < 1e-2:
            raise AssertionError(f"{task}: {name} differs from mmcam by {error:.1e} of the maximum")


def timed(run: Run, device: str) -> float:
    """Seconds of one run, the device's queue emptied before and after."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(task: str, runs: dict[str, Run], setting: Setting) -> list[Cell]:
    """Interleaved rounds of all contestants; ratios within each round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    shuffle = random.Random(0)
    for name in order:
        runs[name]()  # the first run pays for imports, kernels and the search for a layer
    for _ in range(setting.rounds):
        shuffle.shuffle(order)
        for name in order:
            seconds[name].append(timed(runs[name], setting.device))
    cells = []
    for name, times in seconds.items():
        ratios = [t / f for t, f in zip(times, seconds["forward"], strict=True)]
        cells.append(
            Cell(task, name, statistics.median(ratios), min(ratios), max(ratios), 1000 * statistics.median(times))
        )
    return cells


def peak(task: str, name: str, setting: Setting) -> float:
    """Peak memory of one contestant above its loaded model and input, in MB, in this process: meant for a fresh one."""
    build = tasks(setting)[task]
    torch.set_num_threads(setting.threads)
    return peak_of(build()[name], setting.device)


def peak_apart(task: str, name: str, setting: Setting) -> float:
    """`peak` in a fresh process whose every tensor is given back to the system when it is freed."""
    asked = json.dumps([task, name, asdict(setting)])
    return peak_printed_by(["experiments.checks.benchmark", "--peak", asked], f"{task}, {name}")


def machine(setting: Setting) -> str:
    """The device and the versions, in one line."""
    device = device_name(setting.device)
    names = ("mmcam", "torch", "torchvision", "torchcam", "captum", "grad-cam")
    versions = ", ".join(f"{n} {mmcam.__version__ if n == 'mmcam' else version(n)}" for n in names)
    return f"{device}, {setting.threads} thread(s), {setting.side}×{setting.side} pictures, {versions}"


def table(cells: list[Cell]) -> list[list[str]]:
    """Rows of the printed table, with what the library was meant to reach beside it."""
    rows = []
    memory = {c.task: c.mb for c in cells if c.name == "forward"}
    ideal = {c.task: c.ratio for c in cells if c.name in ("forward + backward to the pixels", "mmcam, one class")}
    for c in cells:
        extra = "–" if c.mb is None else f"{c.mb:.0f}"
        if c.mb and (least := memory.get(c.task)) and c.name != "forward":
            extra += f" ({c.mb / least:.2f}×)"
        goal = ""
        if c.name == "mmcam" and c.task in TARGETS:
            reached = c.ratio / ideal.get(c.task, 1.0)
            of = "" if c.task not in ideal else " × the least" if "guided" in c.task else " × one class"
            goal = f"{reached:.2f}{of} (≤ {TARGETS[c.task]:.2f})"
        rows.append([c.task, c.name, f"{c.ms:.0f}", f"{c.ratio:.2f}", f"{c.low:.2f}–{c.high:.2f}", extra, goal])
    return rows


COLUMNS = ("task", "contestant", "ms", "× forward", "min–max", "extra peak MB", "aim")


def markdown(cells: list[Cell], setting: Setting, command: str) -> str:
    """The table as a page that says where it comes from."""
    lines = [
        "# What an explanation costs",
        "",
        f"Made by `{command}`: {machine(setting)}.",
        "",
        f"Medians of {setting.rounds} interleaved rounds; every time is divided by the plain forward without gradients "
        "of the same round. Random weights; the maps were checked to agree first. Memory is the peak above the loaded "
        "model and its input, in a process of its own. Peers explain several classes or words by one call each; "
        "pytorch-grad-cam returns NumPy maps at the size of the picture.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * 2 + "---:|" * 4 + "---|",
        *("| " + " | ".join(row) + " |" for row in table(cells)),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, print and write the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small pictures and few rounds, to see that all runs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="", help="tasks whose name holds this text")
    parser.add_argument("--without", nargs="*", default=[], metavar="CONTESTANT")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.peak:
        task, name, fields = json.loads(arguments.peak)
        print(peak(task, name, Setting(**fields)))
        return
    rounds = arguments.rounds or (3 if arguments.quick else 9)
    side, batch = (64, 4) if arguments.quick else (224, 16)
    setting = Setting(side, batch, rounds, arguments.threads, arguments.device)
    torch.set_num_threads(setting.threads)
    console = Console(width=150)
    console.print(machine(setting))
    cells: list[Cell] = []
    for task, build in tasks(setting).items():
        if arguments.only not in task:
            continue
        start = time.perf_counter()
        runs = {name: run for name, run in build().items() if name not in arguments.without}
        check(task, runs)
        made = measure(task, runs, setting)
        del runs
        if not arguments.no_memory:
            for cell in made:
                if arguments.quick and not cell.name.startswith(("forward", "mmcam")):
                    continue
                cell.mb = peak_apart(task, cell.name, setting)
        cells += made
        console.print(
            f"{task}: {time.perf_counter() - start:.0f} s, " + ", ".join(f"{c.name} {c.ratio:.2f}" for c in made)
        )
    shown = Table(*COLUMNS, title="Times in plain forwards")
    for row in table(cells):
        shown.add_row(*row)
    console.print(shown)
    stem = "benchmark-quick" if arguments.quick else f"benchmark-{setting.device}"
    options = " ".join(sys.argv[1:])
    text = markdown(cells, setting, f"python -m experiments.checks.benchmark {options}".strip())
    data = {"machine": machine(setting), "setting": asdict(setting), "cells": [asdict(cell) for cell in cells]}
    write_whole(RESULTS / f"{stem}.md", lambda file: file.write(text.encode()))
    write_whole(RESULTS / f"{stem}.json", lambda file: file.write(json.dumps(data, indent=1).encode()))
    keep(RESULTS / f"{stem}.csv", comma_separated([asdict(cell) for cell in cells]))
    keep(RESULTS / f"{stem}.tex", latex(COLUMNS, table(cells)))
    console.print(f"Written to {RESULTS / stem}.md, .json, .csv and .tex")


if __name__ == "__main__":
    main()
