"""What the public functions return, as a type checker sees it."""

import pytest
from mypy import api

FACE = """
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import mmcam
from mmcam import CaptionExplanation, Evidence, Explanation, QuestionExplanation
from mmcam.explanation import Explanations

model = nn.Linear(1, 1)
loader: DataLoader[Any] = DataLoader(TensorDataset(torch.zeros(1, 3, 8, 8)))
path, picture = Path("a.png"), Image.new("RGB", (8, 8))

assert_type(mmcam.explain_class(model, picture), Explanation)
assert_type(mmcam.explain_class(model, "a.png", "dog", contrast="cat"), Explanation)
assert_type(mmcam.explain_class(model, np.zeros((8, 8, 3), np.uint8), 3, method="layercam", n=5), Explanation)
assert_type(mmcam.explain_class(model, path, ["dog", 3]), Explanations[Explanation])
assert_type(mmcam.explain_class(model, [path, path]), Explanations[Explanation])
assert_type(mmcam.explain_class(model, ["a.png", "b.png"], "dog"), Explanations[Explanation])
assert_type(mmcam.explain_class(model, [picture], [["dog", "cat"]]), Explanations[Explanations[Explanation]])

assert_type(mmcam.explain_class(model, [path], ["dog"], batch_size=4), Explanations[Explanation])
assert_type(mmcam.explain_class(model, (path for _ in range(3)), "dog"), Iterator[Explanation])
assert_type(mmcam.explain_class(model, loader, batch_size=8), Iterator[Explanation])
assert_type(mmcam.explain_class(model, [path], "dog", errors="skip"), Any)

assert_type(mmcam.explain_caption(model, picture), CaptionExplanation)
assert_type(mmcam.explain_caption(model, picture, ["dog", 3]), Explanations[Explanation])
assert_type(mmcam.explain_caption(model, [picture], ["dog"]), Explanations[Explanation])
assert_type(mmcam.explain_caption(model, [picture], [["dog", 3]]), Explanations[Explanations[Explanation]])
assert_type(mmcam.explain_caption(model, loader), Iterator[CaptionExplanation])
assert_type(mmcam.explain_caption(model, loader, "dog"), Iterator[Explanation])
assert_type(mmcam.explain_caption(model, path, "dog"), Explanation)
assert_type(mmcam.explain_caption(model, path, "dog", score="logit", layer=["a", "b"]), Explanation)
assert_type(mmcam.explain_caption(model, "a.png", 3), Explanation)
assert_type(mmcam.explain_caption(model, picture, beam=3), Explanations[CaptionExplanation])
assert_type(mmcam.explain_caption(model, [picture, picture]), Explanations[CaptionExplanation])
assert_type(mmcam.explain_caption(model, [path], "dog", caption=["a dog"]), Explanations[Explanation])
assert_type(mmcam.explain_caption(model, [picture], beam=3), Explanations[Explanations[CaptionExplanation]])
assert_type(mmcam.explain_caption(model, picture)[0], Explanation)

assert_type(mmcam.explain_answer(model, picture, "what is it"), Explanation)
assert_type(mmcam.explain_answer(model, picture, "what is it", by_word=True), QuestionExplanation)
assert_type(mmcam.explain_answer(model, [path], "what is it", "dog"), Explanations[Explanation])
assert_type(mmcam.explain_answer(model, path, "what is it", ["dog", "cat"]), Explanations[Explanation])
assert_type(mmcam.explain_answer(model, path, "what is it", ["dog"], by_word=True), Explanations[QuestionExplanation])
assert_type(mmcam.explain_answer(model, [path], ["what is it"], ["dog"]), Explanations[Explanation])
several = mmcam.explain_answer(model, [path], "what is it", [["dog", "cat"]])
assert_type(several, Explanations[Explanations[Explanation]])
assert_type(mmcam.explain_answer(model, loader, "what is it"), Iterator[Explanation])
assert_type(mmcam.explain_answer(model, [path], ["what is it"], by_word=True), Explanations[QuestionExplanation])

assert_type(mmcam.explain_similarity(model, picture, "a dog", contrast="a cat"), Explanation)
assert_type(mmcam.explain_similarity(model, [picture], ["a dog"]), Explanations[Explanation])
assert_type(mmcam.explain_similarity(model, picture, ["a dog", "a cat"]), Explanations[Explanation])
assert_type(mmcam.explain_similarity(model, [picture], [["a dog", "a cat"]]), Explanations[Explanations[Explanation]])
assert_type(mmcam.explain_similarity(model, loader, "a dog"), Iterator[Explanation])

assert_type(mmcam.explain_action(model, np.zeros((4, 8, 8)), "left"), Explanation)
assert_type(mmcam.explain_action(model, np.zeros((4, 8, 8)), ["left", 1]), Explanations[Explanation])
assert_type(mmcam.explain_action(model, [np.zeros((4, 8, 8))]), Explanations[Explanation])

x = torch.zeros(1, 3, 8, 8)
assert_type(mmcam.attribute(model, x, [3]), torch.Tensor)
assert_type(mmcam.evidence(model, x, [3]), Evidence)
assert_type(mmcam.record(model, x, ["a"]), dict[str, torch.Tensor])
"""

WRONG = """
from torch import nn

import mmcam

model = nn.Linear(1, 1)
mmcam.explain_class(model, 3)
mmcam.explain_class(model, "a.png", contrast=1.5)
mmcam.explain_answer(model, "a.png")
mmcam.explain_caption(model, "a.png", method=None)
"""


def checked(tmp_path, text):
    path = tmp_path / "face.py"
    path.write_text(text)
    return api.run(["--no-error-summary", "--strict", "--follow-imports=silent", str(path)])


@pytest.mark.slow
def test_one_picture_gives_one_explanation_and_a_list_a_list(tmp_path):
    said, errors, code = checked(tmp_path, FACE)
    assert (said, errors, code) == ("", "", 0)


@pytest.mark.slow
def test_a_wrong_call_is_found_before_it_is_run(tmp_path):
    said, errors, code = checked(tmp_path, WRONG)
    assert (errors, code) == ("", 1)
    assert [int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line] == [7, 8, 9, 10]
