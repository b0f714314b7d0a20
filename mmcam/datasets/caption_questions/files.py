"""Questions and answers in VQA's official format, which `mmcam.datasets.asked.vqa` and the official tools read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mmcam.files import write_whole

from .making import Pair

PEOPLE: Final = 10  # answers of a question in the official files; here ten times the same
ABOUT: Final = {"description": "Questions made of captions by mmcam.datasets.caption_questions", "version": "1.0"}


def write(folder: Path, split: str, pairs: Sequence[Pair], names: Sequence[str], ids: Sequence[int]) -> None:
    """``OpenEnded_SPLIT_questions.json`` and ``SPLIT_annotations.json`` of a split.

    "question_type" is one of `TYPES`, "answer_type" one of VQA's: yes/no, number, other. As its pictures need not be
    COCO's, the file of questions also has a list "images", each with "id" and "file_name", as COCO's own files do.

    Args:
        folder: made if it is not there.
        split: its name.
        pairs: questions and answers.
        names: of the photographs' files.
        ids: whole numbers of the photographs, no two alike.

    Raises:
        ValueError: two photographs have one number.
    """
    if len(set(ids)) < len(ids):
        raise ValueError("Two photographs have the same number; VQA's files tell them apart by it.")
    folder.mkdir(parents=True, exist_ok=True)
    questions, annotations = [], []
    for number, pair in enumerate(pairs):
        kind = "yes/no" if pair.answer in ("yes", "no") else "number" if pair.answer.isdigit() else "other"
        key = {"question_id": number, "image_id": ids[pair.photo]}
        questions.append({**key, "question": pair.text})
        answers = [{"answer_id": i, "answer": pair.answer, "answer_confidence": "yes"} for i in range(1, PEOPLE + 1)]
        own = {"question_type": pair.type, "answer_type": kind, "multiple_choice_answer": pair.answer}
        annotations.append({**key, **own, "answers": answers})
    images = [{"id": number, "file_name": name} for number, name in zip(ids, names, strict=True)]
    about = {"info": ABOUT, "data_type": "captions", "data_subtype": split}
    _keep(folder / f"OpenEnded_{split}_questions.json", {**about, "images": images, "questions": questions})
    _keep(folder / f"{split}_annotations.json", {**about, "annotations": annotations})


def _keep(path: Path, content: dict[str, object]) -> None:
    write_whole(path, lambda file: file.write(json.dumps(content).encode()))
