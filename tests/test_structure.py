"""Arrows between the rooms of mmcam run one way, and importing it loads little."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FACE = "mmcam"  # mmcam/__init__.py

# From bottom to top: a room imports rooms of the floors below its own, and none beside it.
FLOORS = (
    ("errors", "files", "version", "progress"),
    ("image", "drawing"),
    ("datasets",),
    ("engine",),
    ("places",),
    ("methods", "tasks"),
    ("adapters",),
    ("preparation",),
    ("looked",),
    ("neurons",),
    ("report",),
    ("explanation",),
    ("explain", "grounding", "models"),
    ("evaluation", "comparison"),
    ("export",),
    (FACE,),
    ("diagnosis",),
    ("jobs",),
    ("app", "demo", "studies"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# What still points upwards: (from, to). To be emptied; an arrow that is gone has to leave the list, too.
KNOWN: frozenset[tuple[str, str]] = frozenset()

# Packages beside mmcam that it must not know, and who still does: to be emptied as well.
BESIDE: dict[str, list[str]] = {"models": [], "experiments": [], "tests": []}

# Imported on use, by those who need them.
HEAVY = (
    *("transformers", "timm", "torchvision", "gradio", "ray", "pandas", "matplotlib", "scipy", "nltk", "sklearn"),
    *("pyarrow", "duckdb", "fsspec"),
    *("cv2", "skimage", "captum", "gymnasium", "jinja2", "typer", "torch._dynamo"),
)


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of mmcam."""
    for path in sorted((ROOT / "mmcam").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


NAMES = {name for name, _ in modules()}


def imports(name: str, path: Path) -> Iterator[str]:
    """The modules that a module imports, anywhere in it: in functions, too, for type checkers only, or by a string."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in NAMES else source
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def room(module: str) -> str:
    """The first component below mmcam; `FACE` is mmcam itself, a room like the others."""
    return FACE if module == "mmcam" else module.split(".")[1]


def arrows() -> dict[tuple[str, str], list[str]]:
    """From which room to which, with the imports behind it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, path in modules():
        for target in imports(name, path):
            if target.split(".")[0] != "mmcam" or room(name) == room(target):
                continue
            found.setdefault((room(name), room(target)), []).append(f"{name} imports {target}")
    return found


def test_every_room_has_its_floor():
    assert {room(name) for name, _ in modules()} <= set(FLOOR)


def test_no_arrow_points_upwards():
    upwards = {pair: why for pair, why in arrows().items() if FLOOR[pair[0]] <= FLOOR[pair[1]]}
    assert {pair: why for pair, why in upwards.items() if pair not in KNOWN} == {}
    assert set(upwards) == KNOWN, "what has been put right leaves the list"


def test_rooms_form_no_circle():
    below: dict[str, set[str]] = {}
    for start, end in arrows().keys() - KNOWN:
        below.setdefault(start, set()).add(end)
    TopologicalSorter(below).prepare()  # raises a CycleError that names the circle


@pytest.mark.parametrize("package", BESIDE)
def test_the_library_knows_nothing_beside_it(package):
    knows = [name for name, path in modules() if package in {target.split(".")[0] for target in imports(name, path)}]
    assert knows == BESIDE[package]


def test_the_import_is_light():
    """Nothing heavy comes with mmcam that does not come with torch already."""
    code = f"""
import sys, torch
before = set(sys.modules)
import mmcam
print([name for name in {HEAVY!r} if name in sys.modules and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_an_explanation_loads_no_compiler():
    """torch's takes seconds to import, and nothing is compiled."""
    code = """
import sys
from PIL import Image
from torch import nn
import mmcam
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
mmcam.explain_class(net, Image.new("RGB", (40, 30), "red"), 1)
print([name for name in ("torch._dynamo", "torchvision", "timm", "transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_imports_are_read_wherever_they_stand(tmp_path):
    """What the tests above rest on."""
    source = """
from __future__ import annotations
import os, torch.nn as nn
from typing import TYPE_CHECKING
from mmcam.engine import run
from mmcam.engine.run import Evidence
from . import sibling
from .. import errors
if TYPE_CHECKING:
    from mmcam.explanation import Explanation
def later():
    from mmcam import report
    importlib.import_module("models")
"""
    path = tmp_path / "names.py"
    path.write_text(source)
    assert list(imports("mmcam.neurons.names", path)) == [
        "__future__", "os", "torch.nn", "typing", "mmcam.engine.run", "mmcam.engine.run", "mmcam.neurons",
        "mmcam.errors", "mmcam.explanation", "mmcam.report", "models",
    ]  # fmt: skip
    assert [room(name) for name in ("mmcam", "mmcam.errors", "mmcam.engine.run")] == [FACE, "errors", "engine"]
