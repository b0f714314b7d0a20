"""The quick check says what became slower, and looks twice before it does."""

import json
from dataclasses import asdict

import pytest
import typer
from typer.testing import CliRunner

from experiments.checks import benchmark
from experiments.lib.rounds import Cell

APP = typer.Typer()
APP.command()(benchmark.main)
TASK = "mobilenet_v2 B16"


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Runs the quick check of one task, whose ratios are given one after the other."""
    rows = [asdict(Cell(TASK, name, ratio, ratio, ratio, 1.0)) for name, ratio in (("forward", 1.0), ("mmcam", 1.1))]
    (tmp_path / "benchmark-quick.json").write_text(json.dumps({"runs": {}, "rows": rows}))

    def run(*ratios):
        left = list(ratios)
        monkeypatch.setattr(benchmark, "timed", lambda *_, **__: [Cell(TASK, "mmcam", r := left.pop(0), r, r, 1.0)])
        done = CliRunner().invoke(APP, ["--quick", "--only", TASK, "--out", str(tmp_path), "--device", "cpu"])
        return done, left

    return run


def test_what_takes_as_long_as_recorded_passes(check):
    done, left = check(1.6, 9.0)
    assert (done.exit_code, left) == (0, [9.0])


def test_a_slow_row_is_timed_once_more(check):
    done, left = check(2.0, 1.2)
    assert (done.exit_code, left) == (0, [])


def test_what_stays_slow_is_told(check):
    done, left = check(2.0, 2.1, 1.9)
    assert (done.exit_code, left) == (1, [])
    assert f"{TASK}, mmcam: 1.90 forwards, and 1.10 were recorded" in done.output


def test_without_a_record_it_says_how_to_make_one(tmp_path):
    done = CliRunner().invoke(APP, ["--quick", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "--record" in done.output
