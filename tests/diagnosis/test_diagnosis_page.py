"""The commands that docs/diagnosis.md shows are ones that there are, with options that they have."""

import shlex
from pathlib import Path

import pytest
import typer

from mmcam.cli import app
from mmcam.cli.commands import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("mmcam ")]


@pytest.mark.parametrize("line", LINES)
def test_a_command_and_its_options_are_there(line):
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in COMMANDS
    group = typer.main.get_command(app)
    with typer.Context(group) as context:
        name, command, rest = group.resolve_command(context, words)
        made = command.make_context(name, list(rest), parent=context)  # raises for what there is not
    assert made.params.get("model") or name == "finetune", "it makes a model, where the others are given one"
