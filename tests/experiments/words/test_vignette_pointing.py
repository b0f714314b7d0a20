"""Judging maps on vignettes: the records are right, and the tables made of them."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import mmcam
import models
from experiments.lib import judging, text_prior
from experiments.words import grounding_flags, own_attention, vignette_pointing, wrong_words
from mmcam.datasets import vignettes

PRIOR = 60  # pictures whose masks the text priors are means of
PICTURES = 12  # that the tables are made of


@pytest.fixture(autouse=True, scope="module")
def _kept_elsewhere(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "JUDGED", tmp_path_factory.mktemp("judged"))
        patch.setattr(text_prior, "KEPT", tmp_path_factory.mktemp("text-prior"))
        patch.setattr(judging, "text_prior", partial(text_prior.text_prior, pictures=PRIOR))
        yield


@pytest.fixture(scope="module")
def scene():
    return next(
        scene
        for scene in map(vignettes.draw, range(20_000_000, 20_000_100))
        if len(scene.truth.things) >= 2 and len({thing.kind for thing in scene.truth.things}) == len(scene.truth.things)
    )


def middle(scene, thing):
    ys, xs = np.nonzero(scene.instances[thing])
    return int(xs[len(xs) // 2]), int(ys[len(ys) // 2])


def test_where_a_maximum_falls_is_read_off_the_masks(scene):
    peak = middle(scene, 0)
    assert judging.fell_on(peak, scene, {0}, {0, 1}) == "meant"
    assert judging.fell_on(peak, scene, {1}, {0}) == "alike"
    assert judging.fell_on(peak, scene, {1}, set()) == "another"
    y, x = np.argwhere(scene.scene_mask)[0]
    assert judging.fell_on((int(x), int(y)), scene, {0}, {1}) == "none"
    assert judging.fell_on(None, scene, {0}, {1}) == "empty"


def test_what_a_word_is_true_of(scene):
    things = scene.truth.things
    assert judging.alike(things[0].kind, scene) == {0}
    assert judging.alike(things[0].colour, scene) == {i for i, t in enumerate(things) if t.colour == things[0].colour}
    assert judging.alike("yes", scene) == set()


def test_what_an_untrue_word_was_said_of(scene):
    first, second = (thing.kind for thing in scene.truth.things[:2])
    wrong = next(colour for colour in vignettes.COLOURS if colour != scene.truth.things[0].colour)
    words = f"a {wrong} {first} above a {second}"
    checked = vignettes.captions.check(words, scene.truth)
    assert next(word.word for word in checked if not word.correct) == wrong
    assert judging.meant_by(checked[0], checked) == {0}
    relation = next(word for word in checked if word.category == "relation")
    if not relation.correct:
        assert judging.meant_by(relation, checked) == {0, 1}


def test_records_are_those_of_the_public_functions_and_are_kept():
    found = judging.judged("vignette-show-attend-tell", 3)
    captioner = models.load("vignette-show-attend-tell")
    picture = vignettes.draw(vignettes.seed("test", 0))
    caption = mmcam.explain_caption(captioner, picture.image)
    own = [record for record in found if record.picture == 0 and record.task == "word"]
    given = [record for record in found if record.picture == 0 and record.task == "given word"]
    assert given
    assert all(record.right for record in given), "what was written of a picture is true of it"
    checked = vignettes.captions.check(caption.caption, picture.truth)
    assert [record.said for record in own] == [word.word for word in checked]
    for record, word in zip(own, checked, strict=True):
        exp = caption[word.position]
        assert record.right == word.correct
        assert record.score == pytest.approx(exp.score, abs=1e-4)
        if word.correct and word.things:
            x, y = exp.peak()
            assert record.hit == picture.mask(word.things)[y, x]
            usual = text_prior.expected(text_prior.text_prior("word", PRIOR), word.category, word.word)
            x, y = text_prior.peak_on(usual, (224, 224))
            assert record.prior == picture.mask(word.things)[y, x]
    assert judging.judged("vignette-show-attend-tell", 3) == found  # read, not made again
    assert any(record.own_agrees is not None for record in found)


@pytest.mark.long
@pytest.mark.slow
def test_the_tables_say_what_the_records_say(tmp_path, monkeypatch):
    kinds = {"class": ("vignette-classifier",), "caption": ("vignette-show-attend-tell",), "answer": ("vignette-san",)}
    for table in (vignette_pointing, wrong_words, own_attention, grounding_flags):
        monkeypatch.setattr(table, "KINDS", kinds)
        table.main(pictures=PICTURES, out=tmp_path)
    rows = read(tmp_path / "pointing-test-gradcam.json")
    row = next(row for row in rows if row["task"] == "class")
    records = judging.judged("vignette-classifier", PICTURES)
    assert row["n"] == len(records)
    assert row["pointing"] == pytest.approx(np.mean([record.hit for record in records]))
    assert row["prior"] == pytest.approx(np.mean([record.prior for record in records]))
    assert row["random"] < row["prior"] < row["pointing"]
    assert row["pointing"] > 3 * row["random"]
    assert row["pointing"] > row["centre"] + 0.15
    assert "| vignette-classifier | class | object |" in (tmp_path / "pointing-test-gradcam.md").read_text()
    places = ("meant", "alike", "another", "none", "empty")
    given = [row for row in rows if row["task"] == "given word"]
    assert {row["category"] for row in given} >= {"object", "relation", "scene", "all things"}
    assert any(row["category"] == "scene" for row in rows if row["task"] == "answer")
    for row in read(tmp_path / "wrong-test-gradcam.json"):
        assert sum(row[place] for place in places) == pytest.approx(1)
    for row in read(tmp_path / "attention-test-gradcam.json"):
        assert -1 <= row["correlation"]["value"] <= 1


def test_a_questions_prior_is_that_of_its_text_not_of_its_answer(scene):
    question = next(question for question in scene.questions if question.things)
    model = models.load("vignette-vqa")
    first = next(judging.answers(model, 0, scene, "layercam"))
    usual = text_prior.expected(text_prior.text_prior("answer", PRIOR), question.type, question.text)
    x, y = text_prior.peak_on(usual, (224, 224))
    assert first.prior == scene.mask(question.things)[y, x]


def test_words_of_one_picture_are_one_source_of_error():
    rows = [(1, 0, 0.5), (1, 0, 0.5), (0, 1, 0.5), (0, 1, 0.5)]
    apart, together = judging.shares(rows, [1, 2, 3, 4]), judging.shares(rows, [1, 1, 2, 2])
    assert apart["standard_error"] == pytest.approx(np.std([1, 1, 0, 0], ddof=1) / 2)
    assert together["standard_error"] == pytest.approx(1 / 2)  # two pictures, one right and one wrong
    assert (apart["pointing"], apart["centre"], apart["random"]) == (0.5, 0.5, 0.5)


def read(path: Path):
    return json.loads(path.read_text())["rows"]


def test_the_area_under_the_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, untrue = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.3  # ties on purpose
    assert grounding_flags.area(scores[untrue], scores[~untrue]) == pytest.approx(roc_auc_score(untrue, -scores))
