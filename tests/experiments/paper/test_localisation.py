"""The localisation script: ILSVRC's files from end to end, records that are kept, and figures worked out by hand."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torchvision import models as zoo

from experiments.lib import boxes, modified_game
from experiments.paper import localisation
from tests.datasets.test_imagenet import NAME, OBJECT, XML


@pytest.fixture
def ilsvrc(tmp_path, monkeypatch):
    """Three photographs in the official folders, and a MobileNetV2's random weights."""
    monkeypatch.setattr(modified_game, "RESAMPLES", 20)
    data = tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    annotations = tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    sets = tmp_path / "ILSVRC" / "ImageSets" / "CLS-LOC"
    for folder in (data, annotations, sets):
        folder.mkdir(parents=True)
    ids = [f"n{i:08d}" for i in range(1000)]
    (tmp_path / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} thing {wnid}\n" for wnid in ids))
    (sets / "val.txt").write_text("".join(f"{NAME.format(i)} {i}\n" for i in (1, 2, 3)))
    (tmp_path / "ILSVRC2014_clsloc_validation_blacklist.txt").write_text("3\n")
    for i in (1, 2, 3):
        pixels = np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(data / f"{NAME.format(i)}.JPEG")
        entry = OBJECT.format(5, 5, 40, 30, wnid=ids[i])
        (annotations / f"{NAME.format(i)}.xml").write_text(XML.format(name=NAME.format(i), objects=entry))
    torch.manual_seed(0)
    torch.save(zoo.mobilenet_v2(weights=None).state_dict(), tmp_path / "weights.pth")
    return tmp_path


def run(root, **more):
    given = {"methods": ["gradcam"], "others": 0, "network": [f"mobilenet_v2={root / 'weights.pth'}"], **more}
    localisation.main(data="ilsvrc", root=root, limit=None, out=root / "out", work=root / "work", **given)
    return json.loads((root / "out" / "localisation-ilsvrc.json").read_text())


def test_official_files_give_a_table_a_picture_and_records(ilsvrc):
    report = run(ilsvrc)
    assert [row["method"] for row in report["rows"]] == ["gradcam", boxes.WHOLE]
    whole = report["rows"][1]
    assert whole["pictures"] == 3
    assert whole["localisation top-1"]["pictures"] == 2, "the blacklisted one counts as a class only"
    assert whole["classification top-1"]["pictures"] == 3
    text = (ilsvrc / "out" / "localisation-ilsvrc.md").read_text()
    assert "| published: VGG-16 | Grad-CAM | 50000 | 30.38 | 10.89 | 56.51 | 46.41 |" in text
    assert Image.open(ilsvrc / "out" / "localisation-ilsvrc.png").width > 300
    assert {path.suffix for path in (ilsvrc / "out").iterdir()} == {".json", ".md", ".png"}


def test_goes_on_where_it_was_stopped(ilsvrc, monkeypatch):
    first = run(ilsvrc)
    path = next((ilsvrc / "work").glob("*gradcam.jsonl"))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:40])  # stopped in the middle of a line
    asked = []
    original = boxes.marks
    monkeypatch.setattr(boxes, "marks", lambda net, picture, *rest: asked.append(1) or original(net, picture, *rest))
    assert run(ilsvrc)["rows"] == first["rows"]
    assert len(asked) == 2
    assert path.read_text().splitlines(keepends=True) == lines


@pytest.mark.long
def test_other_methods_see_fewer_pictures_and_misfits_are_named(ilsvrc, monkeypatch):
    monkeypatch.setattr(localisation, "OTHERS", (boxes.GRABCUT, "cam"))
    report = run(ilsvrc, others=2)
    assert {row["method"]: row["pictures"] for row in report["rows"]} == {
        "gradcam": 3, boxes.WHOLE: 3, boxes.GRABCUT: 2, "cam": 2,
    }  # fmt: skip
    assert report["left out"] == []
    torch.save(zoo.squeezenet1_0(weights=None).state_dict(), ilsvrc / "other.pth")
    report = run(ilsvrc, others=2, network=[f"squeezenet1_0={ilsvrc / 'other.pth'}"])
    assert [each["method"] for each in report["left out"]] == ["cam"]
    assert "Left out: squeezenet1_0, cam: " in (ilsvrc / "out" / "localisation-ilsvrc.md").read_text()


def test_one_picture_has_no_halves(ilsvrc):
    with pytest.raises(typer.BadParameter, match="at least 2"):
        run(ilsvrc, others=1)


@pytest.mark.parametrize("text", ["resnet18", "resnet18=", "resnet5=w.pth", "resnet18=missing.pth"])
def test_a_network_is_a_name_and_a_file(ilsvrc, text):
    with pytest.raises(typer.BadParameter, match=r"NAME=FILE|the closest are|no weights file"):
        run(ilsvrc, network=[text])
