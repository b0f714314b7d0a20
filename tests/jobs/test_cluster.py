"""On a Ray cluster of this machine: the same output, with a worker killed on the way, and on a fresh cluster."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mmcam
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source

pytest.importorskip("ray")
pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SLOW = """
import os, time
from pathlib import Path
import net

class Net(net.Net):
    def forward(self, x):
        with Path("calls").open("a") as file:
            file.write("x")
        time.sleep(3)
        return super().forward(x)

def make():
    Path("pids").mkdir(exist_ok=True)
    Path("pids", str(os.getpid())).touch()
    slow = Net()
    slow.load_state_dict(net.make().state_dict())
    return slow.eval()
"""
DRIVER = """
import sys
import ray
from mmcam.jobs.cluster import run_on_ray
from mmcam.jobs.plan import Plan
from mmcam.jobs.sources import read_source
from mmcam.jobs.wanted import Wanted

if __name__ == "__main__":
    ray.init(num_cpus=4, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    plan = Plan(Wanted("class", {"gradcam": {}}, how={"layer": None}), "slow:make", batch=1, shard=1)
    done = run_on_ray(plan, read_source("photos"), sys.argv[1], workers=2)
    print(done.rows, done.errors)
"""


def quiet(text):
    """Nobody is told."""


def contents(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(Path(out).rglob("*.parquet"))}


def driver(out):
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'editable'}:{Path.cwd()}",
        "OMP_NUM_THREADS": "1",
        "RAY_memory_monitor_refresh_ms": "0",  # else it kills actors when others use the machine's memory
    }
    return subprocess.Popen(
        [sys.executable, "driver.py", out], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def until(parts, process, out="out"):
    """Wait until so many parts are written."""
    while len(list(Path(out, "results").glob("part-*"))) < parts:
        assert process.poll() is None, process.stdout.read()[-3000:]
        time.sleep(0.01)


@pytest.fixture
def cluster(desk, plan):
    (desk / "slow.py").write_text(SLOW)
    (desk / "driver.py").write_text(DRIVER)
    run(plan(batch=1, shard=1), read_source("photos"), "whole", tell=quiet)
    return desk


def test_a_worker_is_killed_on_the_way(cluster):
    process = driver("out")
    while not (cluster / "calls").exists() or (cluster / "calls").stat().st_size < 4:
        assert process.poll() is None, process.stdout.read()[-3000:]
        time.sleep(0.05)
    actors = {int(file.name) for file in (cluster / "pids").iterdir()} - {process.pid}
    assert len(actors) == 2
    os.kill(min(actors), signal.SIGKILL)
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said[-3000:]
    assert "20 1" in said
    assert contents("out") == contents("whole")
    assert len({int(file.name) for file in (cluster / "pids").iterdir()} - {process.pid}) >= 3  # another one began


def test_driver_and_cluster_are_killed_and_a_fresh_cluster_goes_on(cluster):
    process = driver("out")
    until(3, process)
    process.kill()
    process.wait()
    before = {name: content for name, content in contents("out").items() if "results" in name}
    assert 3 <= len(before) < 21
    again = driver("out")
    said, _ = again.communicate(timeout=500)
    assert again.returncode == 0, said[-3000:]
    assert contents("out") == contents("whole")
    ids = mmcam.jobs.open("out").to_pandas()["id"]
    assert len(ids) == len(set(ids)) == 20


@pytest.mark.parametrize(
    ("cpus", "gpus", "said"),
    [(2, 0, "has 2 logical CPUs, and 2 workers need 4"), (4, 0.5, "has 0 GPUs, and 2 workers of 0.5 need 1")],
)
def test_a_cluster_that_is_too_small_is_told_before_it_hangs(desk, plan, cpus, gpus, said):
    import ray

    from mmcam.jobs.cluster import run_on_ray

    ray.init(num_cpus=cpus, object_store_memory=100 * 2**20, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(mmcam.ExplainError, match=said):
            run_on_ray(plan(), read_source("photos"), "out", workers=2, gpus=gpus, tell=quiet)
    finally:
        ray.shutdown()
