"""Models that installed packages offer: found by name in all of them, and none of it by the name `models`."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mmcam
import models
from mmcam import ExplainError
from mmcam.datasets import vignettes
from mmcam.models import default, dissection, load, names, packages
from mmcam.models.specification import load_model

ROOT = Path(__file__).parents[2]
OTHER = """
import torch

DEFAULTS = {"class": "other-classifier", "counting": "other-counter"}

def names():
    return ("other-classifier", "other-counter")

def load(name, *, device="cpu", folder=None):
    model = torch.nn.Linear(2, 3).to(device).eval()
    model.loaded = (name, folder)
    return model

def builds(card):
    return card["model"] == "Counter"

def dissection(name):
    raise ValueError(f"nobody looked at {name}")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a module on the path with the metadata by which an installed package offers it."""

    def install(module: str, code: str) -> None:
        folder = tmp_path / f"of_{module}"
        metadata = folder / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[mmcam.models]\nmine = {module}\n")
        (folder / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def test_the_bundled_models_are_those_of_the_checkout():
    assert names() == models.names()
    for name in ("vignette-captioner", "vignette-classifier", "vignette-vqa"):
        model, same = load(name), models.load(name)
        assert not model.training
        assert type(model).__name__ == type(same).__name__
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert mmcam.models.load is load


def test_the_defaults_are_of_their_tasks():
    assert hasattr(load(default("class")), "classes")
    assert isinstance(load(default("caption")), mmcam.Captioner)
    assert isinstance(load(default("answer")), mmcam.VQAModel)
    with pytest.raises(ExplainError, match="No installed package has a model for the task 'counting'; name one"):
        default("counting")


def test_a_dissection_by_name():
    assert dissection("vignette-vqa").fingerprint == models.dissection("vignette-vqa").fingerprint
    with pytest.raises(ExplainError, match="No dissection comes with 'resnet'; make one with `mmcam dissect resnet`"):
        dissection("resnet")


def test_a_name_that_nobody_knows():
    with pytest.raises(ExplainError, match=rf"^There is no bundled model 'resnet'; there are {', '.join(names())}\.$"):
        load("resnet")
    with pytest.raises(ExplainError, match=r"vignette-vqa\. Others are named torchvision:NAME, timm:NAME, hf:NAME or"):
        load_model("resnet")
    with pytest.raises(ExplainError, match="There is no device 'gpu'; cpu or cuda would do"):
        load("vignette-vqa", device="gpu")


def test_a_run_folder(tmp_path):
    """What a training script writes: FOLDER/FOLDER.json and its weights."""
    run = tmp_path / "mine"
    run.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(models.WEIGHTS / f"vignette-classifier{suffix}", run / f"mine{suffix}")
    model, preprocess = load_model(str(run))
    assert preprocess is None
    assert model.classes == load(run).classes == models.load("vignette-classifier").classes
    weights = bytearray((run / "mine.safetensors").read_bytes())
    weights[-1] ^= 1
    (run / "mine.safetensors").write_bytes(weights)
    with pytest.raises(ExplainError, match=r"mine\.safetensors is not the one its card describes"):
        load(run)
    (run / "mine.json").write_text(json.dumps({"model": "Perceptron"}))
    with pytest.raises(ExplainError, match=r"No installed package builds the model 'Perceptron' that .*mine\.json"):
        load(run)
    (run / "mine.json").write_text("[]")
    with pytest.raises(ExplainError, match="is no card of a run"):
        load(run)


def test_a_name_is_looked_up_in_all_packages(install, tmp_path):
    install("others", OTHER)
    assert set(names()) == {*models.names(), "other-classifier", "other-counter"}
    assert load("other-counter").loaded == ("other-counter", None)
    assert type(load("vignette-vqa")).__name__ == "VQA"
    assert default("counting") == "other-counter"
    with pytest.raises(ExplainError, match="No dissection comes with 'other-counter'") as caught:
        dissection("other-counter")
    assert "nobody looked" in str(caught.value.__cause__)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"model": "Counter"}))
    assert load(run).loaded == ("run", run)


def test_two_packages_with_one_name(install):
    install("others", OTHER.replace("other-counter", "vignette-vqa"))
    assert type(load("vignette-captioner")).__name__ == "Captioner"
    with pytest.raises(ExplainError, match="2 installed packages offer a model 'vignette-vqa'; remove all but one"):
        load("vignette-vqa")


def test_a_package_that_is_broken(install):
    install("broken", "import nothing_of_that_name")
    with pytest.raises(ExplainError, match=r"models of 'broken' cannot be imported \(No module named 'nothing_of_that"):
        load("vignette-vqa")


def test_no_package_at_all(monkeypatch):
    monkeypatch.setattr(packages, "entry_points", lambda group: ())
    with pytest.raises(ExplainError, match="No installed package offers models; install mmcam, which brings"):
        load("vignette-vqa")
    with pytest.raises(ExplainError, match=r"No installed package offers models.* Others are named torchvision:NAME"):
        load_model("vignette-vqa")


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m mmcam`` in a folder, which is the first on its path."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "editable", os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mmcam", *arguments],
        cwd=folder, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_folder_that_holds_a_package_called_models(tmp_path):
    """It is never in the way, and its own factory can be named."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text(
        "import torchvision\n\ndef make():\n    return torchvision.models.resnet18(weights=None, num_classes=4)\n"
    )
    vignettes.draw(20_000_123).image.save(tmp_path / "picture.png")
    for arguments in (
        ("explain", "picture.png", "--class", "house", "--model", "vignette-classifier"),
        ("explain", "picture.png", "--class", "3", "--model", "models:make"),
    ):
        done = command(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "picture-house.png").is_file()
    assert (tmp_path / "out" / "picture-class-3.png").is_file()


def imported(path: Path) -> set[str]:
    """The packages that a file imports, by name or by string."""
    asked: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            asked += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            asked.append(node.module or "")
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            asked += [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return {name.partition(".")[0] for name in asked}


def test_the_library_imports_neither_models_nor_experiments():
    files = list((ROOT / "mmcam").rglob("*.py"))
    assert "models" in imported(Path(__file__))
    assert not {path for path in files if imported(path) & {"models", "experiments", "mmcam_models"}}
