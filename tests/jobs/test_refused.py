"""What cannot be right is refused in a sentence, before anything is overwritten; bad pictures cost only themselves."""

import pytest
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.jobs.lock import locked
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source


def quiet(text):
    """Nobody is told."""


def refused(*words, code=1):
    done = CliRunner().invoke(app, ["run", *map(str, words)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return " ".join(done.output.split())


JOB = ("class", "--images", "photos", "--model", "net:make", "--out", "out", "--shard", 8, "--batch", 4)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--model", "net:other"), "the model"),
        (("--method", "layercam"), "the methods"),
        (("--class", "red"), "the targets"),
        (("--shard", 4), "the size of parts"),
        (("--layer", "features.0"), "the layer"),
    ],
)
def test_the_folder_of_another_job(desk, plan, more, said):
    run(plan(), read_source("photos"), "out", tell=quiet)
    text = refused(*JOB, *more)
    assert "is of another job" in text
    assert said in text
    assert "--out" in text


def test_another_version_and_other_pictures(desk, plan, monkeypatch):
    run(plan(), read_source("photos"), "out", tell=quiet)
    monkeypatch.setattr("mmcam.jobs.plan.__version__", "9.9")
    assert "the version of mmcam" in refused(*JOB)
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    (desk / "photos" / "red" / "00.png").unlink()
    assert "the pictures" in refused(*JOB)


def test_a_second_process(desk, plan):
    with locked("out"):
        text = refused(*JOB)
    assert "is being worked on by process" in text
    assert CliRunner().invoke(app, ["run", *map(str, JOB)]).exit_code == 0  # the lock is gone with its holder


def test_bad_pictures_stand_in_the_errors(desk, plan):
    (desk / "list.txt").write_text("photos/red/00.png\nphotos/red/broken.png\nnowhere.png\n# nothing\n\n")
    done = run(plan(), read_source("list.txt"), "out", tell=quiet)
    assert (done.rows, done.errors) == (1, 2)
    errors = mmcam.jobs.open("out").errors()
    assert list(errors["id"]) == ["photos/red/broken.png", "nowhere.png"]
    assert "cannot be read as a picture" in errors["error"][0]
    assert "no picture" in errors["error"][1]
    with pytest.raises(mmcam.ExplainError, match="was not explained"):
        mmcam.jobs.open("out")["nowhere.png"]


def test_what_is_wrong_of_all_pictures_ends_the_job_at_once(desk):
    assert "rde" in refused(*JOB, "--class", "rde")
    assert not list((desk / "out" / "results").glob("*")) if (desk / "out" / "results").exists() else True


def test_what_was_wrong_from_the_beginning_may_be_mended(desk):
    refused(*JOB, "--class", "rde")
    assert CliRunner().invoke(app, ["run", *map(str, JOB), "--class", "red"]).exit_code == 0
    assert "another job" in refused(*JOB, "--class", "blue")


def test_one_target_that_is_wrong_costs_only_itself(desk, plan):
    done = run(plan(targets=("red", "rde")), read_source("photos"), "out", tell=quiet)
    assert (done.rows, done.errors) == (20, 21)
    assert set(mmcam.jobs.open("out").to_pandas()["target"]) == {"red"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--images", "nowhere"), "There are no pictures at nowhere"),
        (("--images", "empty"), "There is no picture in empty"),
        (("--images", "coco:x.json"), "coco:INSTANCES.json:PICTURES"),
        (("--images", "vqa:x.json"), "vqa:QUESTIONS.json"),
        (("--images", "imagenet:empty"), "is missing"),
        (("--images", "webdataset:no.tar"), "cannot be read"),
        (("--method", "nonsense"), "nonsense"),
        (("--truth", "wrong.csv"), "wrong.csv names 1 pictures that are not in photos (red/99.png)"),
        (("--truth", "strange.csv"), "none of the model's 4 classes"),
        (("--truth", "none.csv"), "none.csv is missing"),
    ],
)
def test_other_mistakes(desk, words, said):
    (desk / "empty").mkdir()
    (desk / "wrong.csv").write_text("picture,class\nred/99.png,red\n")
    (desk / "strange.csv").write_text("picture,class\nred/00.png,unicorn\n")
    assert said in refused(*JOB, *words)


@pytest.mark.parametrize(
    "words",
    [
        ("class", "--word", "dog"),
        ("caption", "--class", "dog"),
        ("similarity",),
        ("class", "--top", "2", "--true"),
        ("dissect", "--method", "gradcam"),
        ("answer", "--answer", "yes", "--true"),
        ("class", "--gpus", "1"),
        ("class", "--gpus", "1", "--engine", "ray"),
        ("dissect", "--engine", "ray"),
    ],
)
def test_options_of_another_task(desk, words):
    refused(*words, "--images", "photos", "--out", "out", code=2)


def test_no_job(desk):
    with pytest.raises(mmcam.ExplainError, match="holds no job"):
        mmcam.jobs.open("photos")
    (desk / "other").mkdir()
    (desk / "other" / "manifest.json").write_text("[]")
    with pytest.raises(mmcam.ExplainError, match="is no manifest"):
        mmcam.jobs.open("other")
