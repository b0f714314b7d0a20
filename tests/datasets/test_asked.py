"""Photographs with questions: the official layouts, small, written here; and the real ones where they are."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from mmcam.datasets.asked import Asked, daquar, vqa
from mmcam.evaluation.vqa_accuracy import accuracy

REAL = os.environ.get("MMCAM_REAL_DATA")
real = pytest.mark.skipif(not REAL, reason="MMCAM_REAL_DATA is not set: no photographs with questions here")

TEN = ("dog",) * 7 + ("cat", "a dog", "dogs")


def question(number, picture, text="What is this?", **more):
    return {"image_id": picture, "question": text, "question_id": number} | more


def annotation(number, picture, answers=TEN, kind="other"):
    people = [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i, answer in enumerate(answers, 1)]
    return {
        "question_type": "what is",
        "multiple_choice_answer": answers[0],
        "answers": people,
        "image_id": picture,
        "answer_type": kind,
        "question_id": number,
    }


def write(folder, questions, annotations):
    """VQA v2's pair of validation files."""
    info = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": "val2014"}
    paths = folder / "v2_OpenEnded_mscoco_val2014_questions.json", folder / "v2_mscoco_val2014_annotations.json"
    paths[0].write_text(json.dumps(info | {"task_type": "Open-Ended", "questions": questions}))
    paths[1].write_text(json.dumps(info | {"annotations": annotations}))
    return paths


@pytest.mark.parametrize("folder", ["", "train2014", "val2014", "images"])
@pytest.mark.parametrize(
    "name", ["COCO_val2014_000000000042.jpg", "COCO_train2014_000000000042.jpg", "000000000042.jpg"]
)
def test_a_coco_picture_is_found_wherever_it_usually_lies(tmp_path, folder, name):
    pictures = tmp_path / "pictures"
    (pictures / folder).mkdir(parents=True)
    (pictures / folder / name).touch()
    (pictures / folder / "000000000042.png").touch()
    files = write(tmp_path, [question(42000, 42)], [annotation(42000, 42)])
    assert vqa(*files, pictures) == [Asked(pictures / folder / name, "What is this?", "other", TEN, 42000, "")]


def test_questions_meet_their_own_answers_in_the_order_of_the_questions(tmp_path):
    for number in (1, 2):
        (tmp_path / f"COCO_val2014_{number:012d}.jpg").touch()
    questions = [question(2001, 2, " How many? ", split="test"), question(1000, 1), question(2000, 2)]
    annotations = [
        annotation(1000, 1, kind="yes/no"),
        annotation(2000, 2, ("3",) * 10),
        annotation(2001, 2, ("2",) * 10, "number"),
    ]
    items = vqa(*write(tmp_path, questions, annotations), tmp_path)
    assert [item.id for item in items] == [2001, 1000, 2000]
    assert items[0] == Asked(
        tmp_path / "COCO_val2014_000000000002.jpg", "How many?", "number", ("2",) * 10, 2001, "test"
    )
    assert [item.type for item in items] == ["number", "yes/no", "other"]
    assert items[1].answers == TEN


def test_a_missing_picture_or_annotation_is_named(tmp_path):
    files = write(tmp_path, [question(42000, 42)], [annotation(42000, 42)])
    with pytest.raises(ValueError, match="asks about COCO picture 42, which is not in"):
        vqa(*files, tmp_path)
    with pytest.raises(ValueError, match=r"nowhere.json is missing; data/README.md says"):
        vqa(tmp_path / "nowhere.json", files[1], tmp_path)
    with pytest.raises(ValueError, match=r"nowhere.json is missing"):
        vqa(files[0], tmp_path / "nowhere.json", tmp_path)
    files = write(tmp_path, [question(420, 42)], [annotation(42000, 42)])  # v1's numbers with v2's
    with pytest.raises(ValueError, match=r"has no question 420 of .*; use a pair of files"):
        vqa(*files, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"questions": 3}',
        '{"questions": ["What?"]}',
        '{"questions": [{"question_id": 1}]}',
        '{"questions": [{"question_id": 1, "image_id": 1, "question": 3}]}',
        '{"questions": [{"question_id": "one", "image_id": 1, "question": "What?"}]}',
    ],
)
def test_another_form_of_questions_is_refused(tmp_path, text):
    questions, annotations = write(tmp_path, [], [])
    questions.write_text(text)
    with pytest.raises(ValueError, match="is not one of VQA's question files"):
        vqa(questions, annotations, tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"question_id": 1, "answer_type": "other"},
        {"question_id": 1, "answer_type": "other", "answers": ["dog"]},
        {"question_id": 1, "answers": []},
        "dog",
    ],
)
def test_another_form_of_annotations_is_refused(tmp_path, entry):
    questions, annotations = write(tmp_path, [question(1, 1)], [entry])
    with pytest.raises(ValueError, match="is not one of VQA's annotation files"):
        vqa(questions, annotations, tmp_path)
    with pytest.raises(ValueError, match="is not one of VQA's annotation files"):
        vqa(questions, questions, tmp_path)


