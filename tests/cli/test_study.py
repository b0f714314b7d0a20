"""`mmcam study` as it is typed."""

import json

import pytest
from made_study import answered, made
from typer.testing import CliRunner

from mmcam.cli import app

pytest.importorskip("fastapi", reason="needs the extra study")


BUILD = ("build", "--model", "vignette-classifier", "--images", "vignettes", "--method", "gradcam")


def run(*arguments):
    return CliRunner().invoke(app, ["study", *map(str, arguments)])


@pytest.fixture
def study(tmp_path):
    design = made(tmp_path / "s", items=4)
    answered(tmp_path / "s", design, 8, lambda rater, trial: trial.truth)
    answered(tmp_path / "s", design, 1, lambda rater, trial: trial.truth, source="simulated")
    return tmp_path / "s"


def test_analyse_tells_and_writes(study):
    done = run("analyse", study, "--raters", 30)
    assert done.exit_code == 0, done.output
    assert "8 people" in done.output
    assert "1 simulated raters, which are programs and no people" in " ".join(done.output.split())
    assert "left out: 0" in done.output
    report = json.loads((study / "results.json").read_text())
    assert report["analyses"][0]["planned"] == 30
    assert {path.name for path in study.glob("results.*")} == {"results.html", "results.json", "results.csv"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("analyse", "nowhere"), "is no study"),
        (("serve", "nowhere"), "is no study"),
        (("simulate", "STUDY"), "build it with --training"),
        (("export", "STUDY", "--prolific", "--url", "http://x", "--out", "OUT"), "no address for raters"),
        (("export", "STUDY", "--static", "--out", "STUDY"), "is there already"),
        (("collect", "STUDY", "STUDY/design.json"), "no file of answers"),
        ((*BUILD, "--kind", "taste", "--out", "OUT"), "no kind of study 'taste'"),
        ((*BUILD, "--kind", "trust", "--out", "OUT"), "about two models, and 1 are given"),
        ((*BUILD, "--kind", "trust", "--out", "STUDY"), "is there already"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(study, tmp_path, arguments, says):
    given = [text.replace("STUDY", str(study)).replace("OUT", str(tmp_path / "out")) for text in arguments]
    done = run(*given)
    assert done.exit_code == 1
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_one_way_out_at_a_time(study, tmp_path):
    for given in ((), ("--static", "--mturk"), ("--mturk",)):
        assert run("export", study, "--out", tmp_path / "out", *given).exit_code == 2
    done = run("export", study, "--static", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert (tmp_path / "out" / "index.html").is_file()
