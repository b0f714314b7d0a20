"""The command line's methods: listing them, choosing one, its options, and several layers."""

import json
import re
from importlib import import_module

import numpy as np
import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

import mmcam
from mmcam import METHODS, cli
from mmcam.cli import listing
from mmcam.cli.commands import COMMANDS

runner = CliRunner()


FACTORY = """
import torch
from torch import nn
from mmcam import Preprocess

def make():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(6 * 32 * 32, 8), nn.ReLU(), nn.Linear(8, 5)
        )
    net.preprocess = Preprocess(size=(64, 64), mode="squash")
    return net
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """--model and --out for a small network in the current folder, in which layers have names such as "0"."""
    (tmp_path / "tiny_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return ["--model", "tiny_factory:make", "--out", tmp_path / "out"]


def run(*arguments):
    return runner.invoke(cli.app, [str(argument) for argument in arguments])


def expected(photo, **options):
    namespace = {}
    exec(FACTORY, namespace)
    return mmcam.explain_class(namespace["make"](), photo, 3, **options)


def written(tmp_path):
    (file,) = (tmp_path / "out").glob("photo-class-3*.npz")
    data = np.load(file)
    return torch.from_numpy(data["values"]), json.loads(str(data["meta"]))


def test_no_module_of_a_command_takes_the_place_of_the_app():
    """A module that is imported becomes an attribute of its package, over whatever had its name."""
    for module, _ in COMMANDS.values():
        import_module(module)
    assert isinstance(cli.app, typer.Typer)


# mmcam methods


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setattr(listing, "console", Console(width=400))


@pytest.mark.usefixtures("wide")
def test_methods_lists_every_method_with_its_options_cost_needs_and_source():
    result = run("methods")
    assert result.exit_code == 0, result.output
    rows = {line.split("│")[1].strip(): line for line in result.output.splitlines() if line.startswith("│")}
    assert METHODS.keys() == rows.keys() - {""}
    for name, method in METHODS.items():
        cells = [cell.strip() for cell in rows[name].split("│")[1:-1]]
        shown = [f"{option}={value!r}" for option, value in method.options.items() if option != "rows"]
        assert cells == [name, method.cost, ", ".join(shown), method.source]
        if method.needs:
            assert f"needs {method.needs}" in result.output
    for family in {method.family for method in METHODS.values()}:
        assert re.search(rf"^{family}\s*$", result.output, re.MULTILINE)


@pytest.mark.usefixtures("wide")
def test_methods_shows_one_registered_by_the_user():
    @mmcam.register("my_own_map", "Nobody, Nowhere", family="perturbation", cost="nothing")
    def compute(question, *, depth=3):
        raise NotImplementedError

    try:
        (line,) = [line for line in run("methods").output.splitlines() if "my_own_map" in line]
        assert [cell.strip() for cell in line.split("│")[1:-1]] == [
            "my_own_map",
            "nothing",
            "depth=3",
            "Nobody, Nowhere",
        ]
    finally:
        del METHODS["my_own_map"]


def test_methods_as_json_hold_everything():
    result = run("methods", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows] == list(METHODS)
    for row in rows:
        method = METHODS[row["name"]]
        assert row == {
            "name": method.name,
            "family": method.family,
            "options": dict(method.options),
            "cost": method.cost,
            "needs": method.needs,
            "source": method.source,
        }


# --method and --option


def test_options_of_a_method_reach_it(photo, model, tmp_path):
    options = ["--method", "occlusion", "--option", "patch=16", "--option", "stride=8"]
    result = run("explain", photo, "--class", 3, *model, *options)
    assert result.exit_code == 0, result.output
    values, meta = written(tmp_path)
    asked = expected(photo, method="occlusion", patch=16, stride=8)
    torch.testing.assert_close(values, asked.values)
    assert not torch.allclose(values, expected(photo, method="occlusion").values)
    assert (meta["method"], meta["layer"]) == ("occlusion", "pixels")


@pytest.mark.parametrize(
    ("method", "given", "options"),
    [
        ("gradcam", ["relu=False", "pooling=max"], {"relu": False, "pooling": "max"}),
        ("gradcam", ["pooling='max'"], {"pooling": "max"}),
        ("gradcam", ["units=[0,2]", "counterfactual=True"], {"units": [0, 2], "counterfactual": True}),
        ("occlusion", ["patch=16", "stride=16", "fill=-0.5"], {"patch": 16, "stride": 16, "fill": -0.5}),
        ("smoothgrad", ["of=guided_backprop", "n=2"], {"of": "guided_backprop", "n": 2}),
        ("smooth_gradcam++", ["n=2", "numerator=first"], {"n": 2, "numerator": "first"}),
        ("gradcam++", ["normalise=True", "normalise=False"], {"normalise": False}),
    ],
    ids=["words and truth values", "quoted", "list", "negative number", "a method", "of two words", "the last counts"],
)
def test_options_become_what_they_look_like(photo, model, tmp_path, method, given, options):
    flags = [part for text in given for part in ("--option", text)]
    result = run("explain", photo, "--class", 3, *model, "--method", method, *flags)
    assert result.exit_code == 0, result.output
    values, meta = written(tmp_path)
    assert values.any()
    torch.testing.assert_close(values, expected(photo, method=method, **options).values)
    assert not torch.allclose(values, expected(photo, method=method).values)
    assert meta["method"] == method


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--method", "occlusion", "--option", "size=64"],
            "Error: Method 'occlusion' has no option 'size'; its options are patch, stride, fill, rows, dtype; "
            "did you mean 'stride'?",
        ),
        (
            ["--method", "guided_backprop", "--option", "n=3"],
            "Error: Method 'guided_backprop' has no option 'n'; it has none.",
        ),
        (["--option", "foo"], "Error: --option 'foo' is not NAME=VALUE; write for example --option n=50."),
        (["--option", "patch"], "Error: --option 'patch' is not NAME=VALUE; write for example --option n=50."),
        (
            ["--option", "foo=1"],
            "Error: Method 'gradcam' has no option 'foo'; its options are "
            "relu, absolute, pooling, units, mask, counterfactual, relu_rule.",
        ),
        (
            ["--method", "occlusion", "--option", "patch=8", "--option", "stride=9"],
            "{photo}: patch=8 with stride=9 leaves gaps; pass 1 ≤ stride ≤ patch.",
        ),
        (
            ["--method", "smoothgrad", "--option", "steps=9"],
            "{photo}: Method 'gradient' has no option 'steps'; it has none.",
        ),
        (
            ["--method", "smoothgrad", "--option", "n=0"],
            "{photo}: n=0 copies with noise sigma=0.15 cannot be made; n is at least 1, sigma at least 0.",
        ),
        (
            ["--option", "pooling=median"],
            "{photo}: There is no pooling 'median' of gradients; choose 'mean' or 'max'.",
        ),
        (["--option", "units=[6]"], "{photo}: There is no unit 6; the layer has units 0…5."),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_code_1(photo, model, tmp_path, arguments, sentence):
    result = run("explain", photo, "--class", 3, *model, *arguments)
    assert result.exit_code == 1
    assert result.output.strip() == sentence.format(photo=photo)
    assert isinstance(result.exception, SystemExit)
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_is_one_sentence_with_options_too(photo, model):
    result = run("explain", photo, "--class", 3, *model, "--method", "oclusion", "--option", "patch=16")
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no method 'oclusion'; did you mean 'occlusion'? There are: ")
    assert "Traceback" not in result.output


def test_a_method_without_a_layer_explains_a_model_without_one(photo, tmp_path, monkeypatch):
    (tmp_path / "bare_factory.py").write_text(
        "from torch import nn\n"
        "from mmcam import Preprocess\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))\n"
        "    net.preprocess = Preprocess(size=(8, 8), mode='squash')\n"
        "    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    model = ["--model", "bare_factory:make", "--out", tmp_path / "out", "--class", 1]
    result = run(
        "explain", photo, *model, "--method", "occlusion", "--option", "patch=2", "--option", "stride=2", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["layer"] == "pixels"
    result = run("explain", photo, *model)
    assert result.exit_code == 1
    assert result.output.strip() == f"{photo}: No layer of Sequential gives a spatial map (N,K,h,w) larger than 1×1."


# --layer, once or more


def test_several_layers_are_fused(photo, model, tmp_path):
    result = run("explain", photo, "--class", 3, *model, "--layer", 3, "--layer", 1, "--method", "layercam")
    assert result.exit_code == 0, result.output
    values, meta = written(tmp_path)
    asked = expected(photo, layer=["3", "1"], method="layercam")
    assert meta["layer"] == asked.layer == "3 + 1"
    assert values.shape == (64, 64)
    torch.testing.assert_close(values, asked.values)


def test_several_layers_are_multiplied(photo, model, tmp_path):
    layers = ("--layer", 3, "--layer", 1)
    result = run("explain", photo, "--class", 3, *model, *layers, "--method", "layercam", "--fuse", "product")
    assert result.exit_code == 0, result.output
    values, meta = written(tmp_path)
    asked = expected(photo, layer=["3", "1"], method="layercam", fuse="product")
    assert meta["layer"] == asked.layer == "3 × 1"
    assert meta["options"] == {"fuse": "product"}
    torch.testing.assert_close(values, asked.values)
    assert not torch.allclose(values, expected(photo, layer=["3", "1"], method="layercam").values)


def test_one_layer_is_not_fused(photo, model, tmp_path):
    result = run("explain", photo, "--class", 3, *model, "--layer", 1)
    assert result.exit_code == 0, result.output
    values, meta = written(tmp_path)
    assert meta["layer"] == "1"
    torch.testing.assert_close(values, expected(photo, layer="1").values)
    assert not torch.allclose(values, expected(photo).values[0, 0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--method", "gradient"],
            "{photo}: Method 'gradient' reads no layer, so there is nothing to fuse; leave layer= out.",
        ),
        (["--layer", "seven"], "{photo}: There is no layer 'seven' in Sequential; `mmcam layers` lists them."),
        (["--fuse", "sum"], "{photo}: There is no fusion 'sum'; choose 'max' or 'product'."),
    ],
    ids=["a pixel method", "an unknown third", "an unknown fusion"],
)
def test_layers_that_cannot_be_fused_are_one_sentence(photo, model, tmp_path, arguments, sentence):
    result = run("explain", photo, "--class", 3, *model, "--layer", 1, "--layer", 3, *arguments)
    assert result.exit_code == 1
    assert result.output.strip() == sentence.format(photo=photo)
    assert not (tmp_path / "out").exists()


def test_the_files_of_different_methods_stand_side_by_side(photo, model, tmp_path):
    for method in ("gradcam", "gradcam++", "layercam"):
        result = run("explain", photo, *model, "--class", 3, "--method", method)
        assert result.exit_code == 0, result.output
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"photo-class-3.png", "photo-class-3-gradcam++.png", "photo-class-3-layercam.png"} <= names
