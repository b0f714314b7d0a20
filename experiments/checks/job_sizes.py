"""What a job takes that grows with its pictures: time, memory, and room on the disk, for sizes ten times apart.

    python -m experiments.checks.job_sizes                       # 2,000, 10,000 and 50,000 JPEGs of 64×64
    python -m experiments.checks.job_sizes --engine ray --sizes 500,2000,8000

The network is so small that what is measured is the job around it. What a real network adds stands in job-throughput.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from experiments.lib.job_pictures import write_small
from experiments.lib.stamp import stamp
from experiments.lib.tables import show

NETWORK = "experiments.lib.job_pictures:network"
COLUMNS = (
    *("pictures", "seconds", "pictures a second", "CPU ms a picture", "peak MB", "MB written", "bytes a row", "parts"),
)


def main(
    sizes: Annotated[str, typer.Option(help="Numbers of pictures, with commas between them.")] = "2000,10000,50000",
    engine: Annotated[Literal["local", "ray"], typer.Option(help="As of `mmcam run`.")] = "local",
    workers: Annotated[int, typer.Option(help="Processes that open pictures; with ray, that explain them.")] = 1,
    shard: Annotated[int, typer.Option(help="Pictures of a part.")] = 256,
    beside: Annotated[str, typer.Option(help="A sentence about what ran beside it, for the table.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write job-sizes.json and .md, with ray job-sizes-ray."""
    counts = [int(text) for text in sizes.split(",")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            write_small(Path(folder) / str(count), count)
            rows.append(measured(Path(folder), count, ["--engine", engine, "--workers", workers, "--shard", shard]))
    name = "job-sizes" if engine == "local" else f"job-sizes-{engine}"
    command = f"python -m experiments.checks.job_sizes --engine {engine} --sizes {sizes} --workers {workers}"
    report = {**stamp(command, pictures=sum(counts), seed=0, libraries=("pyarrow",)), "beside": beside, "rows": rows}
    below = ["", beside] if beside else []
    show(Path(out) / name, report, COLUMNS, [cells(row) for row in rows], [f"`{command}`"], below)


def measured(folder: Path, count: int, options: list[Any]) -> dict[str, float]:
    """One job, in a process of its own."""
    place = folder / f"job-{count}"
    words = ["run", "class", "--images", folder / str(count), "--model", NETWORK, "--out", place, *options]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "mmcam", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    files = list((place / "results").glob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    return {
        "pictures": count, "seconds": seconds, "cpu": cpu, "peak_mb": after.ru_maxrss / 1000, "bytes": size,
        "parts": len(files),
    }  # fmt: skip


def cells(row: dict[str, float]) -> list[str]:
    """A row as it is printed."""
    count = row["pictures"]
    return [
        f"{count:,}", f"{row['seconds']:.0f}", f"{count / row['seconds']:.0f}", f"{1000 * row['cpu'] / count:.2f}",
        f"{row['peak_mb']:.0f}", f"{row['bytes'] / 1e6:.1f}", f"{row['bytes'] / count:.0f}", f"{row['parts']:.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
