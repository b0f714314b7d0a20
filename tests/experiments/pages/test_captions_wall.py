"""The page of captions and answers: its numbers are the explanations' own, its texts are texts, it stands alone."""

import math
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from scipy import ndimage

import mmcam
import models
from experiments.lib.cards import AnswerCard, CaptionCard, Panel, next_question, pointing_error
from experiments.pages import captions_wall
from experiments.pages.captions_wall import About, page
from mmcam.datasets import vignettes

PICTURES = 3
ABOUT = About("captioner", "vqa", "gradcam", "test", "python -m experiments.pages.captions_wall")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


class Page(HTMLParser):
    """The cards of a page in order, with their words and pictures, and everything the page would load."""

    def __init__(self, html):
        super().__init__()
        self.cards, self.loaded, self.open, self.tags = [], [], [], Counter()
        self.count = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] += 1
        self.loaded += [attrs[name] for name in ("src", "href", "srcset", "action", "data") if name in attrs]
        if tag == "article":
            self.cards.append({**attrs, "words": [], "maps": 0, "numbers": []})
        if tag == "figure" and "tile" in attrs["class"]:
            self.cards[-1]["maps"] += 1
        if tag not in ("meta", "link", "img", "input"):
            self.open.append((tag, attrs.get("class") or ""))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, kind = self.open[-1] if self.open else ("", "")
        if tag == "button":
            self.cards[-1]["words"].append((data, kind))
        elif kind == "number":
            self.cards[-1]["numbers"].append(data)
        elif tag == "output":
            self.count += data


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    path = tmp_path_factory.mktemp("wall") / "below" / "wall.html"
    captions_wall.main(pictures=PICTURES, out=path)
    assert [file.name for file in path.parent.iterdir()] == ["wall.html"]
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def scenes():
    return [vignettes.draw(vignettes.seed("test", i)) for i in range(PICTURES)]


def numbers(card):
    return [float(card[f"data-{name}"] or "nan") for name in ("score", "confidence", "error")]


def distance(exp, mask):
    """To the mask, by a distance transform."""
    if exp.empty or not mask.any():
        return math.nan
    x, y = exp.peak()
    return ndimage.distance_transform_edt(~mask)[y, x]


def test_captions_have_the_explanations_own_numbers(html, scenes):
    model = models.load("vignette-captioner")
    shown = [card for card in Page(html).cards if card["data-kind"] == "caption"]
    for card, scene in zip(shown, scenes, strict=True):
        exp = mmcam.explain_caption(model, scene.image)
        claims = vignettes.captions.check(exp.caption, scene.truth)
        true = [claim for claim in claims if claim.correct and claim.things]
        errors = [distance(exp[claim.position], scene.mask(claim.things)) for claim in true]
        confidence = math.exp(np.mean([word.score for word in exp]))
        expected = [exp.whole.score, confidence, np.nanmean(errors)]
        np.testing.assert_allclose(numbers(card), expected, rtol=1e-4)
        assert [word for word, _ in card["words"]] == exp.caption.split()
        assert card["maps"] == len(exp)
        assert card["numbers"] == [f"{word.score + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−") for word in exp]
        assert int(card["data-wrong"]) == any(not claim.correct for claim in claims)
        marked = {
            i: kind.split()[1] for i, (_, kind) in enumerate(card["words"]) if {"true", "untrue"} & {*kind.split()}
        }
        assert marked == {claim.position: "true" if claim.correct else "untrue" for claim in claims}
        guessed = {ground.position for ground in mmcam.grounding(model, scene.image) if ground.flagged} & marked.keys()
        assert {i for i, (_, kind) in enumerate(card["words"]) if "guessed" in kind} == guessed


def test_answers_have_the_explanations_own_numbers(html, scenes):
    model = models.load("vignette-vqa")
    shown = [card for card in Page(html).cards if card["data-kind"] == "answer"]
    for card, scene in zip(shown, scenes, strict=True):
        *asked, answer = [word for word, _ in card["words"]]
        question = next(q for q in scene.questions if q.text == " ".join(asked))
        exp = mmcam.explain_answer(model, scene.image, question.text, by_word=True)
        with torch.no_grad():
            scores = model.answer_scores(model.preprocess(scene.image)[0][None], [question.text])[0]
        expected = [scores.max(), scores.softmax(0).max(), distance(exp.answer, scene.mask(question.things))]
        np.testing.assert_allclose(numbers(card), expected, rtol=1e-4)
        assert answer == model.answers[scores.argmax()]
        assert int(card["data-wrong"]) == (answer != question.answer)
        assert card["maps"] == len(exp) + 1


