"""From labels to masks: a classifier that counts colours is taught to segment them."""

import json

import numpy as np
import pytest
import torch
from colours import Colours, mask, squares, table
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import models
from mmcam.cli import app
from mmcam.diagnosis.segmentation import learning, run, sowing
from mmcam.diagnosis.segmentation.learning import Schedule, rows_of
from mmcam.diagnosis.segmentation.masks import measure, write_masks
from mmcam.diagnosis.segmentation.network import REACH, Segmenter
from mmcam.diagnosis.segmentation.palette import colour, in_palette
from mmcam.diagnosis.segmentation.pictures import VOID, to_learn, to_measure, truth
from mmcam.diagnosis.segmentation.predict import check_field, classes_of_pixels
from mmcam.diagnosis.segmentation.run import segment
from mmcam.diagnosis.segmentation.scores import counts, ious, miou
from mmcam.diagnosis.segmentation.sowing import Subject, at_middles
from mmcam.errors import ExplainError

SHORT = Schedule(steps=6, batch=2, size=64, rate=1e-2, width=8)


class Coarse(Colours):
    """The same with cells of eight pixels, and as many channels again that show nothing."""

    def __init__(self):
        super().__init__()
        wide, self.fc = nn.Conv2d(3, 6, 1), nn.Linear(6, 3)
        with torch.no_grad():
            for layer, weight in ((wide, torch.eye(6, 3)[:, :, None, None]), (self.fc, 40 * torch.eye(3, 6))):
                layer.weight.copy_(weight)
                layer.bias.zero_()
        self.features = nn.Sequential(wide, nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2))
        self.eval()


@pytest.fixture
def photos(tmp_path):
    """Eight pictures of a red or a green square, with masks, one of both, and a broken one."""
    rows = []
    for n in range(8):
        name, left, top = ("red", "green")[n % 2], 2 + 2 * n, 18 - 2 * n
        squares(tmp_path / f"{n}.png", (name, left, top, 12))
        mask(tmp_path / f"{n}-mask.png", left, top, 12)
        rows.append({"picture": f"{n}.png", "class": name, "mask": f"{n}-mask.png"})
    squares(tmp_path / "both.png", ("red", 0, 0, 12), ("green", 18, 18, 12))
    for name, at in (("red", 0), ("green", 18)):
        mask(tmp_path / f"both-{name}.png", at, at, 12)
        rows.append({"picture": "both.png", "class": name, "mask": f"both-{name}.png"})
    (tmp_path / "broken.png").write_bytes(b"no picture")
    rows.append({"picture": "broken.png", "class": "red", "mask": "0-mask.png"})
    return table(tmp_path / "photos.csv", *rows)


def test_a_network_learns_where_colours_are_from_labels_alone(photos, tmp_path):
    told = []
    # So it learns whatever the seed; by plain gradients it is the machine's rounding that decides whether it does.
    schedule = Schedule(steps=160, batch=4, size=64, rate=1e-3, fall=0.5, width=32, adaptive=True, alone=80)
    trained = segment(Subject(Coarse()), to_learn(photos), tmp_path / "out", schedule, tell=told.append)
    assert trained.classes == ("green", "red")
    assert any("1 of 10 are left out" in text for text in told)
    records = measure(trained, to_measure(photos, trained.classes), tmp_path / "out" / "test.jsonl")
    assert [record["picture"].rpartition("/")[2] for record in records if "skipped" in record] == ["broken.png"]
    counted = [record["counts"] for record in records if "counts" in record]
    assert miou(counted) > 0.45
    nothing = [[[true, said + true, true] if not n else [0, 0, true] for n, (_, said, true) in enumerate(each)]
               for each in counted]  # fmt: skip
    assert miou(counted) > 1.5 * miou(nothing), "background everywhere is a third"