# What DAQUAR's lines look like → the question without the picture's name, and its type.
ASKED = {
    "what is on the table in the image1 ?": ("what is on the table?", "what is"),
    "how many chairs are there in this image1 ?": ("how many chairs are there?", "how many"),
    "what color are the cupboards in image1 ?": ("what color are the cupboards?", "what color"),
    "what is at the right side of the image1 ?": ("what is at the right side?", "what is"),
    "which objects are on the image1 ?": ("which objects are?", "which objects"),
    "what is between the beds image1 ?": ("what is between the beds?", "what is"),
    "what is left of the image1 behind the bed in the image1 ?": (
        "what is left of the image behind the bed?",
        "what is",
    ),
    "what in the image1 ?": ("what?", "what"),
}


def write_daquar(folder, pairs, train="image1\n", test="image2\n"):
    (folder / "all_qa_pairs.txt").write_text("\n".join(line for pair in pairs for line in pair))
    (folder / "train_images_list.txt").write_text(train)
    (folder / "test_images_list.txt").write_text(test)
    (folder / "images").mkdir(exist_ok=True)
    for number in (1, 2, 10):
        (folder / "images" / f"image{number}.jpg").touch()
    return folder


def test_daquar_loses_the_names_of_pictures(tmp_path):
    items = daquar(write_daquar(tmp_path, [(text, "bed") for text in ASKED]))
    assert [(item.question, item.type) for item in items] == list(ASKED.values())
    assert [item.id for item in items] == list(range(len(ASKED)))


def test_daquar_has_one_answer_a_pair_and_two_splits(tmp_path):
    pairs = [("what is red in the image2 ?", "lamp, garbage_bin"), ("how many in the image10 ?", "2")]
    images = write_daquar(tmp_path, pairs, train="image1\nimage10\n\n") / "images"
    assert daquar(tmp_path) == [
        Asked(images / "image2.jpg", "what is red?", "what is", ("lamp, garbage_bin",), 0, "test"),
        Asked(images / "image10.jpg", "how many?", "how many", ("2",), 1, "train"),
    ]


def test_daquar_says_what_is_wrong(tmp_path):
    pair = ("what is red in the image1 ?", "lamp")
    write_daquar(tmp_path, [pair, ("what is green in the image1 ?",)])
    with pytest.raises(ValueError, match=r"has 3 lines, a question without its answer"):
        daquar(tmp_path)
    for bad in (("lamp", pair[0]), ("what is red ?", "lamp"), (pair[0], "")):
        write_daquar(tmp_path, [pair, bad, pair])
        with pytest.raises(ValueError, match=r"Pair 1 of all_qa_pairs.txt is not"):
            daquar(tmp_path)
    write_daquar(tmp_path, [pair], train="image3\n")
    with pytest.raises(ValueError, match="asks about image1, which neither list of pictures names"):
        daquar(tmp_path)
    write_daquar(tmp_path, [("what is red in the image7 ?", "lamp")], train="image7\n")
    with pytest.raises(ValueError, match=r"asks about .*image7.jpg, which is not there"):
        daquar(tmp_path)
    (tmp_path / "test_images_list.txt").unlink()
    with pytest.raises(ValueError, match=r"test_images_list.txt is missing"):
        daquar(tmp_path)


@real
def test_every_pair_of_the_real_daquar_is_read():
    items = daquar(Path(REAL) / "daquar")
    assert len(items) == 12468
    assert Counter(item.split for item in items) == {"train": 6795, "test": 5673}
    assert items[0].answers == ("garbage_bin",)
    assert items[0].question.endswith("on right side of the blue armchair?")
    assert Counter(item.type for item in items)["how many"] == 1683
    assert not any(re.search(r"image\d", item.question) for item in items)


@real
def test_the_real_vqa_questions_have_ten_answers_each():
    folder = Path(REAL) / "coco"
    items = vqa(folder / "vqa_questions.json", folder / "vqa_annotations.json", folder)
    assert len(items) == 42
    assert all(item.path.is_file() and len(item.answers) == 10 for item in items)
    assert Counter(item.type for item in items) == {"number": 16, "other": 14, "yes/no": 12}
    assert {item.split for item in items} == {"train", "valid", "test"}
    best = [max(accuracy(answer, item.answers) for answer in item.answers) for item in items]
    assert 0.5 < sum(best) / len(best) <= 1
