"""The commands that draw."""

import subprocess
import sys

from typer.testing import CliRunner

from mmcam.cli import app


def test_vignettes_writes_a_folder_once(tmp_path):
    """The first time as a person would start it, in a process of its own."""
    out = tmp_path / "world"
    command = ["vignettes", "--n", "3", "--split", "test", "--out", str(out)]
    assert subprocess.run([sys.executable, "-m", "mmcam", *command], check=False).returncode == 0
    assert (out / "contact-sheet.png").is_file()
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "Error:" in again.stderr