def test_a_run_that_was_stopped_ends_as_one_that_was_not(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "SAVE_EVERY", 2)
    monkeypatch.setattr(sowing, "_SAVED_AT_ONCE", 2)
    data = to_learn(photos)
    whole = segment(Subject(Coarse()), data, tmp_path / "whole", SHORT)

    sow, seen = sowing.seeds_of, []
    monkeypatch.setattr(
        sowing, "seeds_of", lambda *a, **k: seen.append(1) or (sow(*a, **k) if len(seen) < 6 else 1 / 0)
    )
    with pytest.raises(ZeroDivisionError):
        segment(Subject(Coarse()), data, tmp_path / "parts", SHORT)
    monkeypatch.setattr(sowing, "seeds_of", sow)
    make, made = run._batch, []
    monkeypatch.setattr(run, "_batch", lambda *a: made.append(1) or (make(*a) if len(made) < 4 else 1 / 0))
    told = []
    with pytest.raises(ZeroDivisionError):
        segment(Subject(Coarse()), data, tmp_path / "parts", SHORT, tell=told.append)
    assert told[0] == "4 of 10 are seeded already, 6 are left."
    monkeypatch.setattr(run, "_batch", make)
    told.clear()
    parts = segment(Subject(Coarse()), data, tmp_path / "parts", SHORT, tell=told.append)
    assert "2 of 6 steps are done already, 4 are left." in told
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, parts.network.state_dict()[name]), name
    told.clear()
    monkeypatch.setattr(run, "_batch", lambda *a: pytest.fail("trained before"))
    again = segment(Subject(Coarse()), data, tmp_path / "parts", SHORT, tell=told.append)
    assert any("trained already" in text for text in told)
    assert all(torch.equal(v, again.network.state_dict()[k]) for k, v in whole.network.state_dict().items())
    with pytest.raises(ExplainError, match="another schedule"):
        segment(Subject(Coarse()), data, tmp_path / "parts", Schedule(steps=7, batch=2, size=64, width=8))


def test_the_classifier_and_the_random_state_are_left_as_found(photos, tmp_path):
    model = Coarse()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    segment(Subject(model), to_learn(photos), tmp_path / "out", SHORT)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


def test_every_picture_is_seen_once_an_epoch():
    schedule = Schedule(batch=3)
    for epoch in range(3):
        seen = [row for step in range(3) for row in rows_of(3 * epoch + step, 9, schedule)]
        assert sorted(seen) == list(range(9))
    assert len(rows_of(0, 2, schedule)) == 2, "fewer pictures than a batch"


@pytest.mark.parametrize(
    ("name", "size", "cells"),
    [("vignette-classifier", 65, 9), ("vignette-classifier", 321, 41), ("photo-classifier", 65, 9)],
)
def test_a_cell_is_eight_pixels(name, size, cells):
    """On the grid of 321² that is published, 41², the head's weights lie twelve cells apart."""
    model = models.load(name)
    layer = "encoder.features" if name.startswith("vignette") else "network.bn2"
    network = Segmenter(model, layer, 5, size, 4)
    assert network.cells == cells
    assert network.head[0].dilation == (max(1, round(REACH * cells)),) * 2
    if size < 100:
        assert network(torch.zeros(1, 3, size, size)).shape == (1, 5, cells, cells)
        assert not network.train().encoder.training


