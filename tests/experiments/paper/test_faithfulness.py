"""Faithfulness run whole on two vignettes and on VOC's layout with a finetuned network, and its figures by hand."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torchvision.models import squeezenet1_1

from experiments.lib import faithful_figures, worlds
from experiments.paper import faithfulness

FEW = {"steps": 2, "shares": [0.3, 0.6], "samples": 1, "patch": 112, "stride": 112}
XML = """<annotation><size><width>60</width><height>40</height><depth>3</depth></size>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object>"""


@pytest.fixture
def quick(monkeypatch):
    """Two methods and short curves."""
    for module in (faithful_figures, faithfulness):
        monkeypatch.setattr(module, "METHODS", ("gradcam", "gradient"))
    for key, value in FEW.items():
        monkeypatch.setitem(faithful_figures.SETTINGS, key, value)


@pytest.fixture
def root(tmp_path):
    """A year's folder: a dog with a person, a cat too difficult to count, and a train."""
    folder = tmp_path / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    photos = {"000005": [("dog", 0), ("person", 0)], "000007": [("cat", 1)], "000009": [("train", 0), ("dog", 1)]}
    for i, (name, things) in enumerate(photos.items()):
        objects = "".join(OBJECT.format(name=kind, difficult=difficult) for kind, difficult in things)
        (folder / "Annotations" / f"{name}.xml").write_text(XML.format(objects=objects))
        pixels = np.random.default_rng(i).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("\n".join(photos) + "\n")
    return folder


@pytest.fixture
def weights(tmp_path):
    """A network whose head has VOC's twenty outputs."""
    path = tmp_path / "voc.pth"
    torch.save(squeezenet1_1(weights=None, num_classes=20).state_dict(), path)
    return path


def lines(folder):
    return {path.name: path.read_text().splitlines() for path in folder.glob("*.jsonl")}


@pytest.mark.slow
def test_two_vignettes_and_no_work_twice(quick, tmp_path):
    def run(pictures):
        faithfulness.main(["vignettes"], pictures, out=tmp_path, work=tmp_path / "work")
        return json.loads((tmp_path / "faithfulness-vignettes.json").read_text())

    report = run(2)
    by_method = {row["method"]: row for row in report["rows"]}
    assert by_method.keys() == {"gradcam", "gradient", "(random)", "(centre)"}
    assert by_method["gradcam"]["insertion"]["n"] == 2
    assert "win" not in by_method["gradcam"]
    assert "sensitivity" not in by_method["(random)"]
    assert (tmp_path / "faithfulness-vignettes.png").stat().st_size > 10_000
    assert "--pictures 2" in report["command"]
    first = lines(tmp_path / "work")
    assert run(2) == report
    assert lines(tmp_path / "work") == first
    run(1)
    assert lines(tmp_path / "work") == first, "a picture's figures do not depend on how many there are"
    ((name, records),) = first.items()
    (tmp_path / "work" / name).write_text(records[0] + "\n" + records[1][:50])  # stopped while it wrote
    assert run(2) == report
    assert lines(tmp_path / "work") == first


def test_other_settings_are_measured_anew(quick, tmp_path, monkeypatch):
    net = worlds.bundled("vignettes")
    path = tmp_path / "records.jsonl"
    for steps in (2, 3, 3):
        monkeypatch.setitem(faithful_figures.SETTINGS, "steps", steps)
        (record,) = faithful_figures.examine(worlds.questions("vignettes", net, 1), net, path, 1)
        assert len(record["figures"][0]["gradcam"]["insertion"]) == steps + 1
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.long
@pytest.mark.slow
def test_every_class_of_vocs_photographs(quick, root, weights, tmp_path):
    def run():
        given = {"root": root, "network": f"squeezenet1_1={weights}"}
        faithfulness.main(["voc"], None, **given, out=tmp_path, work=tmp_path / "work")

    run()
    ((name, records),) = lines(tmp_path / "work").items()
    assert name.startswith("voc-squeezenet1_1-")
    told = [(record["picture"], record["labels"]) for record in map(json.loads, records)]
    # VOC's order, from aeroplane: dog 11, person 14, train 18; the cat and the second dog are difficult.
    assert told == [("000005", [11, 14]), ("000009", [18])]
    rows = json.loads((tmp_path / "faithfulness-voc.json").read_text())["rows"]
    assert rows[-1]["deletion"]["n"] == 3
    assert rows[-1]["deletion"]["pictures"] == 2
    text = (tmp_path / "faithfulness-voc.md").read_text()
    assert "each class that is there" in text
    assert str(root) not in text
    run()
    assert lines(tmp_path / "work") == {name: records}


def test_the_finetuned_network_is_the_files(weights):
    net = worlds.of_voc(f"squeezenet1_1={weights}")
    x = torch.rand(1, 3, 224, 224)
    model = squeezenet1_1(weights=None, num_classes=20).eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    torch.testing.assert_close(net.model(x), model(x))
    assert net.preprocess.mode == "squash"
    picture = Image.new("RGB", (90, 30))
    assert net.preprocess(picture)[0].shape == (3, 224, 224)


def test_mistakes_are_said(root, weights, tmp_path):
    def run(**given):
        faithfulness.main(["voc"], 1, **given, out=tmp_path, work=tmp_path / "work")

    with pytest.raises(typer.BadParameter, match="no world 'drawings'"):
        faithfulness.main(["drawings"], out=tmp_path, work=tmp_path)
    with pytest.raises(typer.BadParameter, match="VOC needs --root"):
        run(root=root)
    with pytest.raises(typer.BadParameter, match="--network is NAME=FILE"):
        run(root=root, network="vgg16")
    with pytest.raises(typer.BadParameter, match="no weights file"):
        run(root=root, network="vgg16=nowhere.pth")
    with pytest.raises(typer.BadParameter, match="no classifier 'vgg17'"):
        run(root=root, network=f"vgg17={weights}")
    with pytest.raises(typer.BadParameter, match="do not fit torchvision's alexnet"):
        run(root=root, network=f"alexnet={weights}")
    torch.save(squeezenet1_1(weights=None, num_classes=7).state_dict(), tmp_path / "seven.pth")
    with pytest.raises(typer.BadParameter, match="has 7 outputs; finetune the network to VOC's 20 classes"):
        run(root=root, network=f"squeezenet1_1={tmp_path / 'seven.pth'}")
    with pytest.raises(typer.BadParameter, match=r"val.txt is missing"):
        run(root=tmp_path, network=f"squeezenet1_1={weights}")
