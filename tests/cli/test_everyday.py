"""The command line as hands expect it: many pictures, repeated options, names, a schema, and what it loads."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.cli.commands import COMMANDS
from mmcam.cli.pictures import pictures_of
from mmcam.cli.schema import SCHEMA
from mmcam.datasets import vignettes

FACTORY = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 7))
    return net
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "everyday_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(path, "PNG")
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def explained(*arguments, model="everyday_factory:make", code=0):
    result = run("explain", *arguments, "--model", model, "--json")
    assert result.exit_code == code, result.output
    reports = json.loads(result.stdout)
    fits(reports)
    return reports


def fits(reports):
    """What is printed is what the schema says, and nothing that it does not tell of."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(reports, schema, cls=jsonschema.Draft202012Validator)
    parts = schema["$defs"]
    known = {name for part in parts.values() for name in part.get("properties", {})}
    for report in reports:
        assert set(report) <= known
        for word in report.get("words", []):
            assert set(word) <= set(parts["explanation"]["properties"])


# --- which pictures ---------------------------------------------------------------------------------------------------


def test_a_folder_a_pattern_and_a_list(here):
    a, b, deep = picture(here / "photos/a.png"), picture(here / "photos/b.JPG"), picture(here / "photos/more/c.png")
    (here / "photos/notes.md").write_text("no picture")
    (here / "photos/list.txt").write_text("\ufeff# those\n\na.png\n  photos/b.JPG  \nmissing.png\n")
    photos = Path("photos")
    named = {
        "folder": ([photos], [a, b]),
        "pattern": ([Path("photos/*.png")], [a]),
        "deep pattern": ([Path("photos/**/*.png")], [a, deep]),
        "list": ([Path("photos/list.txt")], [a, b, Path("missing.png")]),
        "@list": ([Path("@photos/list.txt")], [a, b, Path("missing.png")]),
        "each once": ([photos / "a.png", photos, photos / "a.png"], [a, b]),
        "a name with magic": ([Path("photos/x[1].png")], [picture(here / "photos/x[1].png")]),
        "what is not there": ([Path("nowhere.png")], [Path("nowhere.png")]),
    }
    for name, (given, meant) in named.items():
        found = pictures_of(given)
        assert [here / path if str(path) != "missing.png" else path for path in found][: len(meant)] == [
            here / path if str(path) != "missing.png" else path for path in meant
        ], name
    reports = explained("photos/*.png", "photos/more", "--class", 1)
    assert [report["picture"] for report in reports] == ["photos/a.png", "photos/x[1].png", "photos/more/c.png"]


def test_what_names_no_picture(here):
    (here / "empty").mkdir()
    (here / "none.txt").write_text("# nothing\n")
    (here / "latin.txt").write_bytes(b"\xe9.png\n")
    for named, sentence in {
        "empty": "no picture in the folder empty",
        "*.webp": r"No file fits the pattern *.webp",
        "@none.txt": "names no picture",
        "latin.txt": "is no text in UTF-8",
        "@nowhere": "The list of pictures nowhere cannot be read",
    }.items():
        result = run("explain", named, "--model", "everyday_factory:make")
        assert result.exit_code == 1
        assert sentence in " ".join(result.stderr.split())


def test_one_bad_picture_costs_only_itself(here):
    picture(here / "photos/a.png")
    (here / "photos/b.png").write_bytes(b"no picture")
    picture(here / "photos/c.png", 2)
    reports = explained("photos", "--class", 1, code=1)
    assert ["error" in report for report in reports] == [False, True, False]
    assert "photos/b.png cannot be read" in reports[1]["error"]


# --- options that may be repeated -------------------------------------------------------------------------------------


