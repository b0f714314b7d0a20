"""A job's rows are what the explain functions say, whatever the processes, the order and the interruptions."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.jobs import shards
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source

ROOT = Path(__file__).parents[2]


def quiet(text):
    """Nobody is told."""


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def table(out):
    """All rows, sorted by what makes them one of a kind."""
    keys = [(key, "ascending") for key in ("id", "method", "asked", "kind", "position")]
    return mmcam.jobs.open(out).dataset.to_table().sort_by(keys)


def bytes_of(out):
    return {path.relative_to(out): path.read_bytes() for path in sorted(Path(out).rglob("*.parquet"))}


def test_rows_are_what_the_explain_function_says(desk, plan):
    done = run(plan(methods=("gradcam", "layercam"), keep_weights=True), read_source("photos"), "out", tell=quiet)
    assert (done.pictures, done.rows, done.errors) == (21, 40, 1)
    job = mmcam.jobs.open("out")
    model = mmcam.models.specification.load_model("net:make")[0]
    for name, results in job.items():
        for exp, method in zip(results, ("gradcam", "layercam"), strict=True):
            alone = mmcam.explain_class(model, f"photos/{name}", method=method)
            assert (exp.target, exp.method, exp.layer) == (alone.target, alone.method, alone.layer)
            assert exp.score == pytest.approx(alone.score, rel=1e-5)
            assert exp.peak() == alone.peak()
            assert exp.preparation == alone.preparation
            assert exp.geometry == alone.geometry
            assert exp.prediction.index == alone.prediction.index
            torch.testing.assert_close(exp.values, alone.values, rtol=1e-3, atol=1e-3 * float(alone.values.abs().max()))
            if method == "gradcam":
                torch.testing.assert_close(exp.weights, alone.weights, rtol=1e-4, atol=1e-7)
            np.testing.assert_array_equal(np.asarray(exp.image), np.asarray(alone.image))
    frame = job.to_pandas()
    first = mmcam.explain_class(model, f"photos/{frame['id'][0]}")
    assert tuple(frame.loc[0, ["left", "top", "right", "bottom"]]) == first.box()


def test_a_map_with_small_gradients_keeps_its_digits(desk, plan):
    """A float16 alone would be 0."""
    from mmcam.jobs.rows import results_of, rows_of

    model = mmcam.models.specification.load_model("net:make")[0]
    exp = mmcam.explain_class(model, "photos/red/00.png")
    faint = exp.__class__(**{**exp.__dict__, "values": exp.values * 1e-12})
    ((row, _),) = rows_of(faint, weights=False)
    (back,) = results_of([row], exp.image)
    torch.testing.assert_close(back.values, faint.values, rtol=1e-3, atol=1e-3 * float(faint.values.max()))


def test_a_job_goes_on_where_it_was_stopped(desk, plan):
    source = read_source("photos")
    run(plan(), source, "whole", tell=quiet)
    told = []
    run(plan(), source, "out", tell=told.append)
    (desk / "out" / "results" / shards.name(1)).unlink()
    (desk / "out" / "results" / shards.name(2)).write_bytes(b"PAR1 cut off")
    (desk / "out" / "results" / f".{shards.name(2)}.xyz").write_bytes(b"half")
    stamp = (desk / "out" / "results" / shards.name(0)).stat().st_mtime_ns
    done = run(plan(), source, "out", tell=told.append)
    assert done.pictures == 13
    assert told == ["8 of 21 pictures are done already, 13 are left."]
    assert (desk / "out" / "results" / shards.name(0)).stat().st_mtime_ns == stamp
    assert bytes_of("out") == bytes_of("whole")
    assert not list((desk / "out" / "results").glob(".*"))


def test_other_batches_give_the_same_to_a_hundred_thousandth(desk, plan):
    source = read_source("photos")
    run(plan(batch=4), source, "four", tell=quiet)
    run(plan(batch=7, shard=21), source, "seven", tell=quiet)
    four, seven = table("four"), table("seven")
    for column in ("id", "target", "peak", "box", "layer"):
        assert four[column].equals(seven[column])
    np.testing.assert_allclose(four["score"].to_numpy(), seven["score"].to_numpy(), rtol=1e-5)
    np.testing.assert_allclose(four["map_scale"].to_numpy(), seven["map_scale"].to_numpy(), rtol=1e-5)


@pytest.mark.slow
def test_processes_that_open_pictures_change_nothing(desk, plan):
    source = read_source("photos")
    run(plan(), source, "none", tell=quiet)
    run(plan(), source, "two", workers=2, tell=quiet)
    assert bytes_of("none") == bytes_of("two")


def begun(out, workers=0):
    """The command, in a process of its own."""
    words = ["run", "class", "--images", "photos", "--model", "net:make", "--out", out, "--shard", 2, "--batch", 2]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'editable'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "mmcam", *map(str, words), "--workers", str(workers)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_three_times_each_picture_is_there_once(desk):
    """Experiments.checks.job_kills does it fifty times, at other moments."""
    for parts in (1, 4, 7):
        process = begun("out")
        while len(list((desk / "out" / "results").glob("part-*"))) < parts and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert command("run", "class", "--images", "photos", "--model", "net:make", "--out", "out", "--shard", 2,
                   "--batch", 2).exit_code == 0  # fmt: skip
    assert command("run", "class", "--images", "photos", "--model", "net:make", "--out", "whole", "--shard", 2,
                   "--batch", 2).exit_code == 0  # fmt: skip
    assert bytes_of("out") == bytes_of("whole")
    ids = mmcam.jobs.open("out").to_pandas()["id"]
    assert len(ids) == len(set(ids)) == 20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_processes_that_open_pictures_end_with_a_killed_job(desk):
    process = begun("out", workers=2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not list((desk / "out" / "results").glob("part-*")):
        assert process.poll() is None
        time.sleep(0.002)
    started = [Path(f"/proc/{pid}") for pid in children.read_text().split()]
    process.kill()
    process.wait()
    assert started
    for _ in range(100):
        if not any(folder.exists() for folder in started):
            return
        time.sleep(0.1)
    raise AssertionError(f"{started} are still there")


def test_a_full_disk_is_told_and_the_job_goes_on(desk, plan, monkeypatch):
    """The disk takes two parts."""
    source, put = read_source("photos"), os.fsync
    written = []

    def full(handle):
        written.append(handle)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        put(handle)

    words = ("run", "class", "--images", "photos", "--model", "net:make", "--out", "out", "--shard", 8, "--batch", 4)
    monkeypatch.setattr(os, "fsync", full)
    refused = command(*words)
    assert refused.exit_code == 1
    assert "No space left on device" in refused.output
    assert "Traceback" not in refused.output
    monkeypatch.setattr(os, "fsync", put)
    assert command(*words).exit_code == 0
    run(plan(), source, "whole", tell=quiet)
    assert bytes_of("out") == bytes_of("whole")
