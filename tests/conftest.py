"""One thread a process; GPU tests where there is a GPU; of the long tests a tenth, unless told otherwise."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

SEED = 20_000_123  # another one draws another tenth


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def photo(tmp_path):
    """A photograph-like picture in a file, wider than high."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""The latter two: Chromium's own camera, green with a clock that runs, and nobody who is asked for leave."""


@pytest.fixture(scope="session")
def chromium():
    """A browser to open pages with: one for all, since Playwright's loop bears no second one in a process."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium to open the page")
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright to drive Chromium")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def pytest_addoption(parser):
    parser.addoption(
        "--long",
        choices=("tenth", "all", "none"),
        default="tenth",
        help="which of the tests marked long run: a tenth, chosen by a hash of their names, all or none",
    )


def in_tenth(nodeid: str) -> bool:
    """Whether a test belongs to the tenth; it hangs on its name alone, so new tests change nothing for the others."""
    return int.from_bytes(hashlib.sha256(f"{SEED} {nodeid}".encode()).digest()) % 10 == 0


def pytest_collection_modifyitems(config, items):
    runs = {"tenth": in_tenth, "all": lambda nodeid: True, "none": lambda nodeid: False}[config.option.long]
    left_out = [item for item in items if item.get_closest_marker("long") and not runs(item.nodeid)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
