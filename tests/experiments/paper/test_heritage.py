"""Heritage: classes read from captions, by hand, and tables of a small run that is not trained twice."""

import json
from functools import partial

import pytest
import timm
import torch

from experiments.lib.labelled_by_captions import class_of, write_labels
from experiments.paper import heritage
from mmcam.diagnosis.labelled import read_labelled
from mmcam.diagnosis.transfer import Settings, fitting, measured


@pytest.mark.parametrize(
    ("captions", "name"),
    [
        (["A man skis .", "A skier on snow .", "Someone in the snow", "Snow !", "A man jumps"], "snow"),
        (["A man skis .", "A skier on snow .", "Someone in the snow", "A man", "A man jumps"], None),  # three of five
        (["A boy on a bike ."] * 4 + ["A boy rides in the snow"], None),  # one says another class
        (["A biker on a dirt track ."] * 5, None),  # a motorcycle, perhaps
        (["Two boys play soccer ."] * 5, "football"),
        (["A dog runs ."] * 5, None),
    ],
)
def test_what_captions_agree_on(captions, name):
    assert class_of(captions) == name


def test_labels_of_flickr8k(tmp_path):
    root = tmp_path / "flickr8k"
    (root / "images").mkdir(parents=True)
    lines = []
    for number in range(6):
        (root / "images" / f"{number}.jpg").write_bytes(b"")
        said = "a boy on a bike" if number < 4 else "a dog"
        lines += [f"{number}.jpg#{i}\t{said}" for i in range(5)]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines))
    for split, names in {"train": range(4), "dev": [4], "test": [5]}.items():
        (root / f"Flickr_8k.{split}Images.txt").write_text("\n".join(f"{i}.jpg" for i in names))
    found = read_labelled(write_labels(root, tmp_path / "labels.csv"))
    assert {(each.path.name, each.labels) for each in found.pictures} == {
        (f"{i}.jpg", ("bicycle",)) for i in range(4)
    }  # fmt: skip


@pytest.mark.slow
def test_tables_of_a_small_run(tmp_path, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "tiny.pth")
    monkeypatch.setattr(heritage, "OWN", "timm:test_resnet")
    monkeypatch.setattr(heritage, "Settings", partial(Settings, head_epochs=1, views=1))
    monkeypatch.setattr(heritage, "VIEWS", 1)
    monkeypatch.setattr(measured, "RESAMPLES", 20)
    network = [f"timm:test_resnet={tmp_path / 'tiny.pth'}"]
    where = {"out": tmp_path / "out", "work": tmp_path / "work"}
    heritage.main("houses", network, houses=48, epochs=0, **where)
    report = json.loads((tmp_path / "out" / "heritage-houses.json").read_text())
    (row,) = report["rows"]
    assert row["parts"]["train"] + row["parts"]["val"] + row["parts"]["test"] == report["pictures"] == 48
    assert sum(own["pictures"] for own in row["classes"].values()) == row["parts"]["test"]
    assert str(tmp_path) not in (tmp_path / "out" / "heritage-houses.json").read_text()
    text = (tmp_path / "out" / "heritage-houses.md").read_text()
    assert "94 %" in text
    assert text.count("← chosen") == 1
    monkeypatch.setattr(fitting.Fit, "_step", lambda *args: pytest.fail("trained before"))
    heritage.main("houses", network, houses=48, epochs=0, **where)
    assert json.loads((tmp_path / "out" / "heritage-houses.json").read_text())["rows"] == report["rows"]
