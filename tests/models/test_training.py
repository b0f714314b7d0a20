"""The training scripts run end to end, resume exactly, and the published scores are what the weights give."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from experiments import render, train_captioner, train_classifier, train_vqa
from experiments.training import learning_rate, rows_of
from mmcam.datasets import vignettes
from models import WEIGHTS, load

SCRIPTS = {
    "vignette-classifier": train_classifier,
    "vignette-vqa": train_vqa,
    "vignette-captioner": train_captioner,
}
REMEASURED = 200  # test pictures; the committed figures are over all of them


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vignettes")
    render.main(train=24, val=0, test=REMEASURED, heldout=8, asked=6, folder=folder, workers=2)
    return folder


@pytest.fixture(scope="module")
def small(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data with a short test split, for the tiny trainings."""
    folder = tmp_path_factory.mktemp("small")
    for split in ("train", "heldout"):
        for suffix in ("npy", "jsonl"):
            (folder / f"{split}.{suffix}").symlink_to(data / f"{split}.{suffix}")
    pixels, records = render.read(data, "test")
    np.save(folder / "test.npy", pixels[:30])
    (folder / "test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[:30]))
    return folder


@pytest.fixture(scope="module")
def scores() -> dict[str, dict]:
    return {name: json.loads((WEIGHTS / f"{name}.json").read_text())["scores"] for name in SCRIPTS}


def test_rendered_splits_hold_the_announced_pictures(data: Path) -> None:
    pixels, records = render.read(data, "test")
    assert pixels.shape == (REMEASURED, 224, 224, 3)
    assert np.array_equal(pixels[3], vignettes.image(vignettes.seed("test", 3)))
    assert records[3]["truth"]["seed"] == vignettes.seed("test", 3)
    assert len(records[3]["captions"]) == 5
    assert len(records[3]["questions"]) == 6


def test_every_picture_is_seen_once_an_epoch() -> None:
    first = np.concatenate([rows_of(step, 12, 4, seed=1) for step in range(3)])
    second = np.concatenate([rows_of(step, 12, 4, seed=1) for step in range(3, 6)])
    assert sorted(first) == sorted(second) == list(range(12))
    assert first.tolist() != second.tolist()


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert max(rates) == rates[4] == 1.0
    assert rates[0] == 0.2
    assert rates[-1] < 0.01


def test_average_precision_by_hand() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 0.0, 1.0, 0.0])
    assert train_classifier.average_precision(scores, labels) == pytest.approx((1 + 2 / 3) / 2)


def failing_at_step(n: int, descend: Callable[..., None]) -> Callable[..., None]:
    calls = itertools.count(1)

    def failing(*args: object) -> None:
        if next(calls) == n:
            raise KeyboardInterrupt
        descend(*args)

    return failing


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: str, **options: object) -> None:
        if name != "vignette-classifier":
            options |= {"start_from": WEIGHTS}
        if name == "vignette-vqa":
            options |= {"alone": 1}
        SCRIPTS[name].main(data=small, work=tmp_path / f"work-{out}", out=tmp_path / out, batch=8, **options)

    train("whole", steps=4)
    monkeypatch.setattr(SCRIPTS[name], "descend", failing_at_step(4, SCRIPTS[name].descend))
    with pytest.raises(KeyboardInterrupt):
        train("broken", steps=4, save_every=2)
    monkeypatch.undo()
    train("broken", steps=4, resume=True)
    whole, broken = (safetensors.torch.load_file(tmp_path / out / f"{name}.safetensors") for out in ("whole", "broken"))
    assert all((whole[key] == broken[key]).all() for key in whole)
    card = json.loads((tmp_path / "whole" / f"{name}.json").read_text())
    assert card["scores"]["test"]["pictures"] == 30
    assert load(name, folder=tmp_path / "whole").preprocess.mode == "squash"


def test_committed_classifier_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-classifier"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["mAP"] >= 0.95
    assert card["heldout"]["pictures"] >= 2000
    again = train_classifier.measure(load("vignette-classifier"), *render.read(data, "test"))
    assert again["mAP"] == pytest.approx(card["test"]["mAP"], abs=0.03)


def test_committed_captioner_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-captioner"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["content_words_correct"] >= 0.90
    again = train_captioner.measure(load("vignette-captioner"), *render.read(data, "test"))
    assert again["content_words_correct"] == pytest.approx(card["test"]["content_words_correct"], abs=0.03)


def test_committed_vqa_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-vqa"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["accuracy"] >= 0.88
    assert card["test"]["question_only"] < card["test"]["accuracy"] - 0.25
    again = train_vqa.measure(load("vignette-vqa"), *render.read(data, "test"))
    assert again["accuracy"] == pytest.approx(card["test"]["accuracy"], abs=0.03)
