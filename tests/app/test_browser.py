"""The page in a real browser, at a desk and on a telephone: every control, with and without a mouse."""

import io
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from mmcam.datasets import vignettes

pytestmark = pytest.mark.long  # minutes of a real browser

SETTLED = "() => !document.querySelector('.pending') && document.querySelector('.mm-viewer[data-key]')"


class Visitor:
    """One who opens the page, with a note of what the browser asked for and complained of."""

    def __init__(self, browser, served, width=1280, query=""):
        self.page = browser.new_context(
            viewport={"width": width, "height": 900}, permissions=["clipboard-read", "clipboard-write"],
            accept_downloads=True,
        ).new_page()  # fmt: skip
        self.errors, self.requests = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(served.local_url + query)
        self.page.wait_for_selector(".mm-viewer[data-key]", timeout=60_000)
        self.page.wait_for_timeout(300)

    def key(self):
        return self.page.get_attribute(".mm-viewer", "data-key")

    def until_other(self, before):
        """Wait until something else is shown, or a sentence says why not."""
        self.page.wait_for_function(
            "before => document.querySelector('.mm-viewer').dataset.key !== before || "
            "document.querySelector('.mm-alarm').textContent",
            arg=before,
            timeout=120_000,
        )
        return self

    def until_scene(self):
        """Wait until a link's drawn scene has taken the place of the first sample."""
        self.page.wait_for_function(
            "() => document.querySelector('.mm-credit')?.textContent.includes('20000123')", timeout=120_000
        )
        self.page.wait_for_timeout(1000)  # the tab that it opens asks once more
        self.page.wait_for_function(SETTLED, timeout=120_000)
        return self

    def tab(self, name):
        before = self.key()
        self.page.get_by_role("tab", name=name).click()
        return self.until_other(before)

    def sample(self, name):
        before = self.key()
        self.page.click(f'#samples button[data-sample="{name}"]')
        return self.until_other(before)

    def until_quiet(self):
        """Wait until nothing has been asked of the server for two seconds."""
        seen = -1
        while seen != len(self.requests):
            seen = len(self.requests)
            self.page.wait_for_timeout(2000)
        return self

    def says(self):
        return self.page.inner_text(".mm-says")

    def words(self):
        return self.page.eval_on_selector_all(".mm-word", "all => all.map((one) => one.firstChild.textContent)")

    def pixels(self):
        return self.page.evaluate("() => document.querySelector('.frame canvas')?.toDataURL()")

    def alarm(self):
        self.page.wait_for_function("() => document.querySelector('.mm-alarm').textContent", timeout=60_000)
        return self.page.inner_text(".mm-alarm")


@pytest.fixture
def visit(chromium, served):
    opened = []

    def visit(**how):
        opened.append(Visitor(chromium, served, **how))
        return opened[-1]

    yield visit
    for one in opened:
        assert one.errors == []
        own = urlsplit(served.local_url).netloc
        assert {urlsplit(url).netloc for url in one.requests if not url.startswith(("data:", "blob:"))} == {own}
        one.page.context.close()


SCENE = "?ask={}&sample=vignette-20000123"


def test_a_sample_is_explained_when_the_page_opens(visit):
    me = visit()
    assert me.words()[0] == "bull mastiff"
    assert me.pixels()
    assert "logit" in me.says()
    assert urlsplit(me.page.url).query == ""


