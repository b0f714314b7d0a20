"""Regions and boxes on the command line."""

import json

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import detection, segmentation
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.cli.asking import place_of
from mmcam.cli.schema import SCHEMA

FACTORY = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)).eval()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "places_factory.py").write_text(FACTORY)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_click_a_box_and_a_mask(here):
    mask = Image.new("1", (90, 60))
    mask.paste(1, (10, 10, 40, 30))
    mask.save("mask.png")
    regions = ("--region", "12,20", "--region", "10,10,40,30", "--region", "mask.png")
    result = run("explain", "photo.png", "--model", "places_factory:make", *regions, "--class", 2, "--json")
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    jsonschema.validate(reports, json.loads(SCHEMA.read_text()))
    assert [each["region"]["kind"] for each in reports] == ["click", "box", "mask"]
    assert reports[1]["score"] == pytest.approx(reports[2]["score"], rel=1e-5), "the mask is the box"
    kept = mmcam.load_explanation(reports[2]["files"][1])
    assert kept.region.pixels.sum() == 600


def test_a_detectors_best_box_and_one_of_ones_own(here):
    torch.manual_seed(0)
    net = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    torch.save(net.state_dict(), "ssd.pth")
    model = ("--model", "torchvision:ssdlite320_mobilenet_v3_large", "--weights", "ssd.pth")
    result = run("explain", "photo.png", *model, "--box", "best", "--box", "10,10,60,50", "--class", "dog", "--json")
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    jsonschema.validate(reports, json.loads(SCHEMA.read_text()))
    assert [each["target"] for each in reports] == ["dog", "dog"]
    assert reports[0]["candidate"]["overlap"] == 1
    assert reports[1]["region"]["at"] == [10, 10, 60, 50]
    assert 0 < reports[1]["candidate"]["overlap"] < 1


def test_a_network_of_torchvision_that_segments(here):
    torch.manual_seed(0)
    torch.save(segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(), "net.pth")
    model = ("--model", "torchvision:lraspp_mobilenet_v3_large", "--weights", "net.pth")
    result = run("explain", "photo.png", *model, "--region", "20,30", "--class", "cat")
    assert result.exit_code == 0, result.output
    assert "cat in “pixel (20, 30)”" in result.output
    assert "shorter side 520" in result.output
    wrong = run(
        "explain", "photo.png", "--model", "torchvision:fcn_resnet50", "--weights", "net.pth", "--region", "1,1"
    )
    assert wrong.exit_code == 1
    assert "do not fit torchvision's fcn_resnet50" in wrong.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--region", "3,3"], "--region needs a --model that segments"),
        (["--box", "best"], "--box needs a --model that detects"),
        (["--region", "3,3", "--box", "best", "--model", "places_factory:make"], "leave one out"),
        (["--region", "3,3", "--top", "2", "--model", "places_factory:make"], "--top is of the whole picture's"),
        (["--region", "3,3", "--word", "dog"], "choose one of"),
    ],
)
def test_what_does_not_go_together(here, arguments, sentence):
    result = run("explain", "photo.png", *arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        ("3,3,2", "A region is a mask"),
        ("900,3", "lies outside of the picture"),
        ("no.png", "There is no picture at no.png"),
    ],
)
def test_a_region_that_is_none_is_one_sentence(here, region, sentence):
    result = run("explain", "photo.png", "--model", "places_factory:make", "--region", region)
    assert result.exit_code == 1
    assert sentence in result.output


def test_places_as_they_are_typed():
    assert place_of("3,4") == (3, 4)
    assert place_of("1,2,3.5,4") == (1, 2, 3.5, 4)
    assert place_of("best") is None
    assert place_of("a,b.png") == "a,b.png"
