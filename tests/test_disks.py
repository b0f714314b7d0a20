"""Disks that are full or read-only: one sentence, nothing half-written, and what was there stays."""

import contextlib
import os
import resource
import subprocess

import pytest
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app

KINDS = ("png", "npz", "pdf", "svg", "jpg")


@pytest.fixture(scope="module")
def exp():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    return mmcam.explain_class(net, Image.effect_noise((300, 200), 80).convert("RGB"), 1)


@contextlib.contextmanager
def full_after(bytes_of_a_file: int):
    """As on a disk that fills up: the system refuses to make any file longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_of_a_file, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_fills_up(exp, kind, tmp_path):
    file = tmp_path / f"map.{kind}"
    file.write_bytes(b"before")
    with full_after(1000), pytest.raises(mmcam.ExplainError, match="File too large"):
        exp.save(file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == b"before"
    exp.save(file)
    assert file.stat().st_size > 1000


def test_the_command_on_a_disk_that_fills_up(photo, tmp_path):
    out = tmp_path / "out"
    with full_after(1000):
        done = CliRunner().invoke(app, ["explain", str(photo), "--model", "vignette-classifier", "--out", str(out)])
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "File too large" in said
    assert "Traceback" not in said
    assert not out.exists() or list(out.iterdir()) == []


@pytest.fixture
def read_only(tmp_path):
    """A file system that nobody can write to, not even root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_only_disk(exp, kind, read_only):
    with pytest.raises(mmcam.ExplainError, match="Read-only"):
        exp.save(read_only / f"map.{kind}")
    assert list(read_only.iterdir()) == []


def test_the_command_on_a_read_only_disk(photo, read_only):
    command = ["explain", str(photo), "--model", "vignette-classifier", "--out", str(read_only / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "Read-only" in said
    assert "Traceback" not in said