def test_the_page_stands_alone(html):
    found = Page(html)
    assert len(found.cards) == 2 * PICTURES
    assert found.count == "6 of 6 cards"
    assert found.tags["img"] == sum(card["maps"] + 1 for card in found.cards)
    assert all(address.startswith("data:") for address in found.loaded)
    assert not any(outside in html for outside in ("http:", "https:", "url(", "@import"))
    assert html.startswith("<!doctype html>")
    assert "python -m experiments.pages.captions_wall --pictures 3 --split test" in html


def panel(word, **known):
    return Panel(word, -0.001, PIXEL, (50.0, 50.0), **known)


def caption(word, confidence=0.5, error=0.0, true=True):
    return CaptionCard(0, 20_000_000, PIXEL, word, (panel(word, true=true),), -1.5, confidence, error)


def answer(word, truth, confidence=0.5, error=0.0):
    made = panel(word, error=error, true=word == truth)
    return AnswerCard(0, 20_000_000, PIXEL, "what", (panel("what"),), 3.0, confidence, error, made, "kind", truth)


def test_texts_are_only_texts():
    evil = '"><script>alert(1)</script>'
    found = Page(page([caption(evil), answer(evil, evil)], ABOUT))
    assert found.tags["script"] == found.tags["style"] == 1
    assert [card["words"][-1][0] for card in found.cards] == [evil, evil]
    assert evil in found.cards[0]["data-find"]


def test_no_pointing_error_is_a_dash_and_sorts_as_nothing():
    html = page([caption("dog", error=math.nan)], ABOUT)
    assert Page(html).cards[0]["data-error"] == ""
    assert "<dd>—</dd>" in html
    assert "nan" not in html.split("<script>")[0].replace("meaning", "").lower()


def test_an_empty_map_says_why():
    empty = Panel("dog", -1.0, PIXEL, None, true=True, note="Nothing raises it.")
    html = page([CaptionCard(0, 20_000_000, PIXEL, "dog", (empty,), -1.0, 0.4, math.nan)], ABOUT)
    assert 'title="Nothing raises it."' in html
    assert 'class="peak"' not in html


def test_pointing_error_is_the_distance_to_the_nearest_pixel():
    mask = np.zeros((40, 50), dtype=bool)
    mask[10:20, 30:35] = True
    assert pointing_error((32, 15), mask) == 0
    assert pointing_error((34, 19), mask) == 0
    assert pointing_error((35, 15), mask) == 1
    assert pointing_error((27, 6), mask) == 5  # 3 to the left, 4 above
    mask[6, 26] = True
    assert pointing_error((27, 6), mask) == 1
    assert math.isnan(pointing_error(None, mask))
    assert math.isnan(pointing_error((0, 0), np.zeros_like(mask)))


def test_all_types_of_question_are_asked_in_turn():
    asked = Counter()
    for i in range(44):
        truth = vignettes.describe(vignettes.seed("test", i))
        asked[next_question(vignettes.questions.ask(truth), asked).type] += 1
    assert set(asked) == set(vignettes.questions.TYPES)
    assert max(asked.values()) <= 5


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the page")
@pytest.mark.parametrize(
    ("address", "expected", "count"),
    [
        ("", "dog cat boat bus car", 5),
        ("#sort=confidence&order=desc&show=wrong", "car cat boat", 3),
        ("#sort=error&order=asc", "dog bus car boat cat", 5),
        ("#sort=error&order=desc&show=captions", "boat dog cat", 3),
        ("#show=answers,wrong&find=TREE", "car", 1),
        ("#sort=nonsense&find=zebra", "", 0),
    ],
)
def test_a_browser_sorts_and_filters(tmp_path, address, expected, count):
    shown = [
        caption("dog", 0.2, 1.0),
        caption("cat", 0.3, math.nan, true=False),
        caption("boat", 0.1, 30.0, true=False),
        answer("bus", "bus", 0.95, 5.0),
        answer("car", "tree", 0.4, 10.0),
    ]
    found = in_chromium(page(shown, ABOUT), tmp_path, address)
    visible = [card["words"][-1][0] for card in found.cards if "hidden" not in card]
    assert visible == expected.split()
    assert found.count == f"{count} of 5 cards"


def in_chromium(html, folder, address):
    """The page as it is after its script has run."""
    path = folder / "wall.html"
    path.write_text(html, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom")
    ran = subprocess.run([CHROMIUM, *options, path.as_uri() + address], capture_output=True, timeout=120, check=True)
    return Page(ran.stdout.decode())
