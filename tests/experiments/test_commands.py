"""Every command that a page, a script, a table or a model's card names can be typed as it stands there."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
PLACES = (
    "*.md", "docs/**/*.md", "data/*.md", "models/**/*.py", "models/weights/*.json", "mmcam/**/*.py", "tests/**/*.py",
    "experiments/**/*.py", "experiments/**/*.md", "experiments/**/*.jinja", "experiments/results/*.json",
)  # fmt: skip
COMMAND = re.compile(r"python -m\s+(experiments(?:\.\w+)*)((?:(?!python -m)[^\n|#\"])*)")
"""A module, and what follows on its line, in its cell of a table, or in its string."""


def commands():
    """The options named with each module, and the files that name them."""
    found = {}
    for path in sorted(
        {path for place in PLACES for path in ROOT.glob(place)} - {Path(__file__), ROOT / "CONTRIBUTING.md"}
    ):
        for module, rest in COMMAND.findall(path.read_text()):
            for option in ["", *re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)]:
                found.setdefault(module, {}).setdefault(option, set()).add(str(path.relative_to(ROOT)))
    return found


COMMANDS = commands()
SCRIPTS = sorted(
    f"experiments.{path.parent.name}.{path.stem}"
    for folder in ("train", "paper", "words", "checks", "pages")
    for path in (ROOT / "experiments" / folder).glob("*.py")
    if path.stem != "__init__"
)


@cache
def options(module):
    """All options of a script."""
    app = typer.Typer(add_completion=False)
    app.command()(importlib.import_module(module).main)
    parameters = typer.main.get_command(app).params
    return {"--help"} | {name for one in parameters for name in (*one.opts, *one.secondary_opts)}


@pytest.mark.parametrize("module", sorted(COMMANDS))
def test_commands_name_scripts_and_their_options(module):
    named = COMMANDS[module]
    assert module in SCRIPTS, named[""]
    assert {option: files for option, files in named.items() if option and option not in options(module)} == {}


@pytest.mark.parametrize("module", SCRIPTS)
def test_every_script_says_how_it_is_run_and_stands_in_the_list(module):
    assert f"python -m {module}" in importlib.import_module(module).__doc__
    assert "experiments/README.md" in COMMANDS[module][""]
