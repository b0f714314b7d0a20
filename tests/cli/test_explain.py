"""The command line, run as a person would."""

import json
import re

import pytest
import torch
from PIL import Image
from torchvision import models as zoo
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app

runner = CliRunner()


@pytest.fixture
def weights(tmp_path):
    """Random SqueezeNet weights for seven classes, in a file."""
    torch.manual_seed(0)
    path = tmp_path / "squeezenet.pth"
    torch.save(zoo.squeezenet1_1(num_classes=7).state_dict(), path)
    return path


def run(*arguments):
    """Exit code and output of one command."""
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_explains_a_class_of_the_users_own_network(photo, weights, tmp_path):
    out = tmp_path / "out"
    result = run(
        "explain", photo, "--model", "torchvision:squeezenet1_1", "--weights", weights, "--class", 3, "--out", out
    )
    assert result.exit_code == 0, result.output
    with Image.open(out / "photo-class-3.png") as overlay:
        assert overlay.size == (90, 60)
    kept = mmcam.load_explanation(out / "photo-class-3.npz")
    assert kept.heatmap.shape == (60, 90)
    assert kept.target == "class 3"


def test_json_lists_every_picture_and_goes_on_after_a_bad_one(photo, weights, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    result = run(
        "explain",
        broken,
        photo,
        "--model",
        "torchvision:squeezenet1_1",
        "--weights",
        weights,
        "--json",
        "--out",
        tmp_path,
    )
    assert result.exit_code == 1
    first, second = json.loads(result.stdout)
    assert "cannot be read" in first["error"]
    assert second["method"] == "gradcam"
    assert len(second["files"]) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "torchvision:resnet5"], "the closest are"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--model", "nowhere_at_all:make"], "no module"),
        (["--model", "torchvision:squeezenet1_1", "--weights", "missing.pth"], "There is no weights file"),
        (["--device", "tpu9", "--model", "torchvision:squeezenet1_1"], "device"),
    ],
)
def test_mistakes_give_one_sentence_and_exit_code_1(photo, arguments, sentence):
    result = run("explain", photo, *arguments)
    assert result.exit_code == 1
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_wrong_layer_method_and_class_name_what_would_do(photo, weights, tmp_path):
    model = ["--model", "torchvision:squeezenet1_1", "--weights", weights, "--out", tmp_path]
    assert "did you mean" in run("explain", photo, *model, "--layer", "feature.12").output
    assert "did you mean 'gradcam'" in run("explain", photo, *model, "--method", "gradcm").output
    assert "no class 12" in run("explain", photo, *model, "--class", 12).output


def test_a_failed_download_says_what_to_do(photo, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(photo.parent / "empty"))
    result = run("explain", photo, "--model", "torchvision:resnet50")
    assert result.exit_code == 1
    assert "could not be downloaded (no network)" in result.output
    assert "--weights" in result.output


def test_one_task_at_a_time(photo):
    result = run("explain", photo, "--class", "dog", "--question", "what is it")
    assert result.exit_code == 2


def test_factory_in_the_current_folder(photo, tmp_path, monkeypatch):
    (tmp_path / "own_model.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)\n"
        "    )\n"
    )
    monkeypatch.chdir(tmp_path)
    result = run("explain", photo, "--model", "own_model:make", "--class", 1)
    assert result.exit_code == 0, result.output


def test_layers_marks_the_default():
    result = run("layers", "torchvision:resnet18", "--random", "--json")
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows if row["default"]] == ["layer4"]
    assert next(row for row in rows if row["name"] == "layer3")["shape"] == [256, 14, 14]


UNTRAINED = """
import torch
from mmcam import Preprocess
from torchvision.models import VisionTransformer

def make():
    torch.manual_seed(0)
    net = VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16)
    net.preprocess = Preprocess(size=(32, 32), mode="squash")
    return net
"""


def test_layers_of_a_network_whose_head_is_still_zero(tmp_path, monkeypatch):
    (tmp_path / "untrained_model.py").write_text(UNTRAINED)
    monkeypatch.chdir(tmp_path)
    result = run("layers", "untrained_model:make", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert next(row for row in rows if row["name"] == "encoder.layers.encoder_layer_1.ln_1")["shape"] == [16, 4, 4]
    assert not any(row["default"] for row in rows)
    assert "No default" in result.stderr
    assert "the weights of its last layer, 'heads.head', are all zero" in result.stderr


@pytest.mark.parametrize("spec", ["torchvision:resnet18x", "timm:resnet18x"])
def test_a_misspelt_network_gives_close_names(spec):
    for result in (run("layers", spec, "--random"), run("layers", spec)):
        assert result.exit_code == 1
        assert re.search(r"has no classifier 'resnet18x'; the closest are .*resnet18", result.output)


def test_timm_networks_need_their_weights_or_random_ones(photo, tmp_path):
    timm = pytest.importorskip("timm")
    result = run("explain", photo, "--model", "timm:test_resnet")
    assert result.exit_code == 1
    assert "timm:test_resnet needs --weights FILE" in result.output
    rows = json.loads(run("layers", "timm:test_resnet", "--random", "--json").stdout)
    assert [row["name"] for row in rows if row["default"]] == ["layer4"]
    # A network with a head of its own and normalisations that count.
    trained = timm.create_model("test_resnet", pretrained=False, num_classes=7).eval()
    torch.save(trained.state_dict(), tmp_path / "own.pth")
    model = ["--model", "timm:test_resnet", "--weights", tmp_path / "own.pth", "--out", tmp_path / "out"]
    result = run("explain", photo, *model, "--class", 3, "--json")
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)
    assert report["score"] == pytest.approx(mmcam.explain_class(trained, photo, 3).score, rel=1e-4)
    wrong = ["--model", "timm:test_vit", "--weights", tmp_path / "own.pth"]
    assert "do not fit timm's test_vit" in run("explain", photo, *wrong).output
