"""Every command and every line of the how-to pages runs, in a folder with photographs, a list and a VQA file.

Python blocks of a page share one namespace; one that begins with "# NAME.py" is a file. Commands run in bash.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmcam
from mmcam.datasets import vignettes
from mmcam.datasets.photographs import shipped

FOLDER = Path(__file__).parents[1] / "docs" / "howto"
ROOT = FOLDER.parents[1]
BLOCKS = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    return BLOCKS.findall((FOLDER / page).read_text(encoding="utf-8"))


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder as a user has one, in which `mmcam` is a command."""
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(shipped().path) as photo:
        photo.convert("RGB").resize((240, 240)).crop((0, 0, 240, 200)).save(photos / "dog-and-cat.jpg")
    vignettes.draw(20000123).image.save(photos / "beach.jpg")
    (photos / "broken.txt").write_text("no picture")
    (tmp_path / "paths.txt").write_text("photos/dog-and-cat.jpg\nphotos/broken.txt\nphotos/beach.jpg\n")
    asked = [("what is the dog doing?", "sitting", 1), ("is there a dog?", "no", 2), ("is this a car?", "yes", 3)]
    people = [{"answer": answer} for answer in ("on the floor", "elsewhere")]
    (tmp_path / "questions.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": 1, "file_name": "dog-and-cat.jpg"},
                    {"id": 2, "file_name": "beach.jpg"},
                    {"id": 3, "file_name": "broken.txt"},
                ],
                "questions": [{"question_id": i, "image_id": p, "question": q} for i, (q, _, p) in enumerate(asked)],
            }
        )
    )
    (tmp_path / "annotations.json").write_text(
        json.dumps(
            {
                "annotations": [
                    {"question_id": i, "answer_type": "other", "answers": [{"answer": true}] * 8 + people}
                    for i, (_, true, _) in enumerate(asked)
                ]
            }
        )
    )
    commands = tmp_path / "bin"
    commands.mkdir()
    command = commands / "mmcam"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmcam "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "editable")]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mine", None)


def run(page):
    names = {"__name__": "howto"}
    for kind, text in blocks(page):
        if kind == "bash":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        elif file := re.match(r"# (\w+\.py)\n", text):
            Path(file[1]).write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
        else:
            exec(compile(text, page, "exec"), names)
    return names


def written(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
@pytest.mark.slow
def test_ten_photographs(desk):
    names = run("photographs.md")
    assert {"page.html", "captions.html", "compare.png", "answer.html", "table.csv"} <= written(desk / "out")
    assert len(names["captions"]) == 2
    assert (desk / "out" / "table.csv").read_text().count("\n") == 3


@pytest.mark.long
@pytest.mark.slow
def test_a_captioner_of_ones_own(desk):
    names = run("captioner.md")
    assert {"captions.html", "caption.pdf", "mine.html", "mine/beach-caption.npz"} <= written(desk / "out")
    model, photo = names["model"], names["photo"]
    assert names["rather"].score == pytest.approx(
        mmcam.explain_caption(model, photo, "dog", caption="a brown dog").score
        - mmcam.explain_caption(model, photo, "cat", caption="a brown cat").score,
        abs=1e-4,
    )
    scores = [caption.whole.score for caption in names["three"]]
    assert len(scores) == 3
    assert names["looked"].cam.shape == (4, 4)


@pytest.mark.slow
def test_beams_of_ones_own_have_their_own_scores(desk):
    """The page's search gives log-probabilities that are the sum of its tokens' and the end's."""
    import torch

    names = {"__name__": "howto"}
    text = next(text for kind, text in blocks("captioner.md") if kind == "python" and text.startswith("# mine.py"))
    exec(compile(text, "mine.py", "exec"), names)
    model, x = names["make"](), torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        (found,) = model.beams(x, 3)
        for tokens, score in found:
            ended = torch.tensor([[*tokens, 0]])
            own = float(model.token_log_probs(x, ended).sum())
            unfinished = float(model.token_log_probs(x, ended[:, :-1]).sum())
            assert score == pytest.approx(own, abs=1e-4) or score == pytest.approx(unfinished, abs=1e-4)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@pytest.mark.slow
def test_a_vqa_file(desk):
    names = run("questions.md")
    assert {"answers.html", "answers.csv"} <= written(desk / "out")
    results = names["results"]
    assert isinstance(results[2], mmcam.PictureError), "what cannot be read costs one question"
    assert [result.question for result in results[:2]] == ["what is the dog doing", "is there a dog"]
    assert "people say sitting" in (desk / "out" / "answers.html").read_text()


@pytest.mark.long
@pytest.mark.slow
def test_a_folder(desk):
    run("folder.md")
    assert {"mine.html", "mine.csv", "figure.pdf", "again.svg"} <= written(desk / "out")
    assert len([name for name in written(desk / "out" / "mine") if name.endswith(".npz")]) == 4  # two classes each


@pytest.mark.long
@pytest.mark.slow
def test_a_list_of_files(desk):
    names = run("files.md")
    assert [path for path, _ in names["lost"]] == ["photos/broken.txt"]
    assert len(names["saved"]) == 2
    assert names["table"]["pointing"].tolist() == [True, True]
    assert json.loads((desk / "results.json").read_text())[0]["category_id"] in names["categories"].values()
    assert len(json.loads((desk / "table.json").read_text())) >= 2
    assert np.isfinite([result["score"] for result in names["results"]]).all()


def test_files_and_pages(desk):
    names = run("results.md")
    assert names["meta"]["target"] == names["caption"][1].target
    assert names["image"].startswith(b"\x89PNG")


@pytest.mark.long
@pytest.mark.slow
def test_figures(desk):
    names = run("figures.md")
    assert {"methods.pdf", "methods.jpg", "words.pdf", "tabby.png"} <= written(desk / "out")
    assert [[exp.target for exp in row] for row in names["words"]] == [["dog", "dog"], ["cat", "cat"]]
    assert names["table"][0][1].method == "layercam"
    assert names["exp"].mask(0.5).shape == names["exp"].heatmap.shape


def test_every_page_is_listed_and_run():
    listed = set(re.findall(r"\]\((\w+\.md)\)", (FOLDER / "README.md").read_text()))
    assert listed == {path.name for path in FOLDER.glob("*.md")} - {"README.md"}
    tested = set(re.findall(r'run\("(\w+\.md)"\)', Path(__file__).read_text()))
    assert tested == listed
