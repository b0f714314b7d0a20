"""`mmcam dissect` and `mmcam why`, run as a person would: on a network whose units are known, and on bundled models."""

import csv
import importlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mmcam
import models
from mmcam.cli import app
from mmcam.datasets.concepts.vignettes import VignetteConcepts
from mmcam.neurons.dissection import Dissection

FACTORY = """
import torch
from torch import nn
from mmcam import Preprocess

def make():
    "Units 0, 1, 2 are the picture's channels, 3 is their mean, 4 is dead."
    net = nn.Sequential(
        nn.Conv2d(3, 5, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2, bias=False)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1., 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3] * 3, [0, 0, 0]]).view(5, 3, 1, 1))
        net[4].weight.copy_(torch.tensor([[2., -1, 1, 0, 8], [-1, 1, 0, 0, 0]]))
    net.preprocess = Preprocess(size=(32, 32), mode="squash", mean=(0, 0, 0), std=(1, 1, 1))
    net.classes = ("warm", "cold")
    return net

def other():
    net = make()
    with torch.no_grad():
        net[0].weight.mul_(2)
    return net
"""
MODEL = "why_factory:make"
WARM = "It says “warm” because it sees {}; despite {}."

CAPTIONER = ("--model", "vignette-captioner")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the factory and the data, in which one stands."""
    (tmp_path / "why_factory.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def blot(here):
    """A picture with a mean of 1 in red, 0.2 in green and 0.4 in blue."""
    Image.new("RGB", (40, 30), (255, 51, 102)).save(here / "blot.png")
    return here / "blot.png"


@pytest.fixture
def table(here):
    """A picture for each of red, green and blue with a rectangle of it, its mask, and a picture that is missing."""
    lines = ["picture,mask,name,category"]
    for channel, name in enumerate(("red", "green", "blue")):
        pixels, mask = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
        where = slice(4, 12), slice(4 + channel, 20 + channel)
        pixels[(*where, channel)] = mask[where] = 255
        Image.fromarray(pixels).save(here / f"{name}.png")
        Image.fromarray(mask).save(here / f"{name}-mask.png")
        lines += [f"{name}.png,{name}-mask.png,{name},colour", f"{name}.png,,night,scene"]
    lines.append("missing.png,,night,scene")
    (here / "table.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{here / 'table.csv'}"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def report(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def one_line(text):
    """Without the terminal's line breaks."""
    return " ".join(text.split())


def refused(*arguments):
    """What a command complains of, in one sentence, with exit code 1."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)
    return one_line(result.stderr)


def dissect(table, out="out/found", *more):
    """128 of 3072 places are red, and as many green and blue: at 5 % a channel is active just where it is not 0."""
    return report("dissect", MODEL, "--data", table, "--out", out, "--quantile", 0.05, *more)


# --- mmcam dissect ----------------------------------------------------------------------------------------------------


def test_dissect_a_folder(here, table):
    found = dissect(table, here / "deep" / "found")
    assert {key: found[key] for key in ("layer", "units", "pictures", "detectors")} == {
        "layer": "1",
        "units": 5,
        "pictures": 3,
        "detectors": {"colour": 3, "scene": 0},
    }
    colours = [found["names"][unit] for unit in "012"]
    told = {"category": "colour", "score": 1.0, "p": pytest.approx(0.6, abs=0.4), "seen_in": "places"}
    assert colours == [{"name": name, **told} for name in ("red", "green", "blue")]
    assert found["names"].keys() == {"0", "1", "2"}, "unit 3 is as high in all three, unit 4 is dead"
    assert found["data"].endswith("table.csv (labels of 112 px)")
    ((index, why),) = found["skipped"]
    assert index == 3
    assert "missing.png" in why
    assert found["files"] == [str(here / "deep" / f"found.{suffix}") for suffix in ("safetensors", "json")]
    assert sorted(path.name for path in (here / "deep").iterdir()) == ["found.json", "found.safetensors"]
    kept = Dissection.load(here / "deep" / "found")
    assert (kept.model, kept.layer, kept.quantile) == ("Sequential", "1", 0.05)
    assert kept.names().units[1].name == "green"


def test_dissect_tells_what_it_found(here, table):
    result = run("dissect", MODEL, "--data", table, "--quantile", 0.05)
    assert result.exit_code == 0, result.output
    said = one_line(result.stdout)
    assert said.startswith("3 of 5 units of 1 have a name (IoU above 0.04, 3 pictures of ")
    for cell in ("red (unit 0, 1.00)", "green (unit 1, 1.00)", "colour 3", "scene 0"):
        assert cell in one_line(said.replace("│", " "))
    assert "table.csv (labels of 112 px)), 0 of them beyond chance (p ≤ 0.05 of 199 shuffles)" in said
    assert "1 pictures left out; the first: Line 8 of table.csv" in said
    for suffix in ("safetensors", "json"):
        assert f"out/dissection.{suffix}" in said
        assert (here / f"out/dissection.{suffix}").is_file()


def test_dissect_tells_the_best_first(here, table):
    mask = np.zeros((32, 32), np.uint8)
    mask[4:20, 4:20] = 255  # twice as large as what is red
    Image.fromarray(mask).save(here / "red-mask.png")
    said = one_line(run("dissect", MODEL, "--data", table, "--quantile", 0.05).stdout.replace("│", " "))
    assert "green (unit 1, 1.00), blue (unit 2, 1.00), red (unit 0, 0.50)" in said


def test_dissect_tells_names_as_they_are(here, table):
    """What a terminal's library would take for a colour or a picture is printed."""
    file = here / "table.csv"
    file.write_text(file.read_text().replace("png,blue,", "png,[/blue] :dog:,"))
    result = run("dissect", MODEL, "--data", table, "--quantile", 0.05)
    assert result.exit_code == 0, result.output
    assert "[/blue] :dog: (unit 2, 1.00)" in one_line(result.stdout.replace("│", " "))


