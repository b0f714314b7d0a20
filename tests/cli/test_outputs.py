"""What the command line writes: nothing over another result, nothing half, and a sentence where it cannot."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mmcam.cli import app

FACTORY = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

def undefined():
    net = make()
    with torch.no_grad():
        net[4].bias.fill_(torch.nan)
    return net

def fails():
    raise RuntimeError("mine")

def leaves():
    raise SystemExit(0)

class Other:
    pass

def wants(a, b):
    return a
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "outputs_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(path, "PNG")
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def explain(*arguments, model="make"):
    return run("explain", *arguments, "--model", f"outputs_factory:{model}", "--class", 1)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_pictures_of_one_name_keep_their_own_files(here):
    same = [picture(here / "a" / "x.png", 1), picture(here / "b" / "x.png", 2), picture(here / "a" / "x.jpg", 3)]
    assert explain(*same, "--out", "all").exit_code == 0
    assert sorted(contents(here / "all")) == sorted(
        f"x{again}-class-1{end}" for again in ("", "-2", "-3") for end in (".png", ".npz")
    )
    for number, each in enumerate(same):
        explain(each, "--out", f"own{number}")
        own = contents(here / f"own{number}")
        assert set(own.values()) <= set(contents(here / "all").values())


def test_another_result_of_that_name_stays_and_the_same_one_takes_its_own_place(here):
    mine = picture(here / "x.png")
    explain(mine, "--out", "out")
    before = contents(here / "out")
    assert explain(mine, "--out", "out").exit_code == 0
    assert contents(here / "out") == before, "the same result, the same files"
    assert explain(mine, "--out", "out", "--layer", "0").exit_code == 0
    after = contents(here / "out")
    assert {name: after[name] for name in before} == before
    assert len(after) == 4


PLACES = {
    "a file": lambda here: here / "file",
    "below a file": lambda here: here / "file" / "below",
    "where nothing can be": lambda here: Path("/proc/nothing"),
    "a name too long": lambda here: here / ("n" * 300),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_cannot_be_written_is_a_sentence(here, place):
    (here / "file").write_bytes(b"mine")
    out = PLACES[place](here)
    result = explain(picture(here / "x.png"), "--out", out)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "cannot be written or read (" in result.stderr
    assert str(out)[:40] in result.stderr
    assert (here / "file").read_bytes() == b"mine"
    reported = explain(picture(here / "x.png"), "--out", out, "--json")
    assert "cannot be written or read (" in json.loads(reported.stdout)[0]["error"]
    for command in (["dissect", "outputs_factory:make", "--data", "vignettes:1"], ["vignettes", "--n", 1], ["demo"]):
        if command[0] == "dissect" and place == "a file":
            continue  # there, --out is no folder
        result = run(*command, "--out", out / "it" if command[0] == "dissect" else out)
        assert result.exit_code == 1, command
        assert isinstance(result.exception, SystemExit), command


def test_a_folder_where_the_file_should_be(here):
    (here / "out" / "x-class-1.png").mkdir(parents=True)
    result = explain(picture(here / "x.png"), "--out", "out")
    assert result.exit_code == 1
    assert "x-class-1.png cannot be written or read (Is a directory)" in result.stderr
    assert [path.name for path in (here / "out").iterdir()] == ["x-class-1.png"]


def test_a_full_disk_leaves_nothing(here, monkeypatch):
    """There is room for one of the two files."""
    fits = iter([True, False])

    def put(content, file):
        file.write(content)
        if not next(fits):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmcam.cli.telling._put", put)
    result = explain(picture(here / "x.png"), "--out", "out")
    assert result.exit_code == 1
    assert "(No space left on device)" in result.stderr
    assert list((here / "out").iterdir()) == []


NAMES = ["a[bold].png", "[red]x.png", "[x].png", "a\nb.png", "\x1b[31mred.png", "é" * 100 + ".png", "n" * 250 + ".png",
         " .png", "a'b\"c$(touch x).png", os.fsdecode(b"\xff\xfe.png")]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=str)
def test_pictures_of_any_name(here, name, more):
    result = explain(picture(here / "pictures" / name), "--out", "out", *more)
    assert result.exit_code == 0, result.stderr
    assert len(list((here / "out").iterdir())) == 2
    assert not more or len(json.loads(result.stdout)[0]["files"]) == 2


def test_json_has_no_nan(here):
    result = explain(picture(here / "x.png"), "--out", "out", "--json", model="undefined")
    json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("command", [["explain", "x.png"], ["why", "x.png"], ["layers", "vignette-vqa"],
                                     ["dissect", "vignette-vqa"]], ids=str)  # fmt: skip
def test_an_interrupted_command_ends_with_130(here, monkeypatch, command):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for module in ("explain", "neurons", "listing"):
        monkeypatch.setattr(f"mmcam.cli.{module}.load_model", interrupted)
    picture(here / "x.png")
    result = run(*command)
    assert result.exit_code == 130
    assert "Traceback" not in result.output


@pytest.mark.parametrize("model", ["outputs_factory:fails", "outputs_factory:leaves", "outputs_factory:Other",
                                   "outputs_factory:wants", "outputs_factory:nosuch", "outputs_factory:nn", "",
                                   "sys:exit", "broken:f", "raising:f", "..a:b", ":x", "x:", "a\0b", "n" * 5000],
                         ids=ascii)  # fmt: skip
def test_models_that_are_none(here, model):
    (here / "broken.py").write_text("def f(:\n")
    (here / "raising.py").write_text("1/0\n")
    for command in (["explain", picture(here / "x.png"), "--class", 1, "--model", model], ["layers", model]):
        result = run(*command)
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("device", ["xyz", "meta", "cuda:99", ""])
def test_devices_that_are_none(here, device):
    result = explain(picture(here / "x.png"), "--device", device)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("value", ["n", "n=", "=5", "n=" + "(" * 5000, "n=" + "-" * 100_000 + "1", "n=" + "9" * 5000,
                                   "n=" + "[" * 1000], ids=lambda text: text[:6])  # fmt: skip
def test_options_that_are_none(here, value):
    result = explain(picture(here / "x.png"), "--method", "smoothgrad", "--option", value)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("name", ["²", "--5", "9" * 5000, "99", "-1", "", " "], ids=lambda text: text[:4])
def test_classes_that_are_none(here, name):
    result = run("explain", picture(here / "x.png"), "--model", "outputs_factory:make", f"--class={name}")
    assert result.exit_code in (0, 1, 2)
    assert result.exit_code == 0 or isinstance(result.exception, SystemExit)


def test_a_dissection_takes_no_other_ones_place(here):
    table = here / "table.csv"
    table.write_text("picture,mask,name,category\nx.png,,meadow,scene\n")
    picture(here / "x.png")
    command = ["dissect", "outputs_factory:make", "--layer", "1", "--data", f"folder:{table}", "--out", "found"]
    assert run(*command).exit_code == 0
    before = contents(here)
    for more in ([], ["--out", "new", "--tally", "found.json"], ["--out", "new", "--atlas", "x.png"]):
        result = run(*command, *more)
        assert result.exit_code == 1
        assert "is there already; name another place" in result.stderr
    assert contents(here) == before
