"""`mmcam compare`, run as a person would."""

import json

import pytest
import torch
from PIL import Image
from torchvision import models as zoo
from typer.testing import CliRunner

from mmcam.cli import app

runner = CliRunner()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """What names a small network with random weights for seven classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(zoo.squeezenet1_1(num_classes=7).state_dict(), path)
    return ["--model", "torchvision:squeezenet1_1", "--weights", str(path)]


def run(*arguments):
    return runner.invoke(app, ["compare", *map(str, arguments)])


def test_repeated_options_all_count(photo, network, tmp_path):
    out = tmp_path / "new" / "figure.svg"
    result = run(photo, *network, "--class", 3, "--class", 5, "--method", "gradcam", "--method", "layercam",
                 "--box", "--peak", "--title", "Two & two", "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    text = out.read_text()
    for words in ("class 3", "class 5", "gradcam", "layercam", "Two &amp; two"):
        assert f">{words}" in text
    assert result.output.count("looked most at") + result.output.count("empty") == 4
    assert "figure.svg" in result.output


def test_json_and_the_size_asked_for(photo, network, tmp_path):
    out = tmp_path / "figure.png"
    result = run(photo, *network, "--class", 1, "--layer", "features.3", "--layer", "features.6",
                 "--width", 3, "--colours", "turbo", "--json", "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [exp["layer"] for exp in told["explanations"]] == ["features.3", "features.6"]
    assert told["figure"] == str(out)
    with Image.open(out) as figure:
        assert figure.width == pytest.approx(900, abs=3)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--class", "3", "--out", "figure.bmp"], 2, "is no figure"),
        (["--class", "3", "--word", "dog"], 2, "choose one of"),
        (["--class", "30"], 1, "30"),
        (["--class", "3", "--method", "nonsense"], 1, "nonsense"),
        (["--class", "3", "--colours", "nonsense"], 1, "no colour map"),
        (["--class", "3", "--width", "-1"], 1, "width= is a positive number"),
        (["--class", "3", "--scale", "word"], 1, "scale= of a list"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(photo, network, tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    result = run(photo, *network, *arguments)
    assert result.exit_code == code, result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert not [file for file in tmp_path.iterdir() if file.stem in ("figure", "comparison")]
