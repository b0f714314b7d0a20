"""The official VQA accuracy: an answer is right when three of the people asked gave it (arXiv 1505.00468).

The rules and their quirks are those of the evaluation that the VQA challenge ran (GT-Vision-Lab/VQA, vqaEval.py), so
that figures can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ENOUGH = 3  # people who agree

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES = {"a", "an", "the"}
_MARKS = r""";/[]"{}()=+\_-><@`,?!"""  # neither period, colon nor apostrophe
_THOUSANDS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")

# What is contracted with what. Only these forms are restored, so "its", "were" and "shes" stay.
_ENDINGS = {
    "n't": "ai are ca could did do does had has have is might must need ought sha should was were wo would",
    "n't've": "could had might should would",
    "'d": "he how it someone something there they where who you",
    "'d've": "he it she somebody someone something there they we who y'all you",
    "'ll": "how it somebody someone something they what who why y'all you",
    "'re": "there they what why you",
    "'s": "he how somebody someone that there what when where who why",
    "'ve": "could might must not should they we what where who would you",
}
_WHOLE = ["ma'am", "o'clock", "'ow's'at", "'twas", "y'all"]


def _misspelt() -> dict[str, str]:
    """Contractions that lack one of their apostrophes → the contractions."""
    right = [*_WHOLE, *(stem + ending for ending, stems in _ENDINGS.items() for stem in stems.split())]
    wrong = {
        word[:place] + word[place + 1 :]: word for word in right for place, letter in enumerate(word) if letter == "'"
    }
    return wrong | {"somebody'd": "somebodyd"}  # the official table has this one the wrong way round


_CONTRACTIONS = _misspelt()


def accuracy(answer: str, answers: Sequence[str]) -> float:
    """How right an answer is, 0 to 1: each person is left out in turn, and three of the others make it right.

    So of ten people one who agrees gives 0.3, two 0.6, three 0.9, four and more 1. Answers are compared as they stand
    where all people agree, as they may have read a text in the picture, and normalised otherwise.

    Args:
        answer: the model's.
        answers: the people's, ten in VQA.

    Raises:
        ValueError: there are fewer than two answers.
    """
    if len(answers) < 2:
        raise ValueError(
            f"Leaving each person out needs at least two answers, and there are {len(answers)}; compare a single one."
        )
    given, said = _on_one_line(answer), [_on_one_line(other) for other in answers]
    if len(set(said)) > 1:
        given, said = normalise(given), [normalise(other) for other in said]
    agree = said.count(given)
    # Whoever agrees and is left out no longer counts; in integers, so that a right answer is exactly 1.
    points = agree * min(agree - 1, ENOUGH) + (len(said) - agree) * min(agree, ENOUGH)
    return points / (ENOUGH * len(said))


def normalise(answer: str) -> str:
    """An answer in lower case with digits for number words, without articles and punctuation, contractions restored.

    The official quirks are kept. Where a mark touches a space anywhere in the answer, that mark is deleted, and so is
    every mark where the answer has a number such as 1,000; else it becomes a space. A period goes unless a digit
    follows. "none" is 0. "im" and "ive" stay, as the official table looks for "Im" and "Ive" after all is lower case.
    """
    text = given = _on_one_line(answer)
    number = _THOUSANDS.search(given) is not None
    for mark in _MARKS:
        glued = f"{mark} " not in given and f" {mark}" not in given
        text = text.replace(mark, " " if glued and not number else "")
    words = [_DIGITS.get(word, word) for word in _PERIOD.sub("", text).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _on_one_line(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()
