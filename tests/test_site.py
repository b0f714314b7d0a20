"""The documentation site builds without a warning or a network, and holds every public name, table and photograph."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import mmcam
from mmcam import evaluation

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What `make docs` builds: a link, an anchor or a name that leads nowhere is a warning, and a warning an error."""
    out = tmp_path_factory.mktemp("site")
    proxies = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # nobody listens there
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **proxies}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.long
@pytest.mark.slow
def test_every_public_name_has_its_place(site):
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    objects = {name for kind, entries in inventory.items() if kind.startswith("py:") for name in entries}
    pages = "".join(path.read_text() for path in (site / "docs" / "api").glob("*.html"))
    for name in set(mmcam.__all__) - {"__version__", "models"}:
        assert f"mmcam.{name}" in objects or f'<span class="pre">{name}</span>' in pages, name
    assert {f"mmcam.evaluation.{name}" for name in evaluation.__all__} <= objects
    assert {"mmcam.models.load", "mmcam.jobs.open", "mmcam.neurons.why.Why"} <= objects


@pytest.mark.long
@pytest.mark.slow
def test_lists_are_made_of_the_files_beside_them(site):
    results = (site / "docs" / "results.html").read_text()
    for path in (ROOT / "experiments" / "results").glob("*.json"):
        row = f'<td><p><a class="reference internal" href="../experiments/results/{path.stem}.html">'
        assert results.count(row) == 1, f"{path.stem} stands once, under one theme"
    families = (site / "docs" / "families.html").read_text()
    for row in json.loads((ROOT / "experiments" / "results" / "vlm_families.json").read_text())["rows"]:
        assert f"<p>{row['family']}" in families
    gallery = (site / "docs" / "gallery.html").read_text()
    for name, whose in json.loads((ROOT / "mmcam/datasets/photographs/credits.json").read_text()).items():
        assert f"_images/{name}" in gallery
        assert f'href="{whose["source"]}"' in gallery


@pytest.mark.long
@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    assert len(list(site.rglob("*.html"))) > 100
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=\"(https?://[^\"]+)", path.read_text())
        assert loaded == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?://|@import", path.read_text()), path