def serious(page):
    """What axe-core finds serious or critical, with where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core").Axe()
    return {
        one["id"]: [node["html"][:200] for node in one["nodes"]][:3]
        for one in axe.run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
    }


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_answers_and_can_be_used_by_all(visit, width):
    me = visit(width=width).sample("vignette-20000123")
    assert me.words()[0] == "house"
    me.page.get_by_text("Method, layer, contrast").click()
    found = [serious(me.page)]
    me.tab("A caption")
    assert me.words()[-1] == "whole caption"
    found.append(serious(me.page))
    me.tab("An answer")
    assert me.words()[:3] == ["what", "kind", "of"]
    found.append(serious(me.page))
    me.tab("Neurons")
    me.page.wait_for_selector(".mm-exemplars img")
    assert me.page.locator(".mm-unit").count() > 3
    found.append(serious(me.page))
    assert found == [{}] * 4, json.dumps(found, indent=1)
    assert me.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_click_on_a_word_shows_its_map_and_its_link_brings_it_back(visit):
    me = visit(query=SCENE.format("caption")).until_scene()
    before = me.pixels()
    me.page.locator(".mm-word", has_text="house").click()
    me.page.mouse.move(2, 2)
    assert me.pixels() != before
    assert me.says().startswith("house log-probability")
    query = parse_qs(urlsplit(me.page.url).query)
    assert query["target"] == ["house"]
    assert query["sample"] == ["vignette-20000123"]
    again = visit(query="?" + urlsplit(me.page.url).query)
    again.page.wait_for_function("() => document.querySelector('.mm-word.on')?.textContent.startsWith('house')")
    assert again.says() == me.says()
    assert again.page.inner_text(".mm-legend") == me.page.inner_text(".mm-legend")  # the map's own maximum
    assert again.page.get_by_role("tab", name="A caption").get_attribute("aria-selected") == "true"


def test_pointing_at_the_picture_tells_what_speaks_most_there(visit):
    me = visit(query=SCENE.format("class")).until_scene()
    scene = vignettes.draw(20000123)
    house = next(thing for thing in scene.truth.things if thing.kind == "house")
    left, top, right, bottom = house.box
    frame = me.page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    me.page.mouse.move(box["x"] + box["width"] * (left + right) / 448, box["y"] + box["height"] * (top + bottom) / 448)
    assert "Here speaks most: house" in me.says()
    assert me.page.inner_text(".mm-tag") == "house"
    me.page.mouse.move(2, 2)
    assert me.page.locator(".mm-tag").count() == 0


def test_without_a_mouse(visit):
    me = visit(query=SCENE.format("caption")).until_scene()
    me.page.locator('.mm-word[tabindex="0"]').focus()
    me.page.keyboard.press("Home")
    assert me.says().startswith("a ")
    me.page.keyboard.press("End")
    me.page.keyboard.press("Enter")
    assert me.page.locator('.mm-word[aria-pressed="true"]').inner_text().startswith("whole caption")
    me.page.locator(".frame").first.focus()
    me.page.keyboard.press("ArrowDown")
    assert me.page.locator(".mm-cross").count() == 1
    me.page.keyboard.press("Escape")
    assert me.page.locator(".mm-cross").count() == 0
    me.page.get_by_role("tab", name="An answer").focus()
    me.page.keyboard.press("Enter")
    me.page.wait_for_selector('.mm-words[data-task="answer"]', timeout=60_000)


def test_opacity_colours_and_scale_need_no_server(visit):
    me = visit().until_quiet()
    asked = len(me.requests)
    seen = [me.pixels()]
    me.page.locator(".mm-look select").first.select_option("viridis")
    seen.append(me.pixels())
    me.page.locator(".mm-look input[type=range]").fill("0.3")
    seen.append(me.pixels())
    me.page.locator(".mm-word").nth(4).click()
    me.page.mouse.move(2, 2)
    seen.append(me.pixels())
    me.page.locator(".mm-look select").nth(1).select_option("shared")
    seen.append(me.pixels())
    assert "greatest of all" in me.page.inner_text(".mm-legend")
    assert len(set(seen)) == 5
    assert not [url for url in me.requests[asked:] if "queue" in url]


def test_units_are_clicked_in_the_sentence(visit):
    me = visit(query=SCENE.format("class")).until_scene()
    number = me.page.locator(".mm-number").first
    number.wait_for()
    before = me.pixels()
    number.click()
    assert me.says().startswith(f"unit {number.inner_text()}:")
    assert me.pixels() != before
    me.page.wait_for_selector(".mm-exemplars img")
    assert number.get_attribute("aria-pressed") == "true"
    number.click()
    assert me.pixels() == before


def test_a_class_is_completed_and_a_second_method_stands_beside(visit):
    me = visit()
    me.page.locator("#target-class input").click()
    me.page.wait_for_timeout(1500)  # until the classes have come
    me.page.keyboard.type("cat")
    me.page.get_by_role("option", name=re.compile(r"^cat \(the likeliest of")).wait_for()
    before = me.key()
    me.page.get_by_role("option", name=re.compile(r"^cat \(the likeliest of")).click()
    me.until_other(before)
    assert me.words()[0] == "tiger cat"
    me.page.get_by_text("Method, layer, contrast").click()
    field = me.page.locator("#beside input")
    me.page.wait_for_timeout(500)
    before = me.key()
    field.fill("layercam")
    field.press("Enter")
    me.until_other(before)
    assert me.page.locator(".frame").count() == 2
    before = me.key()
    me.page.locator("#contrast").get_by_role("textbox").fill("dog")
    me.page.locator("#contrast").get_by_role("textbox").press("Enter")
    me.until_other(before)
    assert me.words()[-1].startswith("tiger cat rather than")


def test_files_are_taken(visit):
    me = visit()
    for kind, begin in {"PNG": b"\x89PNG", "PDF": b"%PDF", "NPZ": b"PK", "JSON": b"{", "HTML": b"<!doctype"}.items():
        with me.page.expect_download() as waiting:
            me.page.get_by_role("link", name=f"{kind} file").click()
        path = waiting.value.path()
        assert path.read_bytes().startswith(begin)
        assert waiting.value.suggested_filename == f"mmcam-class-{me.key()[:8]}.{kind.lower()}"
    me.page.get_by_role("button", name="Copy Python").click()
    assert me.page.evaluate("() => navigator.clipboard.readText()").startswith("import mmcam\n")
    me.page.get_by_role("button", name="Copy link").click()
    assert "?ask=class&" in me.page.evaluate("() => navigator.clipboard.readText()")


def test_ones_own_picture(visit):
    me = visit()
    before, file = me.key(), io.BytesIO()
    vignettes.draw(20000003).image.save(file, "PNG")
    name = '"><img src=x onerror=alert(1)>.png'
    me.page.set_input_files(
        "#upload input[type=file]", {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}
    )
    me.until_other(before)
    assert "own picture stays with you" in me.page.inner_text(".mm-take")
    assert me.page.locator(".frame img").get_attribute("alt").startswith("Your picture")
    assert me.page.locator("img[src=x]").count() == 0
    assert "sample=uploaded" in me.page.url


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [("a.png", "image/png", b"no picture"), ("b.png", "image/png", b"<svg xmlns='http://www.w3.org/2000/svg'/>")],
)
def test_what_is_no_picture_is_told_on_the_page(visit, name, kind, data):
    me = visit()
    me.page.set_input_files("#upload input[type=file]", {"name": name, "mimeType": kind, "buffer": data})
    assert "no picture that can be read" in me.alarm()
    me.errors.clear()  # the browser itself cannot show it, and says so


def test_markup_is_text(visit):
    me = visit(query="?ask=answer&sample=vignette-20000123&text=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    me.alarm()
    assert me.page.locator("img[src=x]").count() == 0
    me = visit(query="?ask=class&sample=vignette-20000123&target=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script>alert(1)</script>" in me.alarm()
    assert me.page.evaluate("() => [...document.scripts].every((one) => !one.textContent.startsWith('alert(1)'))")


def test_a_link_that_says_what_cannot_be_is_one_sentence(visit):
    assert "There is no sample" in visit(query="?ask=class&sample=../../etc/passwd").alarm()
    assert "no page of that name" in visit(query="?ask=nothing").alarm()


def test_the_picture_on_the_page_is_the_sample(visit):
    me = visit(query=SCENE.format("class")).until_scene()
    shot = Image.open(io.BytesIO(me.page.locator(".frame img").screenshot())).convert("RGB")
    own = vignettes.draw(20000123).image.resize(shot.size)
    corner = (16, 16)  # within its round corner
    assert max(abs(a - b) for a, b in zip(shot.getpixel(corner), own.getpixel(corner), strict=True)) < 40
