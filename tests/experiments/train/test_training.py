"""The training scripts run end to end, resume exactly, and the published scores are what the weights give."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
import typer

import mmcam
from experiments.lib import asked, captioned, rendered
from experiments.lib.training import learning_rate, rows_of
from experiments.train import captioner as train_captioner
from experiments.train import classifier as train_classifier
from experiments.train import finetune as train_finetune
from experiments.train import render
from experiments.train import vqa as train_vqa
from mmcam.datasets import vignettes
from models import WEIGHTS, load, names

TRAINED = {
    "vignette-classifier": (train_classifier, {}),
    "vignette-vqa": (train_vqa, {"start_from": WEIGHTS, "alone": 1}),
    "vignette-san": (train_vqa, {"start_from": WEIGHTS, "model": "SAN"}),
    "vignette-hiecoatt-parallel": (train_vqa, {"start_from": WEIGHTS, "model": "HieCoAtt", "coattention": "parallel"}),
    "vignette-captioner": (train_captioner, {"start_from": WEIGHTS}),
    "vignette-show-attend-tell": (train_captioner, {"start_from": WEIGHTS, "model": "ShowAttendTell"}),
    "vignette-transformer-captioner": (train_captioner, {"start_from": WEIGHTS, "model": "TransformerCaptioner"}),
}
FOLDER = {train_classifier: "data", train_vqa: "root", train_captioner: "root"}
REMEASURED = 200  # test pictures; the committed figures are over all of them
SHORT = 12  # of them, that the models of the tiny trainings are tried on


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vignettes")
    render.main(train=12, val=0, test=REMEASURED, heldout=8, asked=6, folder=folder, workers=2)
    return folder


@pytest.fixture(scope="module")
def small(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data with a short test split, for the tiny trainings."""
    folder = tmp_path_factory.mktemp("small")
    for split in ("train", "heldout"):
        for suffix in ("npy", "jsonl"):
            (folder / f"{split}.{suffix}").symlink_to(data / f"{split}.{suffix}")
    pixels, records = rendered.read(data, "test")
    np.save(folder / "test.npy", pixels[:SHORT])
    (folder / "test.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records[:SHORT]))
    return folder


@pytest.fixture(scope="module")
def scores() -> dict[str, dict]:
    return {name: json.loads((WEIGHTS / f"{name}.json").read_text())["scores"] for name in names()}


def test_rendered_splits_hold_the_announced_pictures(data: Path) -> None:
    pixels, records = rendered.read(data, "test")
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


@pytest.mark.parametrize("name", TRAINED)
def test_a_resumed_run_ends_where_an_unbroken_one_does(
    name: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, more = TRAINED[name]

    def train(out: str, **options: object) -> None:
        script.main(
            work=tmp_path / f"work-{out}", out=tmp_path / out, batch=4, **{FOLDER[script]: small}, **more, **options
        )

    train("whole", steps=4)
    monkeypatch.setattr(script, "descend", failing_at_step(4, script.descend))
    with pytest.raises(KeyboardInterrupt):
        train("broken", steps=4, save_every=2)
    monkeypatch.undo()
    train("broken", steps=4, resume=True)
    whole, broken = (safetensors.torch.load_file(tmp_path / out / f"{name}.safetensors") for out in ("whole", "broken"))
    assert all((whole[key] == broken[key]).all() for key in whole)
    card = json.loads((tmp_path / "whole" / f"{name}.json").read_text())
    assert card["scores"]["test"]["pictures"] == SHORT
    assert load(name, folder=tmp_path / "whole").preprocess.mode == "squash"


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layouts of Flickr8k, Karpathy's splits, VQA v2 and DAQUAR, of ten vignettes saved as JPEG."""
    root = tmp_path_factory.mktemp("photographs")
    scenes = [vignettes.draw(vignettes.seed("train", i)) for i in range(10)]
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    for folder in ("images", "val2014"):
        (root / folder).mkdir()
    for i, scene in enumerate(scenes):
        scene.image.save(root / "images" / f"image{i}.jpg")
        scene.image.save(root / "val2014" / f"COCO_val2014_{i:012d}.jpg")
    lines = [
        f"image{i}.jpg#{j}\t{c.text.capitalize()} ." for i, s in enumerate(scenes) for j, c in enumerate(s.captions)
    ]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines))
    for official, split in (("train", "train"), ("dev", "val"), ("test", "test")):
        names = [f"image{i}.jpg" for i in range(10) if splits[i] == split]
        (root / f"Flickr_8k.{official}Images.txt").write_text("\n".join(names))
    images = [
        {"filename": f"image{i}.jpg", "filepath": "images", "split": splits[i].replace("train", "restval"),
         "sentences": [{"raw": caption.text} for caption in scene.captions]}
        for i, scene in enumerate(scenes)
    ]  # fmt: skip
    (root / "dataset_coco.json").write_text(json.dumps({"images": images}))
    for part, rows in (("train", range(6)), ("val", range(6, 10))):
        asked = [(i, 1000 * i + j, q) for i in rows for j, q in enumerate(scenes[i].questions)]
        questions = [{"image_id": i, "question_id": key, "question": q.text + "?"} for i, key, q in asked]
        people = [
            {"image_id": i, "question_id": key, "question_type": q.type, "answer_type": q.type,
             "multiple_choice_answer": q.answer, "answers": [{"answer": q.answer}] * 10}
            for i, key, q in asked
        ]  # fmt: skip
        (root / f"v2_OpenEnded_mscoco_{part}2014_questions.json").write_text(json.dumps({"questions": questions}))
        (root / f"v2_mscoco_{part}2014_annotations.json").write_text(json.dumps({"annotations": people}))
    pairs = [f"{q.text} in the image{i} ?\n{q.answer}" for i, scene in enumerate(scenes) for q in scene.questions]
    (root / "all_qa_pairs.txt").write_text("\n".join(pairs))
    for split in ("train", "test"):
        names = [f"image{i}" for i in range(10) if (splits[i] == "train") == (split == "train")]
        (root / f"{split}_images_list.txt").write_text("\n".join(names))
    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_0(weights=None)
    torch.save({key: value.half() for key, value in network.state_dict().items()}, root / "squeezenet.pth")
    return root


