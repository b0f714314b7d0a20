"""What a model gets wrong: a classifier that counts colours is told of where its colours are."""

import json

import numpy as np
import pytest
import torch
from browser import Browser, needs_chromium
from colours import Colours, mask, squares, table
from PIL import Image
from tiny import VQA, Captioner, seeded
from typer.testing import CliRunner

from mmcam.cli import app
from mmcam.diagnosis import records
from mmcam.diagnosis.explainer import Explainer
from mmcam.diagnosis.failures import answers, captions, classes
from mmcam.diagnosis.failures.run import find_failures
from mmcam.diagnosis.failures.summary import place_of, summary
from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.meant import meanings
from mmcam.errors import ExplainError


@pytest.fixture
def photos(tmp_path):
    """Two pictures named rightly, three that are named after a larger square beside, and a broken one."""
    squares(tmp_path / "a.png", ("red", 2, 2, 8))
    squares(tmp_path / "b.png", ("green", 20, 20, 8))
    for name, side in (("c", 6), ("d", 5)):
        squares(tmp_path / f"{name}.png", ("red", 2, 2, side), ("blue", 20, 20, 10))
    squares(tmp_path / "e.png", ("green", 20, 2, 4), ("red", 4, 20, 8))
    (tmp_path / "f.png").write_bytes(b"no picture")
    rows = []
    for name, label, left, top, side in (
        ("a", "red", 2, 2, 8), ("b", "green", 20, 20, 8), ("c", "red", 2, 2, 6), ("d", "red", 2, 2, 5),
        ("e", "green", 20, 2, 4), ("f", "red", 2, 2, 4),
    ):  # fmt: skip
        mask(tmp_path / f"{name}-mask.png", left, top, side)
        rows.append({"picture": f"{name}.png", "class": label, "mask": f"{name}-mask.png"})
    return table(tmp_path / "photos.csv", *rows)


def test_failures_are_found_with_where_both_maps_lie(photos, tmp_path):
    out = tmp_path / "out" / "page.html"
    found = find_failures(photos, Explainer(Colours()), out, batch=2)
    assert (found.wrong.value, found.wrong.n) == (pytest.approx(3 / 5), 5)
    assert found.confusions == (("red", "blue", 2), ("green", "red", 1))
    assert found.places == {"truth": 3}, "its own colour lies on the thing, the larger square does not"
    wrong = found.sides["wrong"]
    assert (wrong.points.value, wrong.said_points.value, wrong.mass.value) == (1, 0, pytest.approx(1))
    assert wrong.overlap.value == 0
    assert [file.rpartition("/")[2] for file, _ in found.skipped] == ["f.png"]
    # The mean map: both small red squares lie in the corner, and the green one beside it.
    top, left = np.unravel_index(int(wrong.grid.argmax()), wrong.grid.shape)
    assert top < 7
    assert left < 7
    html = out.read_text()
    assert "60.0 %" in html
    assert html.count("<article") == 3
    assert not out.with_name("page.html.part").exists()


def test_a_run_that_was_stopped_goes_on(photos, tmp_path, monkeypatch):
    judge, seen = classes.judge, []

    def stopping(way, means, chunk):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append([picture.path.name for picture in chunk])
        return judge(way, means, chunk)

    monkeypatch.setattr(classes, "judge", stopping)
    out = tmp_path / "page.html"
    with pytest.raises(KeyboardInterrupt):
        find_failures(photos, Explainer(Colours()), out, batch=2)
    part = out.with_name("page.html.part")
    with part.open("a") as file:
        file.write('{"picture": "half')  # as a kill may leave it
    monkeypatch.setattr(classes, "judge", judge)
    told = []
    other = Colours()
    with torch.no_grad():
        other.fc.bias.add_(1)
    with pytest.raises(ExplainError, match=r"other work \(weights differs\)"):
        find_failures(photos, Explainer(other), out, batch=2)
    found = find_failures(photos, Explainer(Colours()), out, batch=2, tell=told.append)
    assert told == ["4 of 6 are done already, 2 are left."]
    whole = find_failures(photos, Explainer(Colours()), tmp_path / "whole.html")
    assert (found.confusions, found.wrong, found.places) == (whole.confusions, whole.wrong, whole.places)


