"""Exported folders are read by the official tools, and nothing is left of a failed one."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmcam.datasets import vignettes as V
from mmcam.datasets.vignettes import export as module
from mmcam.datasets.vignettes.export import export, read, rle
from mmcam.datasets.vignettes.world import KINDS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools.mask")  # of its own


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("export") / "val", "val", 12)


def _load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_read_gives_back_what_was_drawn(folder: Path) -> None:
    back = list(read(folder))
    assert len(back) == 12
    for i, vignette in enumerate(back):
        drawn = V.draw(V.seed("val", i))
        assert vignette.truth == drawn.truth
        assert vignette.image.tobytes() == drawn.image.tobytes()
        assert np.array_equal(vignette.codes, drawn.codes)
        assert vignette.captions == drawn.captions
        assert vignette.questions == drawn.questions


def test_instances_are_coco(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(folder / "instances.json"))
    for i in range(12):
        drawn = V.draw(V.seed("val", i))
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[drawn.truth.seed]))
        assert len(annotations) == len(drawn.truth.things)
        for annotation, thing, mask in zip(annotations, drawn.truth.things, drawn.instances, strict=True):
            assert coco.loadCats(annotation["category_id"])[0]["name"] == thing.kind
            assert np.array_equal(coco.annToMask(annotation).astype(bool), mask)
            assert annotation["area"] == mask.sum()
            x, y, w, h = annotation["bbox"]
            assert mask[y : y + h, x : x + w].sum() == mask.sum()
            assert mask[y, x : x + w].any()
            assert mask[y : y + h, x].any()
            assert mask[y + h - 1, x : x + w].any()
            assert mask[y : y + h, x + w - 1].any()
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(KINDS)


def test_instances_can_be_scored_by_coco(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(folder / "instances.json"))
    from pycocotools import mask as codec
    from pycocotools.cocoeval import COCOeval

    results = []
    for annotation in coco.dataset["annotations"]:
        segmentation = codec.encode(np.asfortranarray(coco.annToMask(annotation)))
        results.append(
            {**{k: annotation[k] for k in ("image_id", "category_id")}, "segmentation": segmentation, "score": 1.0}
        )
    evaluation = COCOeval(coco, coco.loadRes(results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_captions_are_coco(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(folder / "captions.json"))
    drawn = V.draw(V.seed("val", 3))
    texts = [a["caption"] for a in coco.loadAnns(coco.getAnnIds(imgIds=[drawn.truth.seed]))]
    assert texts == [c.text for c in drawn.captions]
    assert (folder / "images" / coco.loadImgs(drawn.truth.seed)[0]["file_name"]).is_file()


def test_questions_are_vqa(folder: Path) -> None:
    asked, answered = _load(folder / "questions.json"), _load(folder / "annotations.json")
    assert {"info", "task_type", "data_type", "data_subtype", "license", "questions"} <= set(asked)
    assert {"info", "data_type", "data_subtype", "license", "annotations"} <= set(answered)
    by_id = {a["question_id"]: a for a in answered["annotations"]}
    assert len(by_id) == len(asked["questions"]) == len(answered["annotations"])
    expected = {q.text: q.answer for q in V.draw(V.seed("val", 0)).questions}
    for question in asked["questions"]:
        annotation = by_id[question["question_id"]]
        answer = annotation["multiple_choice_answer"]
        assert annotation["image_id"] == question["image_id"]
        assert [a["answer"] for a in annotation["answers"]] == [answer] * 10
        assert [a["answer_id"] for a in annotation["answers"]] == list(range(1, 11))
        kind = "yes/no" if answer in ("yes", "no") else "number" if answer.isdigit() else "other"
        assert annotation["answer_type"] == kind
        if question["image_id"] == V.seed("val", 0):
            assert expected[question["question"]] == answer


def test_masks_have_a_legend(folder: Path) -> None:
    from PIL import Image

    legend = _load(folder / "masks/legend.json")
    drawn = V.draw(V.seed("val", 1))
    name = f"{drawn.truth.seed:08d}.png"
    owners = np.array(Image.open(folder / "masks/instances" / name))
    codes = np.array(Image.open(folder / "masks/parts" / name))
    assert owners.dtype == codes.dtype == np.uint8
    for i, thing in enumerate(drawn.truth.things):
        assert np.array_equal(owners == i + 1, drawn.instances[i])
        for part in thing.parts:
            code = 1 + 16 * i + legend["kinds"][thing.kind].index(part)
            assert np.array_equal(codes == code, drawn.part_mask(i, part))


def test_two_processes_write_what_one_writes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FOR_A_POOL", 1)
    heard: list[tuple[int, int]] = []
    other = export(tmp_path / "val", "val", 12, progress=lambda done, n: heard.append((done, n)))
    assert heard == [(i, 12) for i in range(1, 13)]
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
    assert all((folder / f).read_bytes() == (other / f).read_bytes() for f in files)


def test_nothing_is_left_of_a_failed_export(tmp_path: Path) -> None:
    def give_up(done: int, n: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "val", "val", 5, progress=give_up)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        export(tmp_path, "val", 1)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        export(tmp_path / "mine.txt", "val", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export(tmp_path / "out", "heldout", 1) == tmp_path / "out"
    assert len(list(read(tmp_path / "out"))) == 1


def test_wrong_requests_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'dev'"):
        export(tmp_path / "deep" / "out", "dev", 1)
    with pytest.raises(ValueError, match="not 0"):
        export(tmp_path / "deep" / "out", "val", 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match=r"truth\.jsonl"):
        read(tmp_path)


def test_run_lengths_begin_with_zeros() -> None:
    mask = np.array([[True, False], [True, True]])
    assert rle(mask) == {"size": [2, 2], "counts": [0, 2, 1, 1]}
    assert rle(~mask) == {"size": [2, 2], "counts": [2, 1, 1]}
    assert rle(np.zeros((2, 3), dtype=bool)) == {"size": [2, 3], "counts": [6]}