def test_finer_cells_show_what_the_coarse_ones_showed():
    """Where strides became dilations, every second cell of an even picture is the coarse one's."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 8, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1)
    )
    x = torch.randn(1, 3, 256, 256)
    coarse, fine = net(x), Segmenter(net, "4", 2, 256, 4).encoder(x)
    assert fine.shape[-1] == 2 * coarse.shape[-1]
    assert torch.allclose(fine[..., ::2, ::2], coarse, atol=1e-6)


def test_scores_by_hand():
    true = np.array([[0, 0, 1], [1, 2, VOID]])
    said = np.array([[0, 1, 1], [1, 0, 2]])
    found = counts(said, true, 4)
    assert found == [[1, 2, 2], [2, 3, 2], [0, 0, 1], [0, 0, 0]]
    assert ious([found, found])[:3] == pytest.approx([1 / 3, 2 / 3, 0])
    assert miou([found, found]) == pytest.approx((1 / 3 + 2 / 3 + 0) / 3), "the fourth is nowhere"


def test_the_palette_is_vocs():
    assert [colour(n) for n in (0, 1, 2, 8, 15, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (64, 0, 0), (192, 128, 128), (0, 64, 128), (224, 224, 192),
    ]  # fmt: skip
    classes = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(np.asarray(in_palette(classes)), classes)


def test_masks_are_written_once_and_bad_pictures_told(photos, tmp_path):
    trained = segment(Subject(Coarse()), to_learn(photos), tmp_path / "out", SHORT)
    pictures = [photos.parent / name for name in ("0.png", "both.png", "broken.png")]
    (skipped,) = write_masks(trained, pictures, tmp_path / "masks", "none")
    assert skipped[0] == pictures[2]
    mask_ = Image.open(tmp_path / "masks" / "both.png")
    expected = classes_of_pixels(trained.network, Image.open(pictures[1]), trained.preprocess, "none")
    assert mask_.mode == "P"
    assert np.array_equal(np.asarray(mask_), expected)
    told = []
    write_masks(trained, pictures[:2], tmp_path / "masks", "none", tell=told.append)
    assert told == ["2 of 2 masks are there already, 0 are left."]
    with pytest.raises(ExplainError, match="Two pictures are called 0"):
        write_masks(trained, [pictures[0], tmp_path / "0.png"], tmp_path / "masks")


def test_bad_input_is_one_sentence(photos, tmp_path):
    for n in range(3):
        squares(tmp_path / "one" / "red" / f"{n}.png", ("red", 2, 2, 8))
    with pytest.raises(ExplainError, match=r"All 3 pictures of .*one show red; add pictures of another class"):
        to_learn(tmp_path / "one")
    squares(tmp_path / "bare" / "0.png", ("red", 2, 2, 8))
    with pytest.raises(ExplainError, match="no folder for a class"):
        to_learn(tmp_path / "bare")
    squares(tmp_path / "one" / "green" / "0.png", ("green", 2, 2, 8))
    with pytest.raises(ExplainError, match=r"no mask of green, red in every picture"):
        to_measure(tmp_path / "one", ["green", "red"])
    with pytest.raises(ExplainError, match="has green, which was not learnt"):
        to_measure(photos, ["red", "blue"])
    with pytest.raises(ExplainError, match="no field 'mean'"):
        check_field("mean")
    strange = table(tmp_path / "s.csv", *[{"picture": f"{n}.png", "class": "dog" if n else "red"} for n in range(3)])
    with pytest.raises(ExplainError, match=r"labels \(dog\) are none of the model's 3 classes"):
        segment(Subject(Coarse()), to_learn(strange), tmp_path / "out", SHORT)
    with pytest.raises(ExplainError, match=r"gives no map of 8×8 cells .* \(its shape is \(1, 3, 64, 64\)\)"):
        Segmenter(Colours(), "features", 3, 64)


def test_a_checkpoint_of_another_network_is_refused(photos, tmp_path):
    (tmp_path / "out").mkdir()
    torch.save({"network": {}, "optimiser": {}, "step": 3}, tmp_path / "out" / run.CHECKPOINT)
    with pytest.raises(ExplainError, match="holds no state of this network"):
        segment(Subject(Coarse()), to_learn(photos), tmp_path / "out", SHORT)


def test_masks_of_ones_own_overlap_with_the_smaller_in_front(tmp_path):
    squares(tmp_path / "a.png", ("red", 0, 0, 20), ("green", 4, 4, 4))
    mask(tmp_path / "r.png", 0, 0, 20)
    mask(tmp_path / "g.png", 4, 4, 4)
    rows = [{"picture": "a.png", "class": c, "mask": f"{c[0]}.png"} for c in ("green", "red")]
    (picture,) = to_measure(table(tmp_path / "t.csv", *rows), ["green", "red"])
    found = truth(picture, ["green", "red"], (32, 32))
    assert (found == 1).sum() == 16
    assert (found == 2).sum() == 400 - 16


@pytest.fixture
def voc(tmp_path):
    """A year's folder in the official layout: palette PNGs with borders of 255, boxes, three lists."""
    root = tmp_path / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "Annotations", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    for n in range(4):
        name, box = f"2007_00000{n}", (4 + n, 6, 14 + n, 20)
        kind, index = (("cat", 8), ("dog", 12))[n % 2]
        pixels = np.full((32, 40, 3), 40, np.uint8)
        pixels[box[1] : box[3], box[0] : box[2], n % 2] = 250
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
        classes = np.zeros((32, 40), np.uint8)
        classes[box[1] - 1 : box[3] + 1, box[0] - 1 : box[2] + 1] = VOID
        classes[box[1] : box[3], box[0] : box[2]] = index
        in_palette(classes).save(root / "SegmentationClass" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><size><width>40</width><height>32</height><depth>3</depth></size><object><name>{kind}</name>"
            f"<difficult>0</difficult><bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin><xmax>{box[2]}</xmax>"
            f"<ymax>{box[3]}</ymax></bndbox></object></annotation>"
        )
    for split, chosen in (("train", (0, 1)), ("val", (2, 3))):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"2007_00000{n}\n" for n in chosen))
    return root