def test_a_multi_label_model_is_wrong_where_it_misses_a_class(tmp_path):
    model = Colours()
    model.class_probabilities = "sigmoid"
    with torch.no_grad():
        model.fc.bias.fill_(-1)  # a colour has to cover a fortieth of the picture
    path = squares(tmp_path / "a.png", ("red", 2, 2, 16), ("green", 20, 20, 3), ("blue", 2, 20, 8))
    way = Explainer(model)
    both, one = LabelledPicture(path, ("red", "green")), LabelledPicture(path, ("red",))
    means = meanings(way, [both])
    ((missed,), (right,)) = classes.judge(way, means, [both, one])
    assert (missed["right"], missed["truth"], missed["said"]) == (False, "green", "blue")
    assert missed["truth confidence"] < 0.5 < missed["confidence"]
    assert right["right"]


def test_labels_of_another_model_and_odd_tables_are_a_sentence(photos, tmp_path):
    squares(tmp_path / "folder" / "crack" / "1.png", ("red", 1, 1, 3))
    with pytest.raises(ExplainError, match=r"1 of the 1 labels \(crack\) are none of the model's 3 classes"):
        find_failures(tmp_path / "folder", Explainer(Colours()), tmp_path / "page.html")
    with pytest.raises(ExplainError, match=r"a page is an \.html file"):
        find_failures(photos, Explainer(Colours()), tmp_path / "page.png")
    assert not (tmp_path / "page.png.part").exists(), "nothing was begun"
    with pytest.raises(ValueError, match="no column picture, class"):
        find_failures(table(tmp_path / "t.csv", {"file": "a.png"}), Explainer(Colours()), tmp_path / "page.html")
    with pytest.raises(ValueError, match="no column picture, answer"):
        find_failures(table(tmp_path / "t.csv", {"question": "?"}), Explainer(Colours()), tmp_path / "page.html")


def test_all_pictures_broken_is_a_sentence(tmp_path):
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "1.png").write_bytes(b"no")
    with pytest.raises(ExplainError, match="None of the 1 pictures can be opened"):
        find_failures(tmp_path, Explainer(Colours()), tmp_path / "page.html")


def test_classes_of_one_picture_each_are_judged(tmp_path):
    squares(tmp_path / "in" / "red" / "1.png", ("blue", 2, 2, 9), ("red", 20, 20, 4))
    squares(tmp_path / "in" / "blue" / "1.png", ("blue", 2, 2, 9))
    found = find_failures(tmp_path / "in", Explainer(Colours()), tmp_path / "page.html")
    assert found.confusions == (("red", "blue", 1),)
    assert found.places == {"apart": 1}, "without masks the maps are held against each other"


def test_untrue_words():
    own = captions.Captioned(None, ("Two dogs run on grass.",), {"ball": ()})
    told = {
        word: captions.untrue(word, own, frozenset({"ball", "cat"})) for word in ("dog", "cat", "ball", "the", "see")
    }
    assert told == {"dog": False, "cat": True, "ball": False, "the": None, "see": None}
    masked = captions.Captioned(None, (), {"ball": ()})
    assert captions.untrue("cat", masked, frozenset({"ball", "cat"}))
    assert captions.untrue("tree", masked, frozenset({"ball", "cat"})) is None, "no mask of any picture shows one"


def test_a_captioners_untrue_words_and_what_it_would_sooner_say(tmp_path):
    model = seeded(Captioner)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    source = table(
        tmp_path / "t.csv", {"picture": "a.png", "caption": "grass"}, {"picture": "a.png", "caption": "a dog"}
    )
    found = find_failures(source, Explainer(model), tmp_path / "page.html")
    references = captions.read_captions(source)
    records = captions.judge(Explainer(model), references.concepts, references.pictures)[0]
    assert found.wrong.n == len(records)
    for record in records:
        assert record["right"] == (record["said"] in ("dog", "grass"))
        if not record["right"] and record["truth"] in ("dog", "grass"):
            assert record["card"]["maps"][0] is not None


def test_answers_are_held_against_those_of_people(tmp_path):
    import mmcam

    model = seeded(VQA)
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(picture)
    question = "what is on the grass"
    own = mmcam.explain_answer(model, picture, question).target
    other = next(answer for answer in model.answers if answer != own)
    rows = [{"picture": "a.png", "question": question, "answer": answer} for answer in (other, other, own)]
    (asked,) = answers.read_answers(table(tmp_path / "right.csv", *rows))
    assert asked.answers == (other, own)
    ((right,),) = answers.judge(Explainer(model), [asked])
    assert right["right"]
    ((wrong,),) = answers.judge(Explainer(model), answers.read_answers(table(tmp_path / "wrong.csv", *rows[:2])))
    assert (wrong["truth"], wrong["said"]) == (other, own)
    logits = model.answer_scores(mmcam.preparation.batch_of(model, [picture], None).x, [question])[0].softmax(0)
    assert wrong["confidence"] == pytest.approx(float(logits.detach().max()))
    strange = [{"picture": "a.png", "question": question, "answer": "nothing it knows"}]
    ((unknown,),) = answers.judge(Explainer(model), answers.read_answers(table(tmp_path / "odd.csv", *strange)))
    assert unknown["card"]["maps"][0] is None
    assert "cannot say it" in unknown["card"]["notes"][0]
    assert place_of(unknown) == "unknown"