def test_dissect_threshold_and_tally(here, table):
    found = dissect(table, "out/found", "--threshold", 1, "--tally", here / "lists" / "tally.csv")
    assert found["names"] == {}, "not above it"
    assert found["detectors"] == {"colour": 0, "scene": 0}
    assert found["files"][-1] == str(here / "lists" / "tally.csv")
    with (here / "lists" / "tally.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows[:3]] == ["1", "2", "3"], "counted from 1, as NetDissect does"
    assert [row["label"] for row in rows[:3]] == ["red", "green", "blue"]
    assert float(rows[0]["score"]) == 1.0
    assert len(rows) == 5


@pytest.mark.usefixtures("here")
def test_dissect_another_layer(table):
    found = dissect(table, "out/found", "--layer", "0", "--batch", 1)
    assert (found["layer"], found["names"]["0"]["name"]) == ("0", "red")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("pictures", "There are no concepts 'pictures'; write vignettes, vignettes:500, broden:FOLDER"),
        ("vignettes:many", "There are no concepts 'vignettes:many'"),
        ("vignettes:0", "A split has 1 …"),
        ("folder", "There are no concepts 'folder'"),
        ("folder:", "There are no concepts 'folder:'"),
        ("coco:instances.json", "There are no concepts 'coco:instances.json'"),
        ("folder:nowhere.csv", "nowhere.csv"),
        ("broden:nowhere", "nowhere"),
        ("voc:nowhere", "nowhere"),
        ("coco:nowhere.json:nowhere", "nowhere is no folder"),
    ],
)
@pytest.mark.usefixtures("here")
def test_dissect_with_unknown_data(here, data, sentence):
    assert sentence in refused("dissect", MODEL, "--data", data)
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--layer", "7"], "7"),
        (["--layer", "4"], "not a spatial map"),
        (["--quantile", "2"], "quantile=2.0 is no share of the places"),
        (["--device", "tpu9"], "There is no device 'tpu9'"),
    ],
)
@pytest.mark.usefixtures("here")
def test_dissect_with_wrong_options(table, options, sentence):
    assert sentence in refused("dissect", MODEL, "--data", table, *options)


@pytest.mark.usefixtures("here")
def test_dissect_an_unknown_model(table):
    assert "There is no bundled model 'nobody'" in refused("dissect", "nobody", "--data", table)


