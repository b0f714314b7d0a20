"""Captions without a picture: scores that follow by hand."""

import json

import pytest

import mmcam
import models
from experiments.lib.judging import KINDS
from experiments.words import text_only
from mmcam.datasets import vignettes


def words(*texts):
    return [text.split() for text in texts]


def test_a_caption_that_is_among_the_references_has_bleu_1_and_one_that_shares_nothing_0():
    references = [words("a red dog runs here", "one dog runs"), words("a cat sits there today", "the cat")]
    right = text_only.scores([references[0][0], references[1][0]], references, None)
    assert [right[name]["value"] for name in text_only.BLEU] == pytest.approx([1, 1, 1, 1])
    wrong = text_only.scores(words("x y z u v", "x y z u v"), references, None)
    assert wrong["BLEU-1"]["value"] == pytest.approx(0)
    assert wrong["CIDEr-D"]["value"] == 0
    assert "true words" not in wrong


def test_true_words_are_counted_against_the_picture():
    truth = vignettes.describe(vignettes.seed("test", 0))
    own = vignettes.captions.write(truth)[0].text.split()
    found = text_only.scores([own, own], [[own], [own]], [truth, truth])
    assert found["true words"]["value"] == 1
    assert found["true words"]["pictures"] == 2


def test_the_table_of_vignettes(tmp_path, monkeypatch):
    monkeypatch.setattr(text_only, "TRAINING", 20)
    monkeypatch.setattr(text_only, "RESAMPLES", 3)
    text_only.main(pictures=6, root=None, out=tmp_path, work=tmp_path / "work")
    rows = json.loads((tmp_path / "text-only.json").read_text())["rows"]
    assert [row["set"] for row in rows] == ["vignettes, test"] * 6 + ["vignettes, heldout"] * 6
    for constant, other, own, *speakers in (rows[:6], rows[6:]):
        assert own["true words"]["value"] == 1, "what people write of a vignette is true"
        assert [row["said"] for row in speakers] == list(KINDS["caption"])
        assert min(row["BLEU-4"]["value"] for row in speakers) > other["BLEU-4"]["value"], "they have seen the picture"
        assert max(constant["BLEU-4"]["value"], other["BLEU-4"]["value"]) < own["BLEU-4"]["value"]
    (path,) = (tmp_path / "work").glob("vignette-captioner-*-test.jsonl")
    first = json.loads(path.read_text().splitlines()[0])
    exp = mmcam.explain_caption(models.load("vignette-captioner"), vignettes.draw(vignettes.seed("test", 0)).image)
    assert first == {"picture": 0, "said": exp.caption}


def test_photographs_come_from_flickr8ks_files(tmp_path):
    lines = []
    for name in ("a", "b", "c"):
        lines += [f"{name}.jpg#{i}\t{'A dog runs .' if i < 2 else f'Something else {name} {i}'}" for i in range(5)]
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{name}.jpg").touch()
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    for split, names in (("train", "a b"), ("dev", ""), ("test", "c")):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text("\n".join(f"{n}.jpg" for n in names.split()))
    found = text_only.photographed(tmp_path, 10)
    assert found.commonest == ["a", "dog", "runs"]
    assert len(found.captions) == 1
    assert found.captions[0][4] == ["something", "else", "c", "4"]
