"""Every Python block of the README and of the pages of the site runs, in order, in one namespace a page.

`test_howto.py` runs the pages of `docs/howto`, `test_contributing.py` CONTRIBUTING, `test_face.py` research,
`test_regions_page.py` regions and boxes.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmcam
from mmcam.datasets import vignettes

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
QUICK = ["docs/concepts.md", "docs/own.md", "docs/methods/cam.md", "docs/methods/rules.md", "docs/methods/factors.md"]
LONG = [
    "docs/start.md",
    "docs/which.md",
    "docs/wrong.md",
    "docs/protocols.md",
    "docs/methods/README.md",
    "docs/models.md",
]
QUESTIONS = {"docs/captions-and-answers.md": 15, "docs/neurons.md": 8, "docs/evaluation.md": 14}
ELSEWHERE = ["CONTRIBUTING.md", "docs/research.md", "docs/regions-and-boxes.md"]
ELSEWHERE += [f"docs/howto/{p.name}" for p in ROOT.glob("docs/howto/*.md")]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def run(page):
    names = {"__name__": "page"}
    kept = dict(mmcam.METHODS)
    try:
        for block in blocks(page):
            exec(compile(block, page, "exec"), names)
    finally:
        for name in mmcam.METHODS.keys() - kept:
            del mmcam.METHODS[name]
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_readme_runs(folder):
    names = run("README.md")
    assert names["house"].heatmap.shape == (224, 224)
    assert len(names["strip"]) > 3
    assert (folder / "out" / "strip.png").is_file()


@pytest.mark.parametrize("page", QUICK)
def test_a_page_runs(page, folder):
    assert run(page)


@pytest.mark.long
@pytest.mark.parametrize("page", LONG)
def test_a_long_page_runs(page, folder):
    names = run(page)
    if page == "docs/start.md":
        assert names["maps"].shape == (3, 2, 14, 14)
        assert names["word"].heatmap.shape == (224, 224)
        assert (folder / "out" / "strip.png").is_file()


@pytest.mark.long
def test_the_page_of_jobs_runs(folder):
    for i in range(3):
        path = folder / "photos" / "red" / f"0{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        vignettes.draw(vignettes.seed("test", i)).image.save(path)
    (folder / "my-labels.csv").write_text("picture,label\nred/01.png,a\nred/02.png,b\n")
    command = ["class", "--images", "photos", "--model", "vignette-classifier", "--out", "out/photos"]
    subprocess.run([sys.executable, "-m", "mmcam", "run", *command], check=True, capture_output=True)
    names = run("docs/jobs.md")
    assert len(names["frame"]) == 3


@pytest.mark.parametrize("page", QUESTIONS)
def test_every_line_of_a_page_runs(page):
    names = run(page)
    lines = re.findall(r"\? \| `(.*?)` \|", (ROOT / page).read_text(encoding="utf-8"))
    assert len(lines) >= QUESTIONS[page]
    for line in lines:
        assert eval(line, names), line


PAGES = [*README.parent.glob("*.md"), *README.parent.glob("docs/**/*.md"), *README.parent.glob("experiments/**/*.md")]


def test_every_page_with_python_is_run():
    with_python = {str(page.relative_to(ROOT)) for page in PAGES if "```python" in page.read_text(encoding="utf-8")}
    assert with_python - {"README.md", "docs/jobs.md", *QUICK, *LONG, *QUESTIONS, *ELSEWHERE} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(README.parent)))
def test_pictures_and_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)  # code has brackets of its own
    for path in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert path.startswith("http") or (page.parent / path).exists(), path


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 250