def test_voc_in_its_official_layout(voc):
    data = to_learn(voc)
    assert [picture.labels for picture in data.pictures] == [("cat",), ("dog",)]
    (voc / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("".join(f"2007_00000{n}\n" for n in range(4)))
    assert len(to_learn(voc).pictures) == 4, "SEC's longer list, where it is there"
    first, _ = to_measure(voc, data.classes)
    found = truth(first, data.classes, (40, 32))
    assert set(np.unique(found)) == {0, 1, VOID}, "the cat, the first of the two that were learnt"
    assert (found == 1).sum() == 10 * 14
    assert (at_middles(found, 32) == -1).any(), "a border is no seed"


def test_voc_with_the_published_schedule_by_default(voc, tmp_path):
    assert Schedule() == Schedule(steps=8000, batch=15, size=321, rate=1e-3, fall=0.1, width=1024)
    classes = ["cat", "dog", "bird"]
    trained = segment(Subject(Coarse(), names=classes), to_learn(voc), tmp_path / "out", SHORT)
    records = measure(trained, to_measure(voc, trained.classes), tmp_path / "out" / "test.jsonl")
    assert len(records) == 2
    known = [record["counts"] for record in records]
    assert all(sum(row[2] for row in each) == 32 * 40 - 2 * (12 + 14) for each in known), "borders do not count"


def test_the_command(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("mmcam.cli.segment.load_model", lambda spec, weights, device: (Coarse(), None))
    out = tmp_path / "run"
    files = [str(photos), "--out", str(out), "--test", str(photos), "--masks", str(photos.parent / "both.png")]
    short = ["--steps", "4", "--batch", "2", "--size", "64", "--width", "8"]
    line = ["segment", "--model", "coarse", *files, *short]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "test-grid.json").read_text())
    assert report["pictures"] == 9
    assert set(report["iou"]) == {"background", "green", "red"}
    assert "mIoU" in result.output
    assert "0 is background, 1 green, 2 red" in result.output
    assert (out / "masks" / "both.png").is_file()
    again = CliRunner().invoke(app, line)
    assert "trained already" in again.output
    assert "10 of 10 are measured already, 0 are left." in again.output
    wrong = CliRunner().invoke(app, ["segment", str(tmp_path / "nothing"), "--model", "coarse"])
    assert wrong.exit_code == 1
    assert "There are no labelled pictures" in wrong.output
