"""Where pictures come from: ids that stay, what each source knows, and pictures that lie in tars."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

import mmcam
from mmcam.jobs.decode import picture_at
from mmcam.jobs.measures import where
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source
from mmcam.jobs.truths import with_truth


def quiet(text):
    """Nobody is told."""


def ids(spec):
    return [item.id for item in read_source(spec).items]


def test_a_folder(desk):
    (desk / "photos" / ".hidden").mkdir()
    (desk / "photos" / ".hidden" / "x.png").write_bytes(b"")
    (desk / "photos" / "notes.txt").write_text("none")
    found = ids("photos")
    assert found == sorted(found)
    assert len(found) == 21
    assert found[0] == "blue/01.png"
    source = read_source("photos")
    assert picture_at(source.root, source.items[0].picture).size == (41, 30)


def test_a_list_is_read_as_the_shell_means_it_or_beside_the_list(desk, monkeypatch):
    (desk / "photos" / "list.txt").write_text("# two\nred/00.png\n\nblue/01.png\nred/00.png\n")
    assert ids("photos/list.txt") == ["red/00.png", "blue/01.png"]
    monkeypatch.chdir(desk / "photos" / "red")
    source = read_source(str(desk / "photos" / "list.txt"))
    assert picture_at(source.root, source.items[1].picture).size == (41, 30)
    (desk / "photos" / "red" / "here.txt").write_text("00.png\n")
    here = read_source("here.txt")
    assert picture_at(here.root, here.items[0].picture).size == (40, 30)


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def tars(desk):
    for number in range(2):
        with tarfile.open(f"set-{number:03d}.tar", "w") as tar:
            for n in range(3):
                key = f"{number}{n}"
                add(tar, f"{key}.png", (desk / "photos" / "red" / f"{2 * n:02d}.png").read_bytes())
                add(tar, f"{key}.cls", b"red\n")
                add(tar, f"{key}.json", json.dumps({"caption": f"picture {key}", "question": "what?"}).encode())
            add(tar, "broken.jpg", b"no picture")
            add(tar, "alone.txt", b"no picture beside it")
    return desk


def test_webdataset(tars, plan):
    source = read_source("webdataset:set-{000..001}.tar")
    assert [item.id for item in source.items] == [
        *(f"set-000/0{n}" for n in range(3)), "set-000/broken", *(f"set-001/1{n}" for n in range(3)), "set-001/broken",
    ]  # fmt: skip
    assert ids("webdataset:set-*.tar") == [item.id for item in source.items]
    first = source.items[0]
    assert (first.truth.classes, first.truth.captions, first.question) == (("red",), ("picture 00",), "what?")
    assert source.items[3].truth is None
    done = run(plan(), source, "out", tell=quiet)
    assert (done.rows, done.errors) == (6, 2)
    job = mmcam.jobs.open("out")
    (exp,) = job["set-001/11"]
    alone = mmcam.explain_class(mmcam.models.specification.load_model("net:make")[0], "photos/red/02.png")
    assert exp.score == pytest.approx(alone.score, rel=1e-5)
    np.testing.assert_array_equal(np.asarray(exp.image), np.asarray(alone.image))
    assert job.to_pandas()["correct"].notna().all()


def test_a_tar_that_was_cut_off_since(tars, plan):
    source = read_source("webdataset:set-000.tar")
    content = (tars / "set-000.tar").read_bytes()
    (tars / "set-000.tar").write_bytes(content[:6000])
    run(plan(), source, "out", tell=quiet)
    assert mmcam.jobs.open("out").errors()["error"].str.contains("ends before byte").any()


def test_coco_with_masks(desk, plan):
    pytest.importorskip("pycocotools")
    images = [{"id": n, "file_name": f"{2 * n:02d}.png", "width": 40 + 2 * n, "height": 30} for n in range(4)]
    square = [10.0, 5.0, 30.0, 5.0, 30.0, 20.0, 10.0, 20.0]
    annotations = [
        {"image_id": 1, "category_id": 7, "segmentation": [square]},
        {"image_id": 1, "category_id": 8, "segmentation": [square]},
        {"image_id": 2, "category_id": 7, "segmentation": {"size": [30, 44], "counts": [0, 30, 1290]}},
    ]
    categories = [{"id": 7, "name": "red"}, {"id": 8, "name": "unicorn"}]
    (desk / "i.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    source = read_source("coco:i.json:photos/red")
    truth = source.items[1].truth
    assert truth.classes == ("red", "unicorn")
    mask = where(truth, "red", source.items[1], source.root, (30, 42))
    assert mask[6:19, 11:29].all()
    assert abs(mask.sum() - 300) <= 20
    column = where(source.items[2].truth, "red", source.items[2], source.root, (30, 44))
    assert column[:, 0].all()
    assert column.sum() == 30
    told = []
    run(plan(targets=("red",)), source, "out", tell=told.append)
    frame = mmcam.jobs.open("out").to_pandas().set_index("id")
    assert told == ["1 of the 2 classes are none of the model's (unicorn)."]
    assert frame["pointing"].notna().to_dict() == {"00.png": False, "02.png": True, "04.png": True, "06.png": False}


def test_coco_captions(desk, plan):
    images = [{"id": 1, "file_name": "00.png"}]
    said = [{"image_id": 1, "caption": " a dog "}, {"image_id": 1, "caption": "the dog"}]
    (desk / "c.json").write_text(json.dumps({"images": images, "annotations": said}))
    assert read_source("coco:c.json:photos/red").items[0].truth.captions == ("a dog", "the dog")


def test_imagenet(desk):
    root = desk / "ilsvrc"
    for folder in ("ILSVRC/ImageSets/CLS-LOC", "ILSVRC/Data/CLS-LOC/val"):
        (root / folder).mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text("n00000001 red, scarlet\nn00000002 blue\n")
    (root / "ILSVRC/ImageSets/CLS-LOC/val.txt").write_text("ILSVRC2012_val_00000001 1\n")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nILSVRC2012_val_00000001,n00000002 1 2 20 22\n"
    )
    Image.new("RGB", (30, 30)).save(root / "ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", "JPEG")
    source = read_source("imagenet:ilsvrc")
    (item,) = source.items
    assert (item.id, item.truth.classes) == ("ILSVRC2012_val_00000001", ("n00000002",))
    mask = where(item.truth, "n00000002", item, source.root, (30, 30))
    assert mask.sum() == 20 * 21
    assert mask[2, 1]
    assert picture_at(source.root, item.picture).size == (30, 30)


def test_folders_as_classes(desk):
    source = with_truth(read_source("photos"), "folders")
    assert {item.truth.classes for item in source.items} == {("red",), ("blue",)}
    with pytest.raises(mmcam.ExplainError, match=r"lies in no folder"):
        with_truth(read_source("photos/red"), "folders")


def test_the_digest_hangs_on_names_and_truth(desk):
    one = read_source("photos")
    assert one.digest == read_source("photos").digest
    assert one.digest != with_truth(one, "folders").digest
    (desk / "photos" / "red" / "new.png").write_bytes(b"")
    assert one.digest != read_source("photos").digest