def test_classes_and_methods_all_count(here):
    mine = picture(here / "x.png")
    reports = explained(
        mine, "--class", 1, "--class", 2, "--method", "gradcam", "--method", "smoothgrad", "--option", "n=2"
    )
    assert [(report["target"], report["method"]) for report in reports] == [
        ("class 1", "gradcam"), ("class 2", "gradcam"), ("class 1", "smoothgrad"), ("class 2", "smoothgrad"),
    ]  # fmt: skip
    assert reports[3]["options"] == {"n": 2}
    files = [file for report in reports for file in report["files"]]
    assert len(set(files)) == 8
    assert all(Path(file).is_file() for file in files)
    result = run(
        "explain",
        mine,
        "--model",
        "everyday_factory:make",
        "--method",
        "gradcam",
        "--method",
        "rise",
        "--option",
        "m=2",
    )
    assert result.exit_code == 1
    assert "'m'" in result.stderr


def test_the_best_classes_by_their_names(here):
    mine = picture(here / "x.png")
    (here / "names.txt").write_text("ant\nbee\ncat\ndog\nelk\nfox\ngnu\n")
    (here / "names.json").write_text(json.dumps({str(i): name for i, name in enumerate("abcdefg")}))
    reports = explained(mine, "--top", 6, "--names", "names.txt")
    net = torch.nn.Sequential()
    exec(compile(FACTORY, "factory", "exec"), space := {})
    net = space["make"]().eval()
    scores = [mmcam.explain_class(net, mine, index).score for index in range(7)]
    assert [report["score"] for report in reports] == pytest.approx(sorted(scores, reverse=True)[:6], abs=1e-5)
    names = (here / "names.txt").read_text().split()
    assert [report["target"] for report in reports] == [
        names[scores.index(s)] for s in sorted(scores, reverse=True)[:6]
    ]
    (report,) = explained(mine, "--class", "c", "--names", "names.json")
    assert report["prediction"]["class"] == 2
    for wrong, sentence in {
        "x.png": "cannot be read",
        "nowhere.txt": "cannot be read",
        "names.md": "cannot be read",
    }.items():
        result = run("explain", mine, "--model", "everyday_factory:make", "--names", wrong)
        assert result.exit_code == 1
        assert sentence in result.stderr
    assert run("explain", mine, "--top", 2, "--class", 1).exit_code == 2


def test_questions_answers_and_words_all_count(here):
    scene = here / "scene.png"
    vignettes.draw(20_000_123).image.save(scene)
    questions = ["--question", "what colour is the house", "--question", "what colour is the car"]
    reports = explained(scene, *questions, "--answer", "red", "--answer", "blue", model="vignette-vqa")
    assert [(report["context"].split()[-1], report["target"]) for report in reports] == [
        ("house", "red"), ("house", "blue"), ("car", "red"), ("car", "blue"),
    ]  # fmt: skip
    assert [Path(report["files"][0]).name for report in reports][::3] == [
        "scene-what-colour-is-the-house-red.png", "scene-what-colour-is-the-car-blue.png",
    ]  # fmt: skip
    words = explained(
        scene, "--text", "a house on the beach", "--word", "house", "--word", "beach", model="vignette-captioner"
    )
    assert [report["target"] for report in words] == ["house", "beach"]
    (strip,) = explained(scene, "--caption", "--grounding", model="vignette-captioner")
    assert len(strip["grounding"]) == len(strip["words"])
    (asked,) = explained(scene, *questions[:2], "--by-word", model="vignette-vqa")
    assert [word["target"] for word in asked["words"]] == questions[1].split()


# --- one preparation --------------------------------------------------------------------------------------------------


def test_the_command_line_and_python_prepare_a_picture_alike(here):
    from torchvision import models as zoo

    mine = picture(here / "x.png")
    for name, classes in (("squeezenet1_1", 1000), ("mnasnet0_75", 5)):
        torch.manual_seed(0)
        net = zoo.get_model(name, weights=None, num_classes=classes).eval()
        torch.save(net.state_dict(), here / "mine.pth")
        (report,) = explained(mine, "--class", 3, "--weights", "mine.pth", model=f"torchvision:{name}")
        exp = mmcam.explain_class(net, mine, 3)
        assert report["score"] == pytest.approx(exp.score, rel=1e-5)
        assert report["preparation"] == exp.preparation
        assert json.loads(str(np.load(report["files"][1])["meta"]))["preparation"] == exp.preparation
    assert exp.preparation.startswith("resize 232, crop 224×224, bilinear")
    shown = run("explain", mine, "--model", "everyday_factory:make", "--class", 1).stdout
    assert (
        "picture: resize 256, crop 224×224, bilinear, mean 0.485 0.456 0.406, std 0.229 0.224 0.225 (assumed)" in shown
    )