def test_dissect_goes_on_where_it_was_interrupted(here, monkeypatch):
    opened, real = [], VignetteConcepts.picture
    stop = [18]  # 1 to see the layer's shape, then 5 a batch: during the fourth of 8 batches

    def picture(self, index):
        if len(opened) >= stop[0]:
            raise KeyboardInterrupt
        opened.append(index)
        return real(self, index)

    monkeypatch.setattr(VignetteConcepts, "picture", picture)
    monkeypatch.setattr(importlib.import_module("mmcam.neurons.dissect"), "SAVE_EVERY", 2)
    command = ["dissect", MODEL, "--data", "vignettes:20", "--batch", 5, "--out", here / "out" / "found"]
    interrupted = run(*command)
    assert interrupted.exit_code != 0
    assert [path.name for path in (here / "out").iterdir()] == ["found.part"]

    stop[0] = 1000
    assert "belongs to a dissection of another model, layer, data set or setting" in refused(
        *command, "--quantile", 0.1
    )
    assert (here / "out" / "found.part").is_file()
    opened.clear()
    resumed = report(*command)
    assert len(opened) == 1 + 2 * 5 + 6 * 5, "two batches were done, and are read again to see that they are the same"
    assert sorted(path.name for path in (here / "out").iterdir()) == ["found.json", "found.safetensors"]
    fresh = report(*command[:-1], here / "fresh" / "found")
    assert len(opened) == 41 + 41
    assert {**resumed, "files": 0} == {**fresh, "files": 0}
    for suffix in ("json", "safetensors"):
        made = [(here / folder / f"found.{suffix}").read_bytes() for folder in ("out", "fresh")]
        assert made[0] == made[1]


def test_dissect_with_a_broken_state(here, table):
    (here / "out").mkdir()
    (here / "out" / "found.part").write_bytes(b"nothing")
    assert "is no state of a dissection" in refused("dissect", MODEL, "--data", table, "--out", "out/found")
    assert [path.name for path in (here / "out").iterdir()] == ["found.part"]


# --- mmcam why: a class -----------------------------------------------------------------------------------------------


@pytest.fixture
def found(table):
    """Where the dissection of the factory's network lies."""
    dissect(table)
    return "out/found"


def named(file, text):
    file.write_text(text)
    return file


# With three pictures chance gives as good a fit in a third of the orders, two thirds on the grid of the test.
RED, GREEN, BLUE = (
    f"perhaps the colour {name} (unit {i}, IoU 1.00)" for i, name in enumerate(("red", "green", "blue"))
)


def test_why_a_class(blot, found):
    """Contributions 2·1, 1·0.4 and -1·0.2, over 32² cells."""
    (told,) = report("why", blot, "--model", MODEL, "--class", "warm", "--names", found)
    assert told.keys() == {"picture", "target", "text", "units", "files"}
    assert told["picture"] == str(blot)
    assert told["target"] == "warm"
    assert told["text"] == WARM.format(f"{RED} and {BLUE}", GREEN)
    assert told["files"] == []
    assert [(unit["unit"], unit["name"], unit["speaks"]) for unit in told["units"]] == [
        (0, "red", "for"),
        (2, "blue", "for"),
        (1, "green", "against"),
    ]
    assert told["units"][0] == {
        "unit": 0, "name": "red", "category": "colour", "fit": 1.0, "weight": pytest.approx(2 / 1024),
        "contribution": pytest.approx(2 / 1024), "speaks": "for", "p": pytest.approx(0.6, abs=0.4),
        "seen_in": "places", "perhaps": True,
    }  # fmt: skip
    assert told["units"][2]["contribution"] == pytest.approx(-0.2 / 1024)


@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_why_is_told(blot, found, suffix):
    result = run("why", blot, "--model", MODEL, "--names", found + suffix)
    assert result.exit_code == 0, result.output
    said = one_line(result.stdout)
    assert said.startswith(WARM.format(f"{RED} and {BLUE}", GREEN)), "by default, of what the model says"
    cells = [one_line(line.replace("│", " ")) for line in result.stdout.splitlines()]
    assert "for 0 perhaps red 1.00 0.00195 0.00195" in cells
    assert "against 1 perhaps green 1.00 -0.000977 -0.000195" in cells


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--class", "1"], f"It says “cold” because it sees {GREEN}; despite {RED}."),
        (["--class", "warm", "--contrast", "1"], f"It says “warm” rather than “cold” because it sees {RED} and {BLUE}; "
         f"despite {GREEN}."),
        (["--class", "warm", "--k", "1"], WARM.format(RED, GREEN)),
        (["--class", "0", "--by", "weight", "--k", "2"], WARM.format(RED, GREEN)),
        (["--threshold", "1"], "It says “warm”; none of the units that matter most to it has a name."),
    ],
)  # fmt: skip
def test_why_with_options(blot, found, options, text):
    (told,) = report("why", blot, "--model", MODEL, "--names", found, *options)
    assert told["text"] == text


