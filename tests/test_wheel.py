"""The wheel alone, without the checkout: demo, README and first pages run from it. And the editable install."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmcam.datasets.photographs import shipped

ROOT = Path(__file__).parent.parent
START = (ROOT / "docs" / "start.md").read_text()
PAGES = START + (ROOT / "docs" / "own.md").read_text() + (ROOT / "README.md").read_text()
PYTHON = "\n".join(re.findall(r"```python\n(.*?)```", PAGES, flags=re.DOTALL))
COMMANDS = [
    # As the first page has it, but of fewer pictures.
    line.partition("#")[0].replace("--n 1000", "--n 4").replace("vignettes:300", "vignettes:8")
    for block in re.findall(r"```sh\n(.*?)```", START, flags=re.DOTALL)
    for line in block.splitlines()
    # Networks for photographs are the user's, and the hub is not here.
    if line.startswith("mmcam ") and not ("photo.jpg" in line and "--model" in line)
]

ALONE = """
import runpy, sys
from pathlib import Path

installed = Path({installed!r})
for folder in [Path(each) for each in sys.path]:
    if folder != installed and ((folder / "mmcam").is_dir() or (folder / "mmcam_models.py").is_file()):
        sys.path.remove(str(folder))  # a checkout
import mmcam
import mmcam_models

assert Path(mmcam.__file__).is_relative_to(installed), mmcam.__file__
assert Path(mmcam_models.__file__).is_relative_to(installed), mmcam_models.__file__
"""


def built(kind: str, tree: Path, out: Path) -> Path:
    """A "wheel", "sdist" or "editable" of a tree."""
    out.mkdir(exist_ok=True)
    code = f"import hatchling.build; print(hatchling.build.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def install(wheel: Path, folder: Path) -> Path:
    """Install one wheel, and nothing that it depends on, into a folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder


def python(code: str, folder: Path, *path: Path) -> str:
    """What a Python of its own prints, in a folder, with others before all else on its path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed"))


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
def test_what_the_wheel_holds(wheel):
    assert wheel.stat().st_size < 100e6
    files = content(wheel)
    rooms = {name.partition("/")[0] for name in files if ".dist-info/" not in name}
    assert rooms == {"mmcam", "mmcam_models"}
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]
    for kind in ("*.py", "imagenet.*", "weights/*", "dissections/*", "foreign/*.py"):
        for file in (ROOT / "models").glob(kind):
            assert files[f"mmcam_models/{file.relative_to(ROOT / 'models')}"] == file.read_bytes()
    for file in (ROOT / "mmcam" / "datasets" / "photographs").glob("*.*"):
        assert files[f"mmcam/datasets/photographs/{file.name}"] == file.read_bytes()
    studies = ROOT / "mmcam" / "studies"
    for file in (*(studies / "vendor").iterdir(), *(studies / "page").glob("*.*")):
        assert files[str(file.relative_to(ROOT))] == file.read_bytes()


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel(wheel, tmp_path):
    with tarfile.open(built("sdist", ROOT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "tree", filter="data")
    (tree,) = (tmp_path / "tree").iterdir()
    assert content(built("wheel", tree, tmp_path / "again")) == content(wheel)


@pytest.mark.long
@pytest.mark.slow
def test_the_demo_of_the_wheel(installed, tmp_path):
    start = 'sys.argv = ["mmcam", "demo", "--out", "out"]; runpy.run_module("mmcam", run_name="__main__")'
    said = python(ALONE.format(installed=str(installed)) + start, tmp_path, installed)
    assert "because it sees" in said
    assert {file.stem for file in (tmp_path / "out").iterdir()} == {
        *("photo", "photo-class", "photo-caption", "photo-answer"),
        *("picture", "class", "caption", "answer", "why"),
    }


@pytest.mark.long
@pytest.mark.slow
def test_the_python_of_the_readme_from_the_wheel(installed, tmp_path):
    checks = """
assert maps.shape == (3, 2, 14, 14)
assert exp.target == "dog"
assert word.heatmap.shape == (224, 224)
"""
    python(ALONE.format(installed=str(installed)) + PYTHON + checks, tmp_path, installed)
    assert (tmp_path / "out" / "strip.png").is_file()
    assert (tmp_path / "out" / "word.npz").is_file()


@pytest.mark.slow
def test_the_commands_of_the_readme_from_the_wheel(installed, tmp_path):
    assert len(COMMANDS) >= 10
    assert COMMANDS[0].split() == ["mmcam", "demo"]
    code = """
from mmcam.cli import app

for command in {commands!r}:
    assert not app(command[1:], standalone_mode=False), command
"""
    for place in ("photo.jpg", "holiday/1.jpg", "more/2025/2.jpg", "listed.jpg"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(shipped().path.read_bytes())
    (tmp_path / "list.txt").write_text("listed.jpg\n")
    commands = code.format(commands=[shlex.split(command) for command in COMMANDS])
    python(ALONE.format(installed=str(installed)) + commands, tmp_path, installed)
    assert (tmp_path / "out" / "photo-caption-layercam.png").is_file()
    assert (tmp_path / "out" / "atlas.html").is_file()


@pytest.mark.slow
def test_the_editable_install(tmp_path):
    """Both names of the models are the checkout's files, and the demo's models are found."""
    folder = install(built("editable", ROOT, tmp_path / "wheel"), tmp_path / "installed")
    (path,) = folder.glob("*.pth")
    code = """
import mmcam, mmcam_models, models
from mmcam_models.captioner import Captioner
print(mmcam.__file__, mmcam_models.__file__, models.__file__, sep="\\n")
assert type(mmcam.models.load("vignette-captioner")) is mmcam_models.Captioner is Captioner
assert type(models.load("vignette-captioner")) is models.Captioner
mmcam.models.dissection("vignette-captioner")
"""
    # A folder of PYTHONPATH is no site: its .pth is not read.
    said = python(code, tmp_path, folder, *map(Path, path.read_text().split()))
    rooms = [ROOT / room / "__init__.py" for room in ("mmcam", "models", "models")]
    assert [Path(line) for line in said.splitlines()] == rooms
