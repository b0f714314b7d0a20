"""The localisation script: ILSVRC's files from end to end, records that are kept, and figures worked out by hand."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from records import record
from torchvision import models as zoo

import mmcam
from experiments.lib import boxes, located, modified_game
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


def test_the_papers_layers_are_read():
    """c-MWP at pool4 of VGG-16 and layer3 of ResNet-50 (Zhang et al., section 4): modules with that many channels."""
    x = torch.zeros(1, 3, 64, 64)
    for (name, _), layer in boxes.LAYERS.items():
        model = zoo.get_model(name, weights=None).eval()
        shapes = []
        model.get_submodule(layer).register_forward_hook(lambda m, i, out, shapes=shapes: shapes.append(out.shape))
        with torch.no_grad():
            model(x)
        assert shapes[0] == {"vgg16": (1, 512, 4, 4), "resnet50": (1, 1024, 4, 4)}[name]


def test_figures_by_hand():
    hit = record("a", [7, 1, 2, 3, 4], {"7": [[0, 0, 49, 39]]}, {n: [0, 0, 49, 39] for n in (7, 1, 2, 3, 4)})
    beside = record("b", [7, 1, 2, 3, 4], {"7": [[60, 50, 99, 79]]}, {n: [0, 0, 9, 9] for n in (7, 1, 2, 3, 4)})
    found = located.figures([hit, beside], tolerance=0)
    assert found["localisation top-1"]["value"] == found["localisation top-5"]["value"] == 0.5
    assert found["classification top-1"]["value"] == 0
    assert found["pointing"]["value"] == 0.5
    assert (found["pointing"]["low"], found["pointing"]["high"]) == (0, 1)
    assert found["pointing small"]["value"] == 0, "only b's box covers less than a quarter"
    assert found["by share"]["0.15"]["value"] == 0.5
    # Modified: keeping all is right once of 10 maps; rejecting all, as all maxima are equal, is right for 8 of 10.
    assert found["modified"]["value"] == pytest.approx(0.8)


def test_grabcuts_box_returns_to_the_pictures_pixels():
    """A thing in what the network sees, which is a centre crop: the box lies at the thing in the whole picture."""
    noise = np.random.default_rng(0)
    pixels = noise.normal((60, 150, 60), 6, (100, 200, 3))
    pixels[30:70, 90:130] = noise.normal((200, 40, 40), 6, (40, 40, 3))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    x = torch.zeros(1, 1, 1, 1, requires_grad=True)

    class Redness(torch.nn.Module):
        def forward(self, pictures):
            """Its gradient is large where a picture is red."""
            red = pictures[:, :1] - pictures[:, 1:2]
            return (red.clamp(min=0) ** 2).sum((2, 3)) + 0 * x.sum()

    net = boxes.Net("redness", Redness(), mmcam.Preprocess(size=(50, 50), mode="crop", resize=50))
    exp = mmcam.explain_class(net.model, picture, 0, method="gradient", preprocess=net.preprocess)
    left, top, right, bottom = boxes.grown(net, picture, exp)
    assert np.abs(np.array([left, top, right, bottom]) - [90, 30, 129, 69]).max() <= 2
