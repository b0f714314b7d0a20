"""The page of explanations: what lights up in a browser is the overlay, by mouse, keys and touch; texts are texts."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from browser import Browser, needs_chromium
from PIL import Image
from tiny import SMALL, VQA, Captioner, Deep, seeded

import mmcam
from mmcam import ExplainError, Explanation, Geometry, Preprocess
from mmcam.explanation import Explanations
from mmcam.neurons.names import Names, UnitName
from mmcam.report.maps import shown_part

CROP = Preprocess(size=(24, 24), mode="crop", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PAD = replace(CROP, mode="pad", size=(32, 32))
EVIL = '"><script>alert(1)</script></script><!--{{ 7 * 7 }}'


def photograph(width=57, height=31, phase=0.0):
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    waves = np.stack([np.sin(x + phase), np.cos(y), np.sin(x + y)], -1)
    return Image.fromarray((127 + 100 * waves).astype(np.uint8))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def caption():
    return mmcam.explain_caption(seeded(Captioner), photograph())


@pytest.fixture(scope="module")
def question():
    return mmcam.explain_answer(seeded(VQA), photograph(40, 50), "what is on the grass", by_word=True)


class Page(HTMLParser):
    """Tags, the texts of buttons, and every address of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.loaded, self._button = [], [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag == "button":
            self._button = True
            self.words.append("")
        elif tag == "small":
            self._button = False

    def handle_data(self, data):
        if self._button:
            self.words[-1] += data


def read(path):
    return path.read_text(encoding="utf-8")


def data_of(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


# --- what is on it ----------------------------------------------------------------------------------------------------


def test_the_page_stands_alone(caption, question, tmp_path):
    html = read(Explanations([caption, question]).html(tmp_path / "below" / "page.html"))
    found = Page(html)
    assert [file.name for file in (tmp_path / "below").iterdir()] == ["page.html"]
    assert all(address.startswith("data:") for address in found.loaded)
    assert not any(outside in html for outside in ("http:", "https:", "url(", "@import"))
    assert found.tags.count("article") == found.tags.count("img") == 2
    asked = ["what", "is", "on", "the", "grass"]
    assert found.words == [*caption.caption.split(), "whole", *asked, question.answer.target]


def test_texts_are_only_texts(tmp_path):
    picture = photograph()
    exp = Explanation(
        EVIL, -1.0, torch.rand(3, 3), None, EVIL, EVIL, EVIL, picture, Geometry((31, 57), (8, 8)), EVIL, EVIL
    )
    text = mmcam.CaptionExplanation(EVIL, (exp,), exp)
    html = read(Explanations([exp, text]).html(tmp_path / "page.html", labels=[EVIL, EVIL], title=EVIL))
    found = Page(html)
    assert found.tags.count("script") == 2  # the data and the code
    assert found.tags.count("style") == 1
    assert found.words == [EVIL, EVIL, "whole"]
    assert data_of(html)["cards"][0][0]["label"] == EVIL
    assert data_of(html)["cards"][0][0]["more"] == [EVIL]


def test_a_picture_is_on_the_page_once(tmp_path, caption):
    again = mmcam.explain_caption(seeded(Captioner), photograph(), "dog")
    other = mmcam.explain_caption(seeded(Captioner), photograph(phase=1.0), "dog")
    results = Explanations([caption, [again, other]])
    html = read(results.html(tmp_path / "page.html", labels=["photo-caption", "photo-dog", "b"]))
    assert html.count('src="data:image/webp') == 2
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["photo", "b"]


def test_a_caption_weighs_little(caption, tmp_path):
    single = caption.html(tmp_path / "one.html").stat().st_size
    many = Explanations([caption] * 11).html(tmp_path / "many.html").stat().st_size
    assert (many - single) / 10 < 6_000  # bytes of a caption without its picture


def test_why_stands_beside_a_map(tmp_path):
    exp = mmcam.explain_class(seeded(Deep, 32), photograph(), 3, preprocess=SMALL)
    names = Names({unit: UnitName(f"thing {unit}") for unit in range(6)}, 6)
    html = read(exp.html(tmp_path / "page.html", names=names))
    assert data_of(html)["cards"][0][0]["more"] == [str(exp.why(names))]
    pixels = mmcam.explain_class(seeded(Deep, 32), photograph(), 3, method="gradient", preprocess=SMALL)
    with pytest.raises(ExplainError, match="no weight to each unit"):
        pixels.html(tmp_path / "none.html", names=names)


def test_what_cannot_be_written_is_one_sentence(caption, tmp_path):
    with pytest.raises(ExplainError, match=r"Cannot write 'page.pdf': a page is an .html file"):
        caption.html(tmp_path / "page.pdf")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ExplainError, match=r"Cannot write 'folder.html' \(Is a directory\)"):
        caption.html(tmp_path / "folder.html")
    with pytest.raises(ExplainError, match="named by a path"):
        caption.html(3)
    with pytest.raises(ExplainError, match="nothing to show"):
        Explanations().html(tmp_path / "none.html")
    with pytest.raises(ExplainError, match="1 results and 2 labels"):
        Explanations([caption]).html(tmp_path / "labels.html", labels=["a", "b"])
    assert [file.name for file in tmp_path.iterdir()] == ["folder.html"]


# --- where the cells lie ----------------------------------------------------------------------------------------------


def test_the_part_that_was_shown():
    assert shown_part(SMALL.geometry(31, 57)) is None
    assert shown_part(PAD.geometry(31, 57)) is None
    left, top, right, bottom = shown_part(CROP.geometry(100, 200))
    assert (top, bottom) == (0, 100)
    assert [left, right] == pytest.approx([25, 75], abs=0.6)


# --- in a browser -----------------------------------------------------------------------------------------------------

PIXELS = """(() => { const canvas = document.querySelector(".frame canvas"); return canvas && [canvas.width,
canvas.height, Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data)]; })()"""
LIT = '[...document.querySelectorAll(".word.on")].map((word) => word.firstChild.textContent)'
SAID = 'document.querySelector("figcaption").textContent'


def overlaid(browser, exp):
    """What is seen over the picture, by the canvas's own pixels."""
    width, height, values = browser(PIXELS)
    colours = np.array(values, float).reshape(height, width, 4)
    opacity = colours[..., 3:] / 255
    return np.asarray(exp.image, float) * (1 - opacity) + colours[..., :3] * opacity


def is_shown(browser, exp):
    left, top, right, bottom = exp.geometry.shown()
    inside = np.s_[max(top, 0) : bottom, max(left, 0) : right]
    seen, expected = overlaid(browser, exp)[inside], np.asarray(exp.overlay(), float)[inside]
    return np.abs(seen - expected).mean() < 1 and np.percentile(np.abs(seen - expected), 99) < 8


@needs_chromium
@pytest.mark.parametrize("preprocess", [SMALL, CROP, PAD], ids=["squash", "crop", "pad"])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "rise"])
def test_what_is_drawn_is_the_overlay(browser, tmp_path, method, preprocess):
    model = seeded(Deep, 24 if preprocess is CROP else 32)
    options = {"n": 20} if method == "rise" else {}
    every = mmcam.explain_class(
        model, photograph(180, 100), [0, 1, 2, 3, 4], method=method, preprocess=preprocess, **options
    )
    exp = next(exp for exp in every if not exp.empty)
    browser.open(exp.html(tmp_path / "page.html"))
    assert is_shown(browser, exp)
    assert browser('document.querySelectorAll(".out").length') == (preprocess is CROP)


