"""Saved explanations as a page and as a table, from the command line."""

import json
import re

import numpy as np
import pandas
import pytest
from PIL import Image
from tiny import SMALL, VQA, Captioner, Deep, seeded
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    for number in (10, 2):
        shifted = Image.fromarray(np.roll(np.asarray(picture), number, 0))
        exp = mmcam.explain_class(seeded(Deep, 32), shifted, 3, preprocess=SMALL)
        exp.save(folder / f"photo{number}-class-3.npz")
        exp.save(folder / f"photo{number}-class-3.png")
    mmcam.explain_caption(seeded(Captioner), picture).save(folder / "below" / "c-caption.npz")
    mmcam.explain_answer(seeded(VQA), picture, "what is on the grass", by_word=True).save(folder / "below" / "c-q.npz")
    return folder


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_folder_becomes_a_page(saved, tmp_path):
    out = tmp_path / "new" / "page.html"
    done = run("page", saved, "--out", out, "--title", "Mine")
    assert done.exit_code == 0, done.output
    assert "4 explanations" in done.output
    html = out.read_text()
    assert re.findall(r"<h2>(.*?)</h2>", html) == ["c", "photo2-class-3", "photo10-class-3"]
    assert "<h1>Mine</h1>" in html
    assert run("page", saved / "photo2-class-3.npz", "--out", out).exit_code == 0, "a page is replaced by a page"
    assert len(out.read_text()) < len(html)


def test_another_file_is_not_replaced(saved, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    done = run("page", saved, "--out", tmp_path / "mine.html")
    assert done.exit_code == 1
    assert "is there already" in done.output
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_a_bad_file_costs_only_itself(saved, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no")
    done = run("page", tmp_path / "bad.npz", saved, "--out", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "bad.npz: " in done.output
    assert "4 explanations" in done.output
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "bad.npz", tmp_path / "none.npz"):
        done = run("page", nothing, "--out", tmp_path / "none.html")
        assert done.exit_code == 1
        assert "holds no explanation that can be read" in done.output
    assert not (tmp_path / "none.html").exists()


def test_the_table_of_a_folder(saved, tmp_path):
    done = run("table", saved)
    assert done.exit_code == 0, done.output
    (tmp_path / "printed.csv").write_text(done.stdout)
    printed = pandas.read_csv(tmp_path / "printed.csv")
    loaded = [mmcam.load_explanation(path) for path in sorted((saved / "below").glob("*.npz"))]
    words = sum(len(text) + 1 for text in loaded)
    assert printed["target"].tolist()[:words] == [exp.target for text in loaded for exp in (*text, text.all)]
    assert printed["file"].tolist()[-1] == str(saved / "photo10-class-3.npz")
    for suffix, begins in ((".csv", "file,"), (".tex", r"\begin{tabular}"), (".md", "| file"), (".json", "[")):
        out = tmp_path / f"table{suffix}"
        assert run("table", saved, "--out", out).exit_code == 0
        assert out.read_text().startswith(begins)
        assert run("table", saved, "--out", out).exit_code == 1, "nothing is overwritten"
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["target"] for row in rows] == printed["target"].tolist()
    assert "a table is a .csv" in run("table", saved, "--out", tmp_path / "table.xls").output


def test_help_lists_both():
    listed = run("--help").output
    assert "page" in listed
    assert "table" in listed