def test_why_of_several_pictures_goes_on_after_a_bad_one(here, blot, found):
    (here / "bad.png").write_bytes(b"no picture")
    result = run("why", here / "bad.png", blot, "--model", MODEL, "--names", found, "--json")
    assert result.exit_code == 1
    bad, good = json.loads(result.stdout)
    assert bad["picture"] == str(here / "bad.png")
    assert "cannot be read" in bad["error"]
    assert good["text"] == WARM.format(f"{RED} and {BLUE}", GREEN)
    assert f"{here / 'bad.png'} cannot be read as a picture" in " ".join(result.stderr.split())


def test_why_draws_figures(here, blot, found):
    (told,) = report("why", blot, "--model", MODEL, "--names", found, "--out", here / "figures")
    (file,) = (here / "figures").iterdir()
    assert told["files"] == [str(file)]
    assert file.name == "blot-00-warm-why.png"
    own = namespace()["make"]()
    expected = mmcam.explain_class(own, blot, "warm").why(Dissection.load(found)).figure()
    with Image.open(file) as figure:
        np.testing.assert_array_equal(np.asarray(figure), np.asarray(expected))


def namespace():
    made = {}
    exec(FACTORY, made)
    return made


# --- names from elsewhere ---------------------------------------------------------------------------------------------


def test_why_with_names_of_other_tools(here, blot):
    tally = named(
        here / "tally.csv",
        "unit,category,label,score\n1,color,red-c,.31\n2,scene,night_sky-s,.12\n3,object,sky,.01\n4,,,0\n5,,,0\n",
    )
    clip = named(here / "clip.csv", "layer,unit,description,similarity\nfeatures,0,fire,0.5\nfeatures,1,leaf,4.25\n")
    milan = named(here / "milan.csv", "layer,unit,description\nfeatures,0,Dog 's ear\nfeatures,1,leaf\n")
    for names, text in (
        (f"netdissect:{tally}", WARM.format("the colour red (unit 0, IoU .31)", "a night sky scene (unit 1, IoU .12)")),
        (
            f"clip-dissect:{clip}:features",
            WARM.format("fire (unit 0, similarity .50)", "leaf (unit 1, similarity 4.25)"),
        ),
        (f"milan:{milan}:features", WARM.format("Dog's ear (unit 0)", "leaf (unit 1)")),
    ):
        (told,) = report("why", blot, "--model", MODEL, "--class", "warm", "--names", names)
        assert told["text"] == text
        result = run("why", blot, "--model", MODEL, "--class", "warm", "--names", names)
        assert one_line(result.stdout).startswith(text)
        assert "for 2 no name" in one_line(result.stdout.replace("│", " "))


def test_why_prints_names_as_they_are(here, blot):
    """What a terminal's library would take for a colour or a picture is printed."""
    milan = named(here / "milan.csv", "layer,unit,description\nfc,0,a sign [stop]\nfc,1,the end [/] of :dog:\n")
    result = run("why", blot, "--model", MODEL, "--class", "warm", "--names", f"milan:{milan}:fc")
    assert result.exit_code == 0, result.output
    assert WARM.format("a sign [stop] (unit 0)", "the end [/] of :dog: (unit 1)") in one_line(result.stdout)
    table = one_line(result.stdout.partition("┏")[2].replace("│", " "))
    assert "for 0 a sign [stop]" in table
    assert "against 1 the end [/] of :dog:" in table


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("nowhere", "There is no dissection at nowhere: it has a .json and a .safetensors beside each other"),
        ("netdissect:nowhere.csv", "nowhere.csv is missing"),
        ("netdissect:", "There is no dissection at netdissect:"),
        ("milan:names.csv", "Say which layer of the file: milan:names.csv:LAYER."),
        ("clip-dissect:names.csv", "Say which layer of the file: clip-dissect:names.csv:LAYER."),
        ("milan:names.csv:conv9", "names.csv has no layer 'conv9'; it has features."),
        ("clip-dissect:names.csv:features", "read_milan"),
        ("names.csv", "There is no dissection at names.csv"),
        ("broken", "broken holds no dissection of mmcam"),
    ],
)
def test_why_with_names_that_are_none(here, blot, names, sentence):
    named(here / "names.csv", "layer,unit,description\nfeatures,0,ear\n")
    named(here / "broken.json", "{}")
    (here / "broken.safetensors").write_bytes(b"nothing")
    assert sentence in refused("why", blot, "--model", MODEL, "--names", names)