@needs_chromium
def test_hovering_lights_up_the_right_map(browser, tmp_path, caption):
    browser.open(caption.html(tmp_path / "page.html"))
    assert browser(LIT) == []
    assert browser(PIXELS) is None, "at rest the picture is bare"
    for at in (1, 4, len(caption)):
        exp = [*caption, caption.whole][at]
        browser.hover(f'.word[data-at="{at}"]')
        assert browser(LIT) == [[*caption.caption.split(), "whole"][at]]
        assert is_shown(browser, exp)
        assert f"{abs(exp.score):.2f}" in browser(SAID)
    browser.leave()
    assert browser(LIT) == []
    assert browser(PIXELS) is None
    assert not browser.errors


@needs_chromium
def test_keys_light_up_the_right_map(browser, tmp_path, caption):
    words = caption.caption.split()
    browser.open(caption.html(tmp_path / "page.html"))
    browser.press("Tab")
    browser.press("Tab")
    if browser("document.activeElement.id") == "shared":
        browser.press("Tab")
    assert browser(LIT) == words[:1]
    browser.press("ArrowRight")
    assert browser(LIT) == words[1:2]
    assert is_shown(browser, caption[1])
    assert browser("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowLeft")
    browser.press("ArrowLeft")
    assert browser(LIT) == words[:1]
    browser.press("End")
    assert browser(LIT) == ["whole"]
    browser.press("Enter")
    assert browser('document.querySelectorAll("[aria-pressed=true]").length') == 1
    browser.press("Home")
    assert browser(LIT) == words[:1]
    browser.press("Escape")
    assert browser(LIT) == []
    assert browser('[...document.querySelectorAll(".word")].filter((word) => word.tabIndex === 0).length') == 1


