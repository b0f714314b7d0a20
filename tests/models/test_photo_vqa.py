"""`photo-vqa`: what its card promises, what its file holds, and what it refuses."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from safetensors import safe_open

import mmcam
from models import WEIGHTS, load

CARD = json.loads((WEIGHTS / "photo-vqa.json").read_text())


def test_its_file_holds_what_no_package_brings():
    path = WEIGHTS / "photo-vqa.safetensors"
    assert path.stat().st_size < 12e6
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    assert "output.weight" in names
    assert not [name for name in names if name.startswith(("encoder", "features"))]


def test_it_has_looked_at_the_picture():
    """Fifteen points above the most frequent answer to the same question, on photographs it never saw."""
    test = CARD["scores"]["test"]
    assert test["accuracy"] >= test["question_only"] + 0.15
    assert set(test["types"]) == {"colour", "number", "object", "place", "action", "exists"}
    assert "research" in CARD["data"]["licence"]


def test_british_and_american_questions_are_read():
    words = set(CARD["vocabulary"])
    assert {"colour", "color", "bike", "bicycle", "many", "where", "who", "doing", "animal"} <= words
    assert {"yes", "no", "red", "grey", "2", "dog", "beach", "running"} <= set(CARD["answers"])


def test_a_question_of_unknown_words_is_one_sentence():
    picture = Image.new("RGB", (40, 30), "green")
    model = load("photo-vqa")
    with pytest.raises(mmcam.ExplainError, match="no word the model knows"):
        mmcam.explain_answer(model, picture, "qwerty zxcvb")
    assert mmcam.explain_answer(model, picture, "What colour is the shirt?", "green").heatmap.shape == (30, 40)