def test_why_with_names_of_other_units(here, blot, found):
    wrong = "These names belong to other weights or another layer (made at 1); dissect this Sequential at"
    assert f"blot.png: {wrong} 1." in refused("why", blot, "--model", "why_factory:other", "--names", found)
    assert f"blot.png: {wrong} 0." in refused("why", blot, "--model", MODEL, "--layer", "0", "--names", found)
    many = named(here / "milan.csv", "layer,unit,description\nfc,0,ear\nfc,7,eye\n")
    assert "blot.png: The names are those of 8 units, and 1 has 5" in refused(
        "why", blot, "--model", MODEL, "--names", f"milan:{many}:fc"
    )
    few = named(here / "tally.csv", "unit,category,label,score\n1,color,red-c,.31\n2,object,sky,.12\n")
    assert "blot.png: The names are those of 2 units, and 1 has 5" in refused(
        "why", blot, "--model", MODEL, "--names", f"netdissect:{few}"
    )
    result = run("why", blot, "--model", "why_factory:other", "--names", found, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [{"picture": str(blot), "error": f"{wrong} 1."}]


def test_why_without_names(blot):
    assert refused("why", blot, "--model", MODEL) == (
        f"Error: No dissection comes with '{MODEL}'; make one with `mmcam dissect {MODEL}` and pass it with --names."
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--by", "size"], "There is no by='size'; choose 'contribution' or 'weight'."),
        (["--k", "0"], "k=0 units tell nothing"),
        (["--class", "lukewarm"], "There is no class 'lukewarm'"),
        (["--layer", "9"], "9"),
        (["--device", "tpu9"], "There is no device 'tpu9'"),
    ],
)
def test_why_with_wrong_options(blot, found, options, sentence):
    assert sentence in refused("why", blot, "--model", MODEL, "--names", found, *options)


@pytest.mark.parametrize(
    "options", [["--class", "0", "--caption"], ["--word", "dog", "--question", "what"], ["--answer", "dog"]]
)
def test_why_of_one_thing_at_a_time(blot, options):
    assert run("why", blot, "--model", MODEL, "--names", "out/found", *options).exit_code == 2


# --- bundled models ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """A vignette, and the dissection of the captioner's encoder with the first twenty; the VQA model's is the same."""
    folder = tmp_path_factory.mktemp("bundled")
    VignetteConcepts("val", 20).picture(1).save(folder / "scene.png")
    made = report("dissect", "vignette-captioner", "--data", "vignettes:20", "--batch", 10, "--out", folder / "names")
    return folder / "scene.png", folder / "names", made


def test_dissect_a_bundled_model(bundled):
    _, names, made = bundled
    found = Dissection.load(names)
    assert made["data"] == found.data == "vignettes (val, 20 pictures)"
    assert (made["pictures"], made["units"], made["layer"]) == (20, found.units, "encoder.features")
    assert made["detectors"] == found.detectors()
    assert len(made["names"]) == sum(made["detectors"].values()) == len(found.names().units) > 50
    captioner = models.load("vignette-captioner")
    again = mmcam.dissect(captioner, VignetteConcepts("val", 20), batch=10)
    assert again.fingerprint == found.fingerprint
    assert torch.equal(again.both, found.both)


def test_why_a_word(bundled):
    picture, names, _ = bundled
    captioner, found = models.load("vignette-captioner"), Dissection.load(names)
    caption = mmcam.explain_caption(captioner, picture).caption
    word = caption.split()[-1]
    (told,) = report("why", picture, "--word", word, *CAPTIONER, "--names", names)
    assert told["text"] == mmcam.explain_caption(captioner, picture, word).why(found).text
    assert told["text"].startswith(f"It says “{word}” in “{caption}” ")
    (given,) = report(
        "why", picture, "--text", "a red dog", "--word", "dog", "--contrast", "cat", *CAPTIONER, "--names", names
    )
    exp = mmcam.explain_caption(captioner, picture, "dog", caption="a red dog", contrast="cat")
    assert given["text"] == exp.why(found).text
    assert given["target"] == "dog rather than cat"
    assert "has no 'zebra'" in refused("why", picture, "--word", "zebra", *CAPTIONER, "--names", names)


def test_why_every_word(bundled, tmp_path):
    picture, names, _ = bundled
    captioner = models.load("vignette-captioner")
    exp = mmcam.explain_caption(captioner, picture)
    told = report("why", picture, "--caption", *CAPTIONER, "--names", names, "--k", 3, "--out", tmp_path)
    assert [each["target"] for each in told] == exp.caption.split()
    assert [each["text"] for each in told] == [why.text for why in exp.why(Dissection.load(names), k=3)]
    files = [each["files"][0] for each in told]
    assert sorted(files) == sorted(str(file) for file in tmp_path.iterdir())
    assert len(set(files)) == len(told), "a word that is said twice has two figures"
    assert files[1].endswith(f"scene-01-{exp[1].target}-why.png")
    given = report("why", picture, "--text", "a red dog", *CAPTIONER, "--names", names)
    assert [each["target"] for each in given] == ["a", "red", "dog"]


