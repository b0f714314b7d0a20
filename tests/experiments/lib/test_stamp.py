"""Every table says what it was measured with, from one place."""

import re
import subprocess

import torch

import mmcam
from experiments.lib import stamp as stamps
from experiments.lib.stamp import STAMP, line_of, stamp


def test_a_stamp_holds_what_its_line_tells():
    report = stamp("python -m x", pictures=1200, seed=3, libraries=("numpy",))
    assert tuple(report) == STAMP
    assert report["versions"].keys() == {"mmcam", "torch", "torchvision", "numpy", "python"}
    line = line_of({**report, "device": "a processor", "threads": 1, "commit": "abc1234-dirty"})
    assert line.startswith(f"Measured with mmcam {mmcam.__version__}, torch {torch.__version__}, torchvision ")
    assert line.endswith(", a processor, 1 thread, commit abc1234-dirty, 1,200 pictures, seed 3.")
    assert line_of({**report, "commit": "", "pictures": None, "seed": None, "threads": 2}).endswith(", 2 threads.")


def test_the_commit_is_the_checkouts_and_changes_of_results_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(stamps, "ROOT", tmp_path)
    stamps.commit.cache_clear()
    try:
        assert stamps.commit() == ""

        def git(*arguments):
            identity = ("-c", "user.name=a", "-c", "user.email=a@b")
            subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

        (tmp_path / "experiments" / "results").mkdir(parents=True)
        (tmp_path / "experiments" / "results" / "a.md").write_text("1")
        (tmp_path / "code.py").write_text("1")
        git("init")
        git("add", ".")
        git("commit", "-m", "One")
        found = []
        for changed in ("experiments/results/a.md", "code.py"):
            (tmp_path / changed).write_text("2")
            stamps.commit.cache_clear()
            found.append(stamps.commit())
        assert re.fullmatch("[0-9a-f]{7,}", found[0])
        assert found[1] == f"{found[0]}-dirty"
    finally:
        stamps.commit.cache_clear()
