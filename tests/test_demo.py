"""The tour, as `make demo` gives it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.datasets.photographs import FOLDER, shipped
from mmcam.models import default, load

ROOT = Path(__file__).parents[1]
OF_A_PHOTOGRAPH = ("photo-class", "photo-caption", "photo-answer")
OF_A_VIGNETTE = ("picture", "class", "caption", "answer", "why")


def demo(out, *more):
    return CliRunner().invoke(app, ["demo", "--out", str(out), *more])


def test_the_demo_explains_its_photograph_and_a_vignette(tmp_path):
    result = demo(tmp_path)
    assert result.exit_code == 0, result.output
    for name in (*OF_A_PHOTOGRAPH, *OF_A_VIGNETTE):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width >= 224
    assert (tmp_path / "photo.png").read_bytes() == shipped().path.read_bytes()
    said = " ".join(result.output.split())
    assert shipped().credit in said
    answer = mmcam.explain_answer(load(default("answer")), shipped().path, shipped().question)
    assert f"“{shipped().question}?” — “{answer.target}”" in said
    assert "Why, in words" in said
    assert "because it sees" in said


def test_a_photograph_of_ones_own_and_another_vignette(tmp_path, photo):
    own = photo.rename(tmp_path / "my dog.png")
    result = demo(tmp_path / "out", "--photo", str(own), "--seed", "30000005")
    assert result.exit_code == 0, result.output
    assert {file.stem for file in (tmp_path / "out").iterdir()} == {*OF_A_PHOTOGRAPH, *OF_A_VIGNETTE}
    with Image.open(tmp_path / "out" / "photo-class.png") as picture:
        assert picture.width > picture.height, "the photograph beside its map"
    assert f"mmcam explain '{own}' --word" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--seed", "99000000"], "belongs to no split"),
        (["--photo", "nowhere.jpg"], "nowhere.jpg"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence_and_writes_nothing(tmp_path, more, sentence):
    result = demo(tmp_path, *more)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert not any(tmp_path.iterdir())


def test_the_photograph_is_small_and_its_credit_lies_beside_it():
    credits = json.loads((FOLDER / "credits.json").read_text())
    assert {file.name for file in FOLDER.iterdir() if file.suffix in {".jpg", ".png"}} == set(credits)
    for name, entry in credits.items():
        assert (FOLDER / name).stat().st_size < 150_000
        if not entry["licence"].startswith("https://creativecommons.org/licenses/by"):  # theirs are known by address
            assert "MIT License" in (FOLDER / entry["licence"]).read_text()
        assert entry["source"].startswith("http")
        assert entry["changes"]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_hands_a_photograph_over_as_one_argument():
    lines = subprocess.run(
        ["make", "-n", "demo", "PHOTO=my dog.jpg", "SEED=20000059"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'mmcam demo --photo "my dog.jpg" --seed 20000059 --out out' in lines
    bare = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--photo" not in bare