@needs_chromium
def test_a_touch_holds_a_map(browser, tmp_path, question):
    browser.size(390, 800, touch=True)
    try:
        browser.open(question.html(tmp_path / "page.html"))
        browser.tap('.word[data-at="3"]')
        assert browser(LIT) == ["the"]
        browser.tap('.word[data-at="5"]')
        assert browser(LIT) == [question.answer.target]
        assert is_shown(browser, question.answer)
        assert browser("document.documentElement.scrollWidth") == 390
    finally:
        browser.size(1280, 900)


@needs_chromium
def test_a_held_map_comes_back_after_another_was_pointed_at(browser, tmp_path, caption):
    browser.open(caption.html(tmp_path / "page.html"))
    browser.click('.word[data-at="1"]')
    browser.hover('.word[data-at="2"]')
    assert browser(LIT) == ["runs"]
    browser.leave()
    assert browser(LIT) == ["dog"]
    browser.click('.word[data-at="1"]')
    browser.leave()
    assert browser(LIT) == []


@needs_chromium
def test_one_scale_for_all_words_of_a_text(browser, tmp_path):
    strong, weak = torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, 1.0]])
    picture, geometry = Image.new("RGB", (40, 20), "white"), Geometry((20, 40), (20, 40))
    one, other = (
        Explanation(word, -1.0, values, None, "layer", "gradcam", "Net", picture, geometry)
        for word, values in (("one", strong), ("other", weak))
    )
    browser.open(mmcam.CaptionExplanation("one other", (one, other), one).html(tmp_path / "page.html"))
    opacity = "Math.max(...document.querySelector('canvas').getContext('2d').getImageData(39, 9, 1, 1).data.slice(3))"
    browser.hover('.word[data-at="1"]')
    own = browser(opacity)
    browser('document.getElementById("shared").click()')
    browser.hover('.word[data-at="0"]')
    assert browser(opacity) == own
    browser.hover('.word[data-at="1"]')
    assert browser(opacity) == pytest.approx(own / 2, abs=1)  # the square root of a quarter


@needs_chromium
def test_an_empty_map_says_so(browser, tmp_path):
    picture, geometry = photograph(), Geometry((31, 57), (8, 8))
    exp = Explanation(
        "dog", 1.0, torch.zeros(3, 3), None, "layer", "gradcam", "Net", picture, geometry, note="Nothing raises it."
    )
    browser.open(exp.html(tmp_path / "page.html"))
    assert browser('document.querySelector(".frame").textContent.trim()') == "the map is empty"
    assert "Nothing raises it." in browser(SAID)


@needs_chromium
def test_a_pixel_map_is_shown_by_itself(browser, tmp_path):
    exp = mmcam.explain_class(seeded(Deep, 32), photograph(), 3, method="guided_backprop", preprocess=SMALL)
    browser.open(exp.html(tmp_path / "page.html"))
    assert browser('document.querySelector(".frame .map").naturalWidth') == 57


@needs_chromium
def test_words_are_searched(browser, tmp_path, caption, question):
    others = [
        Explanation(
            f"class {i}", 1.0, torch.rand(3, 3), None, "layer", "gradcam", "Net", photograph(phase=i + 1.0),
            Geometry((31, 57), (8, 8)),
        )
        for i in range(6)
    ]  # fmt: skip
    browser.open(Explanations([caption, question, *others]).html(tmp_path / "page.html"))
    shown = '[...document.querySelectorAll("article")].filter((card) => !card.hidden).length'
    for sought, count in (("", 8), ("CLASS 3", 1), ("grass", 2), ("dog runs", 1), ("zebra", 0)):
        browser(f'(() => {{ const f = document.getElementById("find"); f.value = {json.dumps(sought)};'
                ' f.dispatchEvent(new Event("input", {bubbles: true})); })()')  # fmt: skip
        assert browser(shown) == count
    assert browser('document.getElementById("count").value') == "0 pictures"