@pytest.mark.parametrize(
    ("name", "script", "options"),
    [
        ("flickr8k-captioner", train_captioner, {"data": "flickr8k"}),
        ("flickr8k-show-attend-tell", train_captioner, {"data": "flickr8k", "model": "ShowAttendTell"}),
        ("dataset_coco-transformer-captioner", train_captioner, {"data": "karpathy", "model": "TransformerCaptioner"}),
        ("vqa-vqa", train_vqa, {"data": "vqa"}),
        ("daquar-san", train_vqa, {"data": "daquar", "model": "SAN"}),
    ],
)
def test_the_same_scripts_learn_from_photographs(
    name: str, script: ModuleType, options: dict, photographs: Path, tmp_path: Path
) -> None:
    root = photographs / "dataset_coco.json" if options["data"] == "karpathy" else photographs
    weights = photographs / "squeezenet.pth"
    script.main(root=root, encoder="squeezenet1_0", encoder_weights=weights, work=tmp_path, steps=2, batch=4, **options)
    model = load(name, folder=tmp_path / name)
    network = torch.load(weights, weights_only=True)
    kept = model.convolutions.state_dict()["0.weight"]
    torch.testing.assert_close(kept, network["features.0.weight"].float())  # halves in, halves out, and frozen
    scores = json.loads((tmp_path / name / f"{name}.json").read_text())["scores"]["test"]
    picture = photographs / "images" / "image9.jpg"
    if script is train_captioner:
        assert scores["pictures"] == 2
        said = json.loads((tmp_path / name / "said-2.json").read_text())["test"]
        assert len(said["said"]) == len(said["references"]) == 2
        assert 0 <= scores["BLEU-4"] <= scores["BLEU-1"] <= 1
        word = model.vocabulary[0]
        assert mmcam.explain_caption(model, picture, word, caption=f"{word} {word}").heatmap.shape == (224, 224)
    else:
        assert scores["pictures"] == 4
        assert 0 <= scores["accuracy"] <= 1
        assert "question_only" in scores
        assert mmcam.explain_answer(model, picture, "what is this", model.answers[0]).heatmap.shape == (224, 224)


@pytest.mark.parametrize(("objective", "layers"), [("likelihood", 2), ("cider", 0)])
def test_a_captioner_of_photographs_is_trained_on(
    objective: str, layers: int, photographs: Path, tmp_path: Path
) -> None:
    weights, name = photographs / "squeezenet.pth", "flickr8k-show-attend-tell"
    options = {"root": photographs, "work": tmp_path, "steps": 2, "batch": 4}
    train_captioner.main(
        data="flickr8k", model="ShowAttendTell", region=16, encoder="squeezenet1_0", encoder_weights=weights, **options
    )
    train_finetune.main(tmp_path / name, name="on", objective=objective, layers=layers, rate=0.01, **options)
    before, after = load(name, folder=tmp_path / name), load("on", folder=tmp_path / "on")
    changed = [not torch.equal(old, new) for old, new in zip(before.features, after.features, strict=True) for old, new
               in zip(old.parameters(), new.parameters(), strict=True)]  # fmt: skip
    assert any(changed) == (layers > 0)
    assert not any(changed[: len(changed) // 2])
    assert not torch.equal(before.output.weight, after.output.weight)
    card = json.loads((tmp_path / "on" / "on.json").read_text())
    assert card["scores"]["test"]["pictures"] == 2
    assert [set(stage) >= {"command", "hyperparameters", "seconds"} for stage in card["stages"]] == [True, True]
    assert "scores" in card["stages"][0]
    with pytest.raises(typer.BadParameter, match="another --name"):
        train_finetune.main(tmp_path / "on", name="on", **options)


def test_photographs_need_a_trained_encoder(photographs: Path, tmp_path: Path) -> None:
    for script, data in ((train_captioner, "flickr8k"), (train_vqa, "daquar")):
        with pytest.raises(typer.BadParameter, match="--encoder-weights"):
            script.main(data=data, root=photographs, work=tmp_path, encoder="mobilenet_v2")
        with pytest.raises(typer.BadParameter, match="There is no"):
            script.main(model="Nonsense", work=tmp_path)


def test_committed_classifier_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-classifier"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["mAP"] >= 0.95
    assert card["heldout"]["pictures"] >= 2000
    again = train_classifier.measure(load("vignette-classifier"), *rendered.read(data, "test"))
    assert again["mAP"] == pytest.approx(card["test"]["mAP"], abs=0.03)


def test_committed_captioner_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-captioner"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["content_words_correct"] >= 0.90
    split = captioned.vignette_split(data, "test")
    again = train_captioner.measure(train_captioner.speak(load("vignette-captioner"), split)[0], split)
    assert again["content_words_correct"] == pytest.approx(card["test"]["content_words_correct"], abs=0.03)


def test_committed_vqa_scores(scores: dict[str, dict], data: Path) -> None:
    card = scores["vignette-vqa"]
    assert card["test"]["pictures"] >= 2000
    assert card["test"]["accuracy"] >= 0.88
    assert card["test"]["question_only"] < card["test"]["accuracy"] - 0.25
    again = train_vqa.measure(load("vignette-vqa"), asked.vignette_split(data, "test"))
    assert again["accuracy"] == pytest.approx(card["test"]["accuracy"], abs=0.03)
