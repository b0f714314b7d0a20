"""The web demo, served once for all tests of it, and a browser to open it."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""The latter two: Chromium's own camera, green with a clock that runs, and nobody who is asked for leave."""


@pytest.fixture(scope="session")
def studio():
    from mmcam.app.models import Studio

    return Studio()


@pytest.fixture
def session():
    from mmcam.app.session import Session

    return Session()


@pytest.fixture(scope="session")
def served():
    pytest.importorskip("gradio", reason="needs Gradio, of the extra app")
    from mmcam.app.launch import serve

    page = serve(wait=False)
    yield page
    page.close(verbose=False)


@pytest.fixture(scope="session")
def chromium():
    if CHROMIUM is None:
        pytest.skip("needs Chromium to open the page")
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright to drive Chromium")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
