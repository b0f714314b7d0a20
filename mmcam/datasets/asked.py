"""Readers of photographs with questions and people's answers: the official files of VQA (v1 and v2) and of DAQUAR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmcam.datasets.captioned import brief, read_text, shown, text_of
from mmcam.files import is_file, is_folder, parsed

FOLDERS = ("", "train2014", "val2014", "images")  # below a folder of COCO's pictures
_COCO_NAME = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})\.jpg")
# "in the image7 ?", but also "of the image7 ?", "in this image7 ?", "in image7 ?" and a bare "image7 ?".
_DAQUAR_TAIL = re.compile(r"(?: (?:in|of|on))?(?: (?:the|this))? (image\d+) ?\?$")
_DAQUAR_NAME = re.compile(r"\bimage\d+\b")


@dataclass(frozen=True)
class Asked:
    """A question about a photograph in a file, and what people answered, each person once.

    `id` is the data set's own number of the question; `split` is "" where the files do not name one.
    """

    path: Path
    question: str
    type: str
    answers: tuple[str, ...]
    id: int
    split: str = ""


def vqa(
    questions: Path,
    annotations: Path,
    pictures: Path,
    *,
    type_of: Literal["answer_type", "question_type"] = "answer_type",
) -> list[Asked]:
    """One pair of VQA's official files, version 1 or 2, in the order of the questions.

    Args:
        questions: ``OpenEnded_mscoco_val2014_questions.json`` (v2: ``v2_OpenEnded…``) and the like: a list "questions"
            whose entries have "image_id", "question", "question_id" and, where files were joined, "split". A list
            "images", with "id" and "file_name" as in COCO's own files, names pictures that are not COCO's.
        annotations: ``mscoco_val2014_annotations.json`` and the like: a list "annotations" whose entries have
            "question_id", "answer_type" and ten "answers", each with "answer".
        pictures: holds COCO's photographs (``COCO_val2014_000000000042.jpg`` or, as in later years,
            ``000000000042.jpg``), itself or in ``train2014/``, ``val2014/`` or ``images/``.
        type_of: which entry of an annotation is the type: "answer_type", one of "yes/no", "number" and "other", or
            "question_type", as "what color is the".

    Returns:
        An `Asked` a question.

    Raises:
        ValueError: a file is missing or of another form, a question has no annotation, or its picture is not there.

    Source: Antol et al., VQA: Visual Question Answering, arXiv 1505.00468; Goyal et al., arXiv 1612.00837;
        visualqa.org/download.html.
    """
    questions_text, annotations_text = read_text(questions), read_text(annotations)
    try:
        content = parsed(questions_text)
        asked = [
            (
                int(entry["question_id"]),
                int(entry["image_id"]),
                text_of(entry["question"]).strip(),
                text_of(entry.get("split", "")),
            )
            for entry in content["questions"]
        ]
        named = {int(entry["id"]): pictures / entry["file_name"] for entry in content.get("images", [])}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{questions} is not one of VQA's question files ({brief(error)}).") from error
    try:
        answered = {
            int(entry["question_id"]): (
                text_of(entry[type_of]),
                tuple(text_of(each["answer"]) for each in entry["answers"]),
            )
            for entry in parsed(annotations_text)["annotations"]
        }
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{annotations} is not one of VQA's annotation files ({brief(error)}).") from error
    paths = named or _coco_pictures(pictures)
    missing = next((path for path in named.values() if not is_file(path)), None)
    if missing is not None:
        raise ValueError(
            f"{questions.name} names {shown(missing)}, which is not there; point to the folder of its pictures."
        )
    items = []
    for number, picture, question, split in asked:
        if number not in answered:
            raise ValueError(
                f"{annotations.name} has no question {shown(number)} of {questions.name}; use a pair of files."
            )
        if picture not in paths:
            raise ValueError(f"{questions.name} asks about COCO picture {shown(picture)}, which is not in {pictures}.")
        items.append(Asked(paths[picture], question, *answered[number], number, split))
    return items


def daquar(root: Path) -> list[Asked]:
    """DAQUAR, the full set: 12,468 questions about 1,449 indoor photographs, in the order of the file.

    Every question names its picture, mostly as "… in the image7 ?". That tail is cut off, as it is no part of what is
    asked, and "image7" within a question becomes "image".

    Args:
        root: holds ``all_qa_pairs.txt`` (a line with a question, a line with its answer), ``train_images_list.txt``,
            ``test_images_list.txt`` and the pictures ``images/image1.jpg`` ….

    Returns:
        An `Asked` a pair. Its type is the question's first two words ("how many", "what color", most often "what is"),
        its id the number of the pair, from 0, its split "train" or "test"; its one answer may be a list of things,
        "table, chair", in the order of the file.

    Raises:
        ValueError: a file is missing, a question lacks its answer or its picture's name, or a picture is in neither
            list or not there.

    Source: Malinowski & Fritz, A Multi-World Approach to Question Answering about Real-World Scenes, arXiv 1410.0210.
    """
    splits = {
        name: split for split in ("train", "test") for name in read_text(root / f"{split}_images_list.txt").split()
    }
    lines = [line.strip() for line in read_text(root / "all_qa_pairs.txt").strip().split("\n")]
    if len(lines) % 2:
        raise ValueError(f"all_qa_pairs.txt has {len(lines)} lines, a question without its answer; get it again.")
    there = {path.stem: path for path in (root / "images").glob("*.jpg")}
    items = []
    for number, (text, answer) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        tail = _DAQUAR_TAIL.search(text)
        if tail is None or not answer:
            raise ValueError(f"Pair {number} of all_qa_pairs.txt is not '… image7 ?' and an answer: {text[:60]!r}.")
        name, asked = tail[1], _DAQUAR_NAME.sub("image", text[: tail.start()])
        if name not in splits:
            raise ValueError(f"all_qa_pairs.txt asks about {name[:60]}, which neither list of pictures names.")
        if name not in there:
            raise ValueError(f"all_qa_pairs.txt asks about {root / 'images' / name}.jpg, which is not there.")
        items.append(Asked(there[name], f"{asked}?", " ".join(asked.split()[:2]), (answer,), number, splits[name]))
    return items


def _coco_pictures(folder: Path) -> dict[int, Path]:
    """COCO's photographs by their ids: one look into each folder, as there may be 120,000."""
    files = (path for name in FOLDERS if is_folder(folder / name) for path in (folder / name).iterdir())
    return {int(match[1]): path for path in files if (match := _COCO_NAME.fullmatch(path.name))}
