"""The pointing game on files in VOC's and COCO's official layouts, counted by hand."""

import json

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import nn

import mmcam
from experiments.lib import pointing_records
from experiments.lib.category_networks import Net
from experiments.lib.pointing_subjects import coco_game, vignette_game, voc_game
from experiments.paper import pointing_game
from experiments.paper.pointing_game import figures
from mmcam.datasets import vignettes
from mmcam.evaluation import inside

pytest.importorskip("pycocotools")

SIDE = 100
IDS = {"person": 1, "dog": 18, "toothbrush": 90}
WHOLE = mmcam.Preprocess(size=(SIDE, SIDE), mode="squash", mean=(0, 0, 0), std=(1, 1, 1))


def colours(outputs):
    """A network whose first three classes are the mean red, green and blue: its Grad-CAM is that channel."""
    net = nn.Sequential(
        nn.Conv2d(3, 3, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, outputs, bias=False)
    )
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3)[..., None, None])
        net[3].weight.zero_()
        net[3].weight[:3] = torch.eye(3)
    net.explain_layer = "0"
    return net.eval()


def square(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def picture(path, **points):
    """Black but for one pixel a colour, each at (x, y)."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    for channel, name in enumerate(("red", "green", "blue")):
        if name in points:
            x, y = points[name]
            pixels[y, x, channel] = 255
    Image.fromarray(pixels).save(path, "PNG")  # no JPEG: the pixel shall stay one


@pytest.fixture
def coco(tmp_path):
    """val2014 with three photographs: person hit and dog missed, dog alone hit within 15 pixels, and nothing at all."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2014").mkdir()
    picture(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg", red=(12, 12), green=(70, 70))
    picture(tmp_path / "val2014" / "COCO_val2014_000000000007.jpg", red=(1, 1), green=(40, 40))
    picture(tmp_path / "val2014" / "COCO_val2014_000000000009.jpg", red=(1, 1))
    shown = [
        (42, "person", square(5, 5, 25, 25)),
        (42, "dog", square(30, 30, 50, 50)),
        (7, "dog", square(50, 50, 90, 90)),
    ]
    table = {
        "images": [
            {"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg", "width": SIDE, "height": SIDE} for i in (42, 7, 9)
        ],
        "annotations": [
            {"id": n, "image_id": i, "category_id": IDS[name], "segmentation": region, "iscrowd": 0, "area": 1.0,
             "bbox": [0, 0, 1, 1]}
            for n, (i, name, region) in enumerate(shown)
        ],
        "categories": [{"id": number, "name": name} for name, number in IDS.items()],
    }  # fmt: skip
    (tmp_path / "annotations" / "instances_val2014.json").write_text(json.dumps(table))
    return tmp_path


def play(tmp_path, monkeypatch, data, root, methods, **options):
    monkeypatch.setattr(
        pointing_game,
        "nets_of",
        lambda data, categories, real, given: [
            Net("colours", colours(len(categories)), WHOLE, {name: [i] for i, name in enumerate(categories)})
        ],
    )
    pointing_game.main(
        data=data, root=root, methods=methods, out=tmp_path / "out", work=tmp_path / "work", network=[], **options
    )
    return json.loads((tmp_path / "out" / f"pointing-game-{data}.json").read_text())


def test_coco_counted_by_hand(coco, tmp_path, monkeypatch):
    report = play(tmp_path, monkeypatch, "coco", coco, ["gradcam"])
    rows = {row["method"]: row for row in report["rows"]}
    gradcam, middle, random = rows["gradcam"], rows["(centre)"], rows["(random)"]
    assert (report["pictures"], gradcam["pictures"]) == (3, 2), "nothing is annotated in one"
    assert (gradcam["maps"], gradcam["difficult maps"]) == (3, 2), "the second dog is alone"
    # Person 1 of 1. Dog: missed by 29 pixels, hit by 14.2: 1 of 2.
    assert gradcam["pointing"]["value"] == pytest.approx((1 + 1 / 2) / 2)
    assert gradcam["pointing difficult"]["value"] == pytest.approx((1 + 0) / 2)
    # The centre (50, 50) is within 15 of both dogs and not of the person.
    assert middle["pointing"]["value"] == pytest.approx((0 + 1) / 2)
    assert middle["pointing difficult"]["value"] == pytest.approx((0 + 1) / 2)
    masks = [subject.truth() for subject in coco_game(coco).subjects()]
    hits = {
        (i, name): np.mean([inside((x, y), mask, 15) for x in range(0, SIDE, 5) for y in range(0, SIDE, 5)])
        for i, own in enumerate(masks)
        for name, mask in own.items()
    }
    expected = (hits[0, "person"] + (hits[0, "dog"] + hits[1, "dog"]) / 2) / 2
    assert random["pointing"]["value"] == pytest.approx(expected, abs=0.02), "every fifth pixel was tried"
    assert gradcam["offered"] == 6, "three categories of two pictures"
    text = (tmp_path / "out" / "pointing-game-coco.md").read_text()
    assert "| published: VGG-16 | c_mwp |  | 49.7 |  | 44.3 |  |  |" in text
    assert "| published: VGG-16 | gradcam |  |  |  |  | 70.58 |  |" in text


def test_a_stopped_run_goes_on(coco, tmp_path, monkeypatch):
    first = play(tmp_path, monkeypatch, "coco", coco, ["gradcam"])
    (path,) = (tmp_path / "work").glob("coco-colours-*-gradcam.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:20])
    seen = []
    original = pointing_records.surest
    monkeypatch.setattr(pointing_records, "surest", lambda net, picture: seen.append(1) or original(net, picture))
    assert play(tmp_path, monkeypatch, "coco", coco, ["gradcam"])["rows"] == first["rows"]
    assert len(path.read_text().splitlines()) == 3
    assert not seen, "the third photograph shows nothing, and the others were not looked at again"


def test_the_joined_folder_of_smaller_copies_has_a_smaller_tolerance(coco, tmp_path, monkeypatch):
    table = json.loads((coco / "annotations" / "instances_val2014.json").read_text())
    table["images"] = [image | {"orig_width": 2 * SIDE, "orig_height": 2 * SIDE} for image in table["images"]]
    (coco / "annotations" / "instances_val2014.json").unlink()
    (coco / "instances.json").write_text(json.dumps(table))
    (coco / "val2014").rename(coco / "images")
    assert [subject.tolerance for subject in coco_game(coco, 2).subjects()] == [7.5, 7.5]
    row = play(tmp_path, monkeypatch, "coco", coco, ["gradcam"])["rows"][0]
    assert row["pointing"]["value"] == pytest.approx((1 + 0) / 2), "14 pixels are too far now"


def voc_xml(folder, name, things):
    objects = "".join(
        f"<object><name>{kind}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}"
        f"</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for kind, difficult, box in things
    )
    size = f"<size><width>{SIDE}</width><height>{SIDE}</height><depth>3</depth></size>"
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{size}{objects}</annotation>")


@pytest.fixture
def voc(tmp_path):
    """VOC2007 with two photographs; the first three classes are aeroplane, bicycle and bird."""
    root = tmp_path / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets" / "Main" / "test.txt").write_text("000001\n000002\n")
    # The aeroplane's difficult box counts, a class of difficult boxes only does not.
    voc_xml(
        root,
        "000001",
        [("aeroplane", 0, (1, 1, 9, 9)), ("aeroplane", 1, (61, 61, 70, 70)), ("bicycle", 1, (1, 1, 9, 9))],
    )
    voc_xml(root, "000002", [("bird", 0, (1, 1, 100, 100)), ("aeroplane", 0, (91, 91, 100, 100))])
    picture(root / "JPEGImages" / "000001.jpg", red=(69, 69), green=(4, 4))
    picture(root / "JPEGImages" / "000002.jpg", red=(1, 1), blue=(50, 50))
    return root


def test_voc_counted_by_hand(voc, tmp_path, monkeypatch):
    report = play(tmp_path, monkeypatch, "voc", voc, ["gradcam"])
    row = report["rows"][0]
    # Aeroplane: hit in its difficult box, and missed far from its box; bird: hit. The bicycle is not asked for.
    assert row["maps"] == 3
    assert row["pointing"]["value"] == pytest.approx((1 / 2 + 1) / 2)
    # Both aeroplanes are small beside another class (of the first, a difficult one); the bird is the whole picture.
    assert row["difficult maps"] == 2
    assert row["pointing difficult"]["value"] == pytest.approx(1 / 2)
    first, second = voc_game(voc).subjects()
    assert first.unclear == {"bicycle"}
    assert first.truth()["aeroplane"].sum() == 9 * 9 + 10 * 10
    assert second.truth()["bird"].all()
    assert (first.name, first.tolerance) == ("000001", 15)
    assert (
        "| published: VGG-16 | gradcam |  | 86.6 |  | 74.0 |  |  |"
        in (tmp_path / "out" / "pointing-game-voc.md").read_text()
    )


def test_a_picture_of_another_size_is_refused(voc):
    Image.new("RGB", (30, 20)).save(voc / "JPEGImages" / "000001.jpg")
    subject = next(voc_game(voc).subjects())
    with pytest.raises(mmcam.PictureError, match="is 30×20 when upright, but its boxes are for 100×100"):
        subject.picture()


def test_the_maxima_of_the_surest_are_offered_un_normalised(coco, tmp_path, monkeypatch):
    play(tmp_path, monkeypatch, "coco", coco, ["gradcam"])
    (path,) = (tmp_path / "work").glob("coco-colours-*-gradcam.jsonl")
    first = json.loads(path.read_text().splitlines()[0])["maps"]
    # α = 1/100² of a channel whose highest pixel is 1.
    assert {own["category"]: own["maximum"] for own in first} == pytest.approx(
        {"person": 1e-4, "dog": 1e-4, "toothbrush": 0}
    )
    assert [own["asked"] for own in first] == [True, True, False]


def test_vignettes_ask_for_every_kind_that_can_be_seen():
    for i, subject in enumerate(vignette_game(5).subjects()):
        scene = vignettes.draw(vignettes.seed("test", i))
        truth = subject.truth()
        assert set(truth) <= {thing.kind for thing in scene.truth.things}
        assert all(np.array_equal(mask, scene.kind_mask(kind)) for kind, mask in truth.items())
        assert subject.tolerance == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": "kitti"}, "There is no data 'kitti'; choose one of vignettes, coco, voc"),
        ({"data": "voc"}, "--root names voc's folder"),
        ({"data": "coco"}, "or set MMCAM_REAL_DATA"),
    ],
)
def test_what_is_missing_is_named(options, said, tmp_path):
    with pytest.raises(typer.BadParameter, match=said):
        pointing_game.main(**options, root=None, real=None, network=[], methods=[], limit=None, out=tmp_path)


def test_a_folder_without_cocos_files_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"holds neither annotations/instances_val2014.json nor instances\.json"):
        coco_game(tmp_path)


def test_without_a_picture_to_play_with_there_is_no_table():
    with pytest.raises(typer.BadParameter, match="None of the pictures shows a category"):
        figures([{"picture": "1", "categories": 0, "maps": []}])
