"""Does a job keep up with a plain loop? Grad-CAM of a folder of photographs beside the bare forward of its network.

    python -m experiments.checks.job_throughput    # three minutes, on a machine that does nothing else

Both open the same JPEGs of 500×375 pixels by the same code, in the same batches, on one thread and in one process; the
job then makes a map, its peak and its box of each and writes them, and the loop throws its logits away. They take
turns, and the ratio is that of each turn. The processor's own seconds count. What a job does once is told apart:
to find the layer, to see that the rows of a batch are independent, to hash the weights.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torchvision
import typer
from PIL import Image
from torch import nn

from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.datasets import vignettes
from mmcam.jobs.plan import Plan, Worker
from mmcam.jobs.run import go_on
from mmcam.jobs.sources import Source, read_source
from mmcam.jobs.store import Store
from mmcam.jobs.wanted import Wanted

COLUMNS = ("network", "pictures", "loop, ms a picture", "job, ms a picture", "loop ÷ job", "least–most", "once, CPU s")


def resnet50() -> nn.Module:
    """With random weights."""
    return torchvision.models.resnet50(weights=None).eval()


def mobilenet_v2() -> nn.Module:
    """With random weights."""
    return torchvision.models.mobilenet_v2(weights=None).eval()


def main(
    pictures: Annotated[str, typer.Option(help="Of each network, resnet50 first.")] = "24,48",
    rounds: Annotated[int, typer.Option(help="Turns of both.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write job-throughput.json and .md."""
    torch.set_num_threads(1)
    counts = [int(text) for text in pictures.split(",")]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, count in zip(("resnet50", "mobilenet_v2"), counts, strict=True):
            source = photographs(Path(folder) / name, count)
            rows.append(compared(name, source, Path(folder), rounds))
    command = f"python -m experiments.checks.job_throughput --pictures {pictures} --rounds {rounds}"
    report = {**stamp(command, pictures=sum(counts), seed=0, libraries=("pyarrow", "pillow")), "rows": rows}
    cells = []
    for row in rows:
        times = [f"{row[key]:.1f}" for key in ("loop_ms", "job_ms")]
        ratios = [f"{row['ratio']:.3f}", f"{row['low']:.3f}–{row['high']:.3f}"]
        cells.append([row["network"], str(row["pictures"]), *times, *ratios, f"{row['once_s']:.1f}"])
    show(Path(out) / "job-throughput", report, COLUMNS, cells, [f"`{command}`"])


def photographs(folder: Path, count: int) -> Source:
    """JPEGs of 500×375, vignettes with noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for n in range(count):
        scene = vignettes.draw(vignettes.seed("val", n % 16)).image.resize((500, 375), Image.Resampling.BICUBIC)
        noise = random.integers(-10, 11, (375, 500, 1))
        pixels = np.clip(np.asarray(scene, np.int16) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:04d}.jpg", quality=90)
    return read_source(str(folder))


def compared(name: str, source: Source, folder: Path, rounds: int) -> dict[str, Any]:
    """The times of both, a picture, and their ratios."""
    plan = Plan(Wanted("class", {"gradcam": {}}, how={"layer": None}), f"experiments.checks.job_throughput:{name}")
    worker = Worker.load(plan, source)
    loops, jobs = [], []
    plain(worker, source, most=1)  # what is loaded on first use
    few = replace(source, items=source.items[: worker.batch])
    once = job(worker, few, folder / f"{name}-first") - job(worker, few, folder / f"{name}-second")
    for number in range(rounds):
        place, spent = folder / f"{name}-{number}", dict[str, float]()
        for which in ("loop", "job") if number % 2 else ("job", "loop"):
            spent[which] = plain(worker, source) if which == "loop" else job(worker, source, place)
        loop, made = spent["loop"], spent["job"]
        loops.append(1000 * loop / len(source.items))
        jobs.append(1000 * made / len(source.items))
    ratios = [loop / made for loop, made in zip(loops, jobs, strict=True)]
    return {
        "network": name, "pictures": len(source.items), "loop_ms": statistics.median(loops),
        "job_ms": statistics.median(jobs), "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
        "loops": loops, "jobs": jobs, "once_s": once,
    }  # fmt: skip


def plain(worker: Worker, source: Source, most: int | None = None) -> float:
    """Seconds of the loop, or of its first batches: open, prepare, forward."""
    start, decoder = time.process_time(), worker.decoder
    for batch in itertools.islice(worker.batches(source.items), most):
        opened: list[Any] = [decoder[item] for item in batch]
        with torch.no_grad():
            worker.model(torch.cat([one.x for one in opened]))
    return time.process_time() - start


def job(worker: Worker, source: Source, place: Path) -> float:
    """Seconds of the job; its network is there already."""
    start = time.process_time()
    go_on(worker, source, Store(str(place)), tell=lambda text: None)
    return time.process_time() - start


if __name__ == "__main__":
    typer.run(main)