def test_why_an_answer(bundled):
    """The VQA model sees with the captioner's encoder, so the names are its own, too."""
    picture, names, _ = bundled
    vqa, found, question = models.load("vignette-vqa"), Dissection.load(names), "what is in the picture"
    (told,) = report("why", picture, "--model", "vignette-vqa", "--question", question, "--names", names)
    own = mmcam.explain_answer(vqa, picture, question)
    assert told["text"] == own.why(found).text
    assert told["text"].startswith(f"It answers “{own.target}” to “{question}” ")
    options = ["--answer", "dog", "--contrast", "cat", "--by", "weight"]
    (other,) = report("why", picture, "--model", "vignette-vqa", "--question", question, *options, "--names", names)
    exp = mmcam.explain_answer(vqa, picture, question, "dog", contrast="cat")
    assert other["text"] == exp.why(found, by="weight").text
    assert other["text"].startswith(f"It answers “dog” rather than “cat” to “{question}” ")


def test_why_every_word_of_a_question(bundled, tmp_path):
    """The answer first, then the words; a figure each."""
    picture, names, _ = bundled
    vqa, found, question = models.load("vignette-vqa"), Dissection.load(names), "what is in the picture"
    exp = mmcam.explain_answer(vqa, picture, question, by_word=True)
    told = report(
        "why",
        picture,
        "--model",
        "vignette-vqa",
        "--question",
        question,
        "--by-word",
        "--names",
        names,
        "--out",
        tmp_path,
    )
    assert [each["target"] for each in told] == [exp.answer.target, *question.split()]
    assert [each["text"] for each in told] == [why.text for why in (exp.answer.why(found), *exp.why(found))]
    assert len({each["files"][0] for each in told}) == 6
    assert run("why", picture, "--class", "dog", "--by-word", "--names", names).exit_code == 2


def test_why_a_word_at_a_position(bundled):
    picture, names, _ = bundled
    captioner, found = models.load("vignette-captioner"), Dissection.load(names)
    options = ["--text", "a red dog", "--word", "cat", "--position", 2]
    (told,) = report("why", picture, *options, *CAPTIONER, "--names", names)
    exp = mmcam.explain_caption(captioner, picture, "cat", caption="a red dog", position=2)
    assert told["text"] == exp.why(found).text
    assert told["text"].startswith("It says “cat” in “a red cat” ")


def test_why_a_similarity(here, blot, table):
    """A model that compares with two texts: the first likes red and green, the second blue."""
    (here / "fits.py").write_text(
        FACTORY
        + """
class Fits(nn.Module):
    def __init__(self):
        super().__init__()
        net = make()
        self.features, self.preprocess = nn.Sequential(net[0], net[1]), net.preprocess

    def similarity(self, x, texts):
        weights = {"warm": [2., 1, -1, 0, 0], "cold": [0, 0, 3., 0, 0]}
        return (self(x) * torch.tensor([weights[text] for text in texts])).sum(1)

    def forward(self, x):
        return self.features(x).mean((2, 3))
"""
    )
    spec = "fits:Fits"
    report("dissect", spec, "--data", table, "--out", "out/fits", "--quantile", 0.05)
    (told,) = report("why", blot, "--model", spec, "--similar-to", "warm", "--names", "out/fits")
    assert told["text"] == f"The picture fits “warm” because the model sees {RED} and {GREEN}; despite {BLUE}."
    (told,) = report("why", blot, "--model", spec, "--similar-to", "warm", "--contrast", "cold", "--names", "out/fits")
    assert told["text"].startswith("The picture fits “warm” rather than “cold” because the model sees ")
    assert told["text"].endswith(f"; despite {BLUE}.")
    result = run("why", blot, "--similar-to", "warm", "--names", "out/fits")
    assert result.exit_code == 2
    assert "needs a --model" in one_line(result.stderr.replace("│", " "))


def test_why_with_the_names_of_another_encoder(bundled):
    picture, names, _ = bundled
    assert "These names belong to other weights or another layer (made at encoder.features); dissect this" in refused(
        "why", picture, "--model", "vignette-classifier", "--names", names
    )
