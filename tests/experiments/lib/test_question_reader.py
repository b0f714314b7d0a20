"""The baseline that reads questions without pictures, and the splits of questions made of captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from experiments.lib.asked import Question, Split, photo_splits
from experiments.lib.pictures import Pictures
from experiments.lib.question_reader import QuestionReader, parts
from mmcam.datasets.caption_questions import Pair, write
from mmcam.datasets.caption_questions.rules import Question as Rule
from mmcam.image import Preprocess


def split_of(questions):
    return Split(Pictures(lambda _: None, len(questions)), [[question] for question in questions])


def test_words_and_pairs():
    assert parts("Is it red?") == {"<", "is", "it", "red", ">", "< is", "is it", "it red", "red >"}


def test_it_answers_from_words_in_another_order():
    """Planted: the answer follows from one word, whatever stands around it."""
    rng = np.random.default_rng(0)
    kinds = {"dog": "brown", "boat": "white", "car": "red"}
    made = []
    for _ in range(300):
        thing = str(rng.choice(list(kinds)))
        way = str(rng.choice(["what colour is the {}", "which colour has the {}", "the {} is of what colour"]))
        made.append(Question(way.format(thing), "colour", (kinds[thing],)))
    reader = QuestionReader(split_of(made))
    assert all(reader(Question(f"tell the colour of a {thing}", "", ("",))) == kinds[thing] for thing in kinds)


def test_without_a_clue_it_takes_the_most_frequent_answer():
    made = [Question("is it there", "exists", ("yes" if i % 4 else "no",)) for i in range(200)]
    reader = QuestionReader(split_of(made))
    assert reader(made[0]) == "yes"


def test_splits_of_made_questions(tmp_path: Path) -> None:
    """Types are those of the rules, pictures those of another folder, and every split stays apart."""
    (tmp_path / "images").mkdir()
    for number, split in enumerate(("train", "val", "test")):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{number}.jpg")
        pair = Pair(0, f"what is {split}?", "dog", Rule("object", "what", "", "dog"))
        write(tmp_path, split, [pair], [f"{number}.jpg"], [number])
    splits = photo_splits("flickr8k-questions", tmp_path, tmp_path / "images", Preprocess(size=(8, 8)))
    assert {name: split.questions[0][0].text for name, split in splits.items()} == {
        name: f"what is {name}?" for name in ("train", "val", "test")
    }
    (question,) = splits["test"].questions[0]
    assert (question.type, question.score("dog"), question.score("cat")) == ("object", 1.0, 0.0)
    assert splits["val"].pictures.load(slice(0, 1)).shape == (1, 3, 8, 8)
