"""A picture of one's own by the camera and by the clipboard, as Gradio's field takes them, in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mmcam.datasets import vignettes

pytestmark = pytest.mark.long  # a browser with a camera

COPY = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  await navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})]);
}"""


@pytest.fixture
def page(served, chromium):
    context = chromium.new_context(permissions=["camera", "clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(served.local_url)
    page.wait_for_selector(".mm-viewer[data-key]", timeout=60_000)
    page.wait_for_timeout(1000)
    yield page
    context.close()


def explained(page, before):
    """The picture that is explained next, as the page shows it."""
    page.wait_for_function(
        "before => document.querySelector('.mm-viewer').dataset.key !== before || "
        "document.querySelector('.mm-alarm').textContent",
        arg=before,
        timeout=60_000,
    )
    assert page.inner_text(".mm-alarm") == ""
    assert "own picture stays with you" in page.inner_text(".mm-take")
    assert page.evaluate("() => document.querySelector('.frame canvas').width") > 0
    source = page.get_attribute(".frame img", "src")
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")


def test_by_the_camera(page):
    before = page.get_attribute(".mm-viewer", "data-key")
    page.locator("#upload").get_by_label("Capture from camera").click()
    page.locator("#upload").get_by_text("Click to Access Webcam").click()
    # Before its first frame there is nothing to capture, and the click would be lost.
    page.wait_for_function(
        "() => { const film = document.querySelector('#upload video'); return film && film.readyState > 1; }",
        timeout=60_000,
    )
    page.wait_for_timeout(500)
    page.locator("#upload").get_by_label("capture photo").click()
    red, green, blue = explained(page, before).resize((1, 1)).getpixel((0, 0))
    assert green > red + 50  # what Chromium's camera shows
    assert green > blue + 50


def test_by_the_clipboard(page):
    own, file = vignettes.draw(20000003).image, io.BytesIO()
    own.save(file, "PNG")
    page.evaluate(COPY, base64.b64encode(file.getvalue()).decode())
    before = page.get_attribute(".mm-viewer", "data-key")
    page.locator("#upload").get_by_label("Paste from clipboard").click()
    shown = explained(page, before)
    near, far = (np.asarray(one.convert("RGB").resize((8, 8)), int) for one in (own, shown))
    assert np.abs(near - far).max() < 30
