"""Captions and answers from the command line: beams, words of a question, attention, grounding, trained folders."""

import json
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

import mmcam
import models
from mmcam.cli import app
from mmcam.datasets import vignettes

run = CliRunner().invoke
CAPTIONER = ("--model", "vignette-captioner")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("vignette") / "scene.png"
    vignettes.draw(20_000_123).image.save(path)
    return path


def explained(picture, out, *arguments):
    result = run(app, ["explain", str(picture), "--out", str(out), "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_best_captions_each_with_its_words(picture, tmp_path):
    reports = explained(picture, tmp_path, "--beam", "2", *CAPTIONER)
    captioner = models.load("vignette-captioner")
    best = mmcam.explain_caption(captioner, picture, beam=2)
    assert [report["caption"] for report in reports] == [exp.caption for exp in best]
    assert (tmp_path / "scene-beam1-caption.png").is_file()
    saved = mmcam.load_explanation(tmp_path / "scene-beam2-caption.npz")
    assert [word.target for word in saved] == [word.target for word in best[1]]
    assert len(reports[1]["files"]) == 2


def test_the_words_of_a_question(picture, tmp_path):
    question = "what colour is the house"
    (report,) = explained(picture, tmp_path, "--model", "vignette-vqa", "--question", question, "--by-word")
    assert [word["target"] for word in report["words"]] == question.split()
    assert report["target"] in models.load("vignette-vqa").answers
    assert Image.open(tmp_path / "scene-question.png").width > 500
    text = run(
        app,
        [
            "explain",
            str(picture),
            "--out",
            str(tmp_path),
            "--model",
            "vignette-vqa",
            "--question",
            question,
            "--by-word",
        ],
    ).stdout
    assert "score lost without it" in text


def test_how_much_words_owe_to_the_picture(picture, tmp_path):
    (report,) = explained(picture, tmp_path, "--grounding", *CAPTIONER)
    owed = mmcam.grounding(models.load("vignette-captioner"), picture)
    assert [word["drop"] for word in report["grounding"]] == pytest.approx([word.drop for word in owed], abs=1e-4)
    text = run(app, ["explain", str(picture), "--out", str(tmp_path), "--grounding", *CAPTIONER]).stdout
    assert ("not from the picture" in text) == any(word.flagged for word in owed)


def test_the_models_own_attention(picture, tmp_path):
    (report,) = explained(
        picture, tmp_path, "--caption", "--model", "vignette-transformer-captioner", "--method", "attention",
        "--option", "level=layer 1",
    )  # fmt: skip
    assert {word["layer"] for word in report["words"]} == {"attention"}
    assert (tmp_path / "scene-caption-attention.png").is_file()
    result = run(
        app, ["explain", str(picture), "--out", str(tmp_path), "--caption", "--method", "attention", *CAPTIONER]
    )
    assert result.exit_code == 1
    assert "shows no attention of its own" in " ".join(result.stderr.split())


def test_a_folder_that_a_training_script_wrote(picture, tmp_path):
    folder = tmp_path / "vignette-captioner"
    folder.mkdir()
    for suffix in ("json", "safetensors"):
        shutil.copy(models.WEIGHTS / f"vignette-captioner.{suffix}", folder)
    (report,) = explained(picture, tmp_path, "--caption", "--model", str(folder))
    assert report["caption"] == mmcam.explain_caption(models.load("vignette-captioner"), picture).caption


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--by-word"], "--by-word needs its --question"),
        (["--grounding", "--word", "car"], "leave --word and --beam out"),
        (["--beam", "2", "--question", "what is it"], "choose one of"),
    ],
)
def test_options_that_do_not_go_together(picture, arguments, sentence):
    result = run(app, ["explain", str(picture), *arguments])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_another_score_of_a_word_and_of_an_answer(picture, tmp_path):
    (word,) = explained(picture, tmp_path, "--word", "house", "--score", "prob", *CAPTIONER)
    expected = mmcam.explain_caption(models.load("vignette-captioner"), picture, "house", score="prob")
    assert (word["scored"], word["score"]) == ("prob", pytest.approx(expected.score, rel=1e-5))
    (answer,) = explained(picture, tmp_path, "--question", "where is this", "--score", "entropy")
    assert answer["scored"] == "entropy"
    result = run(app, ["explain", str(picture), "--class", "house", "--score", "logit"])
    assert result.exit_code == 2
    assert "--score is of words and answers" in result.output