# --- manners ----------------------------------------------------------------------------------------------------------


def test_the_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"mmcam {mmcam.__version__}\n")


def test_the_schema_can_be_printed():
    assert json.loads(run("explain", "--json-schema").stdout) == json.loads(SCHEMA.read_text())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "resnet50"], "Did you mean torchvision:resnet50?"),
        (["--model", "convnext_atto"], "Did you mean timm:convnext_atto?"),
        (["--model", "resnet5x"], "Others are named torchvision:NAME"),
        pytest.param(
            ["--device", "cuda"],
            "This machine has no 'cuda'; cpu would do",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="it has one"),
        ),
    ],
)
def test_a_sentence_that_helps(photo, arguments, sentence):
    result = run("explain", photo, *arguments)
    assert result.exit_code == 1
    assert sentence in " ".join(result.stderr.split())


def test_an_interrupt_leaves_nothing(here, monkeypatch):
    def interrupted(content, file):
        file.write(content[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr("mmcam.cli.telling._put", interrupted)
    assert run("explain", picture(here / "x.png"), "--model", "everyday_factory:make", "--class", 1).exit_code == 130
    assert list((here / "out").iterdir()) == []


def test_what_cannot_be_printed_is_a_sentence(monkeypatch):
    monkeypatch.setattr(
        "mmcam.cli.listing.json_text", lambda *args, **how: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    result = run("methods", "--json")
    assert result.exit_code == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.output


def test_the_list_of_commands_is_that_of_the_modules():
    import typer

    for module, _ in COMMANDS.values():
        importlib.import_module(module)
    whole = typer.main.get_command(app)
    assert set(COMMANDS) <= set(whole.commands)
    for name, (module, said) in COMMANDS.items():
        command = whole.commands[name]
        assert (command.callback.__module__, command.help) == (module, said)


def test_completion_knows_commands_and_options(monkeypatch):
    done = subprocess.run(
        [sys.executable, "-c", "from mmcam.cli import app; app(prog_name='mmcam')"],
        env={**os.environ, "_MMCAM_COMPLETE": "complete_bash", "COMP_WORDS": "mmcam exp", "COMP_CWORD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["explain"]


# --- what is loaded ---------------------------------------------------------------------------------------------------


def loaded_by(code, modules):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint([name for name in {modules!r} if name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_help_loads_nothing_heavy():
    code = """
from mmcam.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
import mmcam
"""
    assert loaded_by(code, ("torch", "numpy", "PIL", "matplotlib", "jinja2")) == "[]"


def test_an_explanation_loads_what_it_needs():
    code = """
from PIL import Image
from torch import nn
import mmcam
net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
mmcam.explain_class(net, Image.new("RGB", (40, 30), "red"), 1).heatmap
"""
    heavy = ("matplotlib", "scipy", "nltk", "jinja2", "pandas", "transformers", "timm", "typer", "sklearn")
    assert loaded_by(code, heavy) == "[]"


def test_every_name_of_the_face_is_there_and_no_other():
    from mmcam import _HOMES, __all__

    for home, names in _HOMES.items():
        for name in names:
            assert getattr(mmcam, name) is getattr(__import__(home, fromlist=["x"]), name)
    homes = {name for names in _HOMES.values() for name in names}
    assert homes | {"models", "__version__"} == set(__all__)
    assert set(__all__) <= set(dir(mmcam))
    with pytest.raises(AttributeError, match="no attribute 'explain_clas'"):
        mmcam.explain_clas  # noqa: B018
    import mmcam.grounding as function

    assert callable(function), "and not hidden by the module of its name"
