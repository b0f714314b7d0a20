"""Results are read lazily, as a table, by DuckDB, as explanations, joined with one's own table; and on a page."""

import re

import numpy as np
import pandas
import pyarrow.dataset as ds
import pytest
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source


def quiet(text):
    """Nobody is told."""


def command(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.fixture
def job(desk, plan):
    run(plan(methods=("gradcam", "gradient")), read_source("photos"), "out", tell=quiet)
    return mmcam.jobs.open("out")


def test_the_table(job):
    frame = job.to_pandas()
    assert len(frame) == len(job) == 40
    assert "map" not in frame
    assert set(frame["method"]) == {"gradcam", "gradient"}
    high = ds.field("score") > frame["score"].median()
    strong = job.to_pandas(["id", "peak", "score"], high)
    assert list(strong) == ["id", "x", "y", "score"]
    assert 0 < len(strong) < 40
    with pytest.raises(mmcam.ExplainError, match="no column 'nonsense'"):
        job.to_pandas(["nonsense"])


def test_duckdb_reads_it(job):
    duckdb = pytest.importorskip("duckdb")
    (count,) = duckdb.connect().execute(f"select count(*) from '{job.pattern}' where peak.x >= 0").fetchone()
    assert count == job.to_pandas()["x"].notna().sum()
    (largest,) = duckdb.connect().execute(f"select max(list_max(map)) from '{job.pattern}'").fetchone()
    assert largest == 1


def test_explanations_come_back_and_can_be_drawn_and_kept(job, tmp_path):
    gradcam, gradient = job["red/02.png"]
    assert gradcam.values.shape == (16, 16)
    assert gradient.values.shape == (3, 32, 32)
    assert gradcam.overlay().size == gradcam.image.size == (42, 30)
    again = mmcam.load_explanation(gradcam.save(tmp_path / "x.npz"))
    np.testing.assert_array_equal(again.heatmap, gradcam.heatmap)
    assert len(list(job)) == 40
    assert mmcam.table(list(job)[:2])["target"].notna().all()


def test_pictures_that_were_moved(job, desk):
    (desk / "photos").rename(desk / "elsewhere")
    with pytest.raises(mmcam.PictureError, match="no picture"):
        job["red/02.png"]
    assert mmcam.jobs.open("out", root="elsewhere")["red/02.png"][0].image.size == (42, 30)
    assert len(job.to_pandas()) == 40


def test_joined_with_a_table(job, desk):
    mine = pandas.DataFrame({"photo": ["red/00.png", "blue/01.png"], "score": [1, 2], "who": ["ann", "bob"]})
    frame = job.joined(mine, on="photo")
    assert len(frame) == 40
    assert set(frame[frame["id"] == "red/00.png"]["who"]) == {"ann"}
    assert "score_given" in frame
    mine.to_csv("mine.csv", index=False)
    assert job.joined("mine.csv", on="photo").equals(frame)
    with pytest.raises(mmcam.ExplainError, match="names 1 pictures that are not in the job \\(zzz\\)"):
        job.joined(pandas.DataFrame({"id": ["zzz"]}))
    with pytest.raises(mmcam.ExplainError, match="no column 'id'"):
        job.joined(pandas.DataFrame({"photo": ["zzz"]}))


def test_an_unfinished_job_is_read_too(job, desk):
    (desk / "out" / "results" / "part-000002.parquet").unlink()
    assert len(job) == 32
    assert list(job.errors()["id"]) == []  # those of a part that is not there do not count


def test_the_page_and_the_table_of_a_job(job, desk, monkeypatch):
    assert "40 explanations" in command("page", "out", "--out", "page.html")
    html = (desk / "page.html").read_text()
    assert "blue/01" in html or "01" in html
    assert len(re.findall("data:image", html)) >= 20
    monkeypatch.setattr("mmcam.cli.page.PICTURES", 3)
    assert "The first 3 of 21 pictures" in command("page", "out", "--out", "few.html")
    command("table", "out", "--out", "all.csv")
    frame = pandas.read_csv("all.csv")
    assert len(frame) == 40
    assert {"id", "target", "x", "left", "score"} <= set(frame)
    command("table", "out", "--out", "all.json")
    assert len(pandas.read_json("all.json")) == 40