def test_the_summary_counts_pictures_as_one_source_of_error():
    case = {"truth": "a", "said": "a", "points": [None, None], "mass": [None, None], "centre": None, "grid": None}
    case |= {"agreement": None, "overlap": None}
    words = [case | {"picture": f"{n}\t{k}", "right": n == 0} for n in range(2) for k in range(5)]
    found = summary(words)
    assert found.wrong.n == 10
    assert found.wrong.standard_error == pytest.approx(0.5), "two pictures, all right and all wrong"


def test_the_command(photos, tmp_path):
    run_ = lambda *words: CliRunner().invoke(app, ["failures", *map(str, words)])  # noqa: E731
    (tmp_path / "empty").mkdir()
    done = run_(tmp_path / "empty", "--model", "vignette-classifier", "--out", tmp_path / "p.html")
    assert done.exit_code == 1
    assert "holds no folder for a class" in done.output
    (tmp_path / "mine.html").write_text("mine")
    done = run_(photos, "--model", "vignette-classifier", "--out", tmp_path / "mine.html")
    assert "is there already" in done.output
    assert run_(photos).exit_code == 2, "the model is always named"


@needs_chromium
def test_the_page_sorts_filters_and_is_walked_by_keys(photos, tmp_path):
    out = tmp_path / "page.html"
    find_failures(photos, Explainer(Colours()), out)
    with Browser(tmp_path) as browser:
        browser.open(out)
        order = lambda: browser("[...document.querySelectorAll('article')].map((a) => a.dataset.name.split('/')[1])")  # noqa: E731
        heads = "[...document.querySelectorAll('section > h2')].map((h) => h.textContent.trim())"
        assert browser(heads) == ["red → blue 2", "Once each 1"]
        browser("document.getElementById('grouped').click()")
        grouped = browser("[...document.querySelectorAll('article')].map((a) => Number(a.dataset.key0))")
        assert grouped == sorted(grouped, reverse=True)
        browser("document.getElementById('order').click()")
        assert order() == ["e.png", "c.png", "d.png"], "the least sure first"
        browser("document.querySelector('.confusions button').click()")
        assert sorted(order()) == ["c.png", "d.png"]
        assert browser("document.getElementById('count').value") == "2 of 3"
        browser("document.querySelector('article').focus()")
        browser.press("ArrowRight")
        assert browser("document.activeElement.dataset.name").endswith(order()[1])
        browser.press("Enter")
        assert browser("document.activeElement.className") == "plain"
        assert browser("document.querySelectorAll('article canvas').length") == 4, "both maps of both cards are drawn"
        sources = "new Set([...a.querySelectorAll('img')].map((i) => i.src)).size === 1"
        same = f"[...document.querySelectorAll('article')].every((a) => {sources})"
        assert browser(same)
        assert browser.errors == []


def test_names_cannot_leave_their_place(tmp_path):
    evil = '"><script>alert(1)</script>'
    model = Colours()
    model.classes = ("red", evil, "blue")
    squares(tmp_path / "a.png", ("red", 2, 2, 6), ("blue", 20, 20, 10))
    out = tmp_path / "page.html"
    find_failures(table(tmp_path / "t.csv", {"picture": "a.png", "class": "1"}), Explainer(model), out)
    assert "<script>alert" not in out.read_text()


def test_records_say_what_they_are_of(tmp_path):
    (tmp_path / "p.part").write_text(json.dumps({"of": {"a": 1}}) + "\n")
    assert records.kept(tmp_path / "p.part", {"a": 1}) == {}
    with pytest.raises(ExplainError, match="a differs"):
        records.kept(tmp_path / "p.part", {"a": 2})
    (tmp_path / "q.part").write_bytes(b"\xff\xfe")
    with pytest.raises(ExplainError, match="other work"):
        records.kept(tmp_path / "q.part", {"a": 2})
