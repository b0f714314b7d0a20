"""A job of each task gives what its explain function gives; figures are those of the metrics, worked out by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mmcam
from mmcam import evaluation as ev
from mmcam.cli import app
from mmcam.jobs.items import Item, Truth, packed, unpacked
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source
from mmcam.jobs.truths import with_truth

TEXTS = """
import torch
from torch import nn
from tiny import SMALL, VQA, Captioner, seeded

class Seeing(Captioner):
    \"\"\"Says what hangs on the picture, and not on its place in the batch.\"\"\"

    def generate(self, x):
        return [self.said[int(abs(float(one.mean())) * 1e5) % 2] for one in x]

class Similar(nn.Module):
    preprocess = SMALL

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.picture = nn.Linear(8 * 8 * 8, 10)
        self.words = nn.Embedding(64, 10)

    def similarity(self, x, texts):
        told = torch.stack([self.words(torch.tensor([len(w) for w in text.split()])).sum(0) for text in texts])
        return (self.picture(self.encoder(x).flatten(1)) * told).sum(1)

def captioner():
    return seeded(Seeing)

def vqa():
    return seeded(VQA)

def similar():
    return seeded(Similar)
"""


def quiet(text):
    """Nobody is told."""


def command(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def texts(desk):
    (desk / "texts.py").write_text(TEXTS)
    return desk


def load(spec):
    return mmcam.models.specification.load_model(spec)[0]


def close(exp, other):
    assert (exp.target, exp.context, exp.claim, exp.scored) == (other.target, other.context, other.claim, other.scored)
    assert exp.score == pytest.approx(other.score, rel=1e-4, abs=1e-6)
    largest = float(other.values.abs().max())
    torch.testing.assert_close(exp.values, other.values, rtol=2e-3, atol=2e-3 * largest)


def test_every_word_of_captions(texts, plan):
    run(plan("caption", model="texts:captioner"), read_source("photos/blue"), "out", tell=quiet)
    job, model = mmcam.jobs.open("out"), load("texts:captioner")
    for name, (caption,) in job.items():
        alone = mmcam.explain_caption(model, f"photos/blue/{name}")
        assert caption.caption == alone.caption
        assert len(caption) == len(alone) > 1
        for one, other in zip([*caption, caption.all], [*alone, alone.all], strict=True):
            close(one, other)
    frame = job.to_pandas(["id", "kind", "position"])
    assert not frame.duplicated().any()


def test_words_that_are_in_some_captions_only(texts, plan):
    run(plan("caption", model="texts:captioner"), read_source("photos/blue"), "all", tell=quiet)
    said = mmcam.jobs.open("all").to_pandas()
    words = said[said.kind == "word"].groupby("target")["id"].nunique()
    some, every = words.idxmin(), words.idxmax()
    wanted = (every, some, "never-said")
    done = run(plan("caption", model="texts:captioner", targets=wanted), read_source("photos/blue"), "out", tell=quiet)
    found = mmcam.jobs.open("out").to_pandas()
    assert set(found["asked"]) <= {0, 1}
    assert (found["asked"] == 0).sum() >= words.max()
    assert done.errors == 3 * 10 - done.rows
    assert (mmcam.jobs.open("out").errors()["asked"] == 2).sum() == 10


def test_answers_to_questions_and_their_accuracy(texts, plan):
    pictures = [{"id": n, "file_name": f"{2 * n + 1:02d}.png"} for n in range(4)]
    asked = [{"question_id": 10 + n, "image_id": n % 4, "question": f"what is number {n}"} for n in range(6)]
    model = load("texts:vqa")
    own = [
        mmcam.explain_answer(model, f"photos/blue/{2 * (n % 4) + 1:02d}.png", f"what is number {n}") for n in range(6)
    ]
    people = [[own[n].target] * (1 + n) + ["else"] * (9 - n) for n in range(6)]
    (texts / "q.json").write_text(json.dumps({"images": pictures, "questions": asked}))
    answers = [
        {"question_id": 10 + n, "answer_type": "other", "answers": [{"answer": text} for text in people[n]]}
        for n in range(6)
    ]
    (texts / "a.json").write_text(json.dumps({"annotations": answers}))
    command("run", "answer", "--images", "vqa:q.json:a.json:photos/blue", "--model", "texts:vqa", "--out", "out")
    job = mmcam.jobs.open("out")
    assert [name for name, _ in job.items()] == [str(10 + n) for n in range(6)]
    for (_, (exp,)), other in zip(job.items(), own, strict=True):
        close(exp, other)
    accuracy = job.to_pandas()["accuracy"]
    np.testing.assert_allclose(accuracy, [ev.vqa_accuracy(own[n].target, people[n]) for n in range(6)])
    assert accuracy.is_monotonic_increasing
    assert 0 < accuracy[0] < 1


def test_questions_and_answers_that_are_given(texts, plan):
    model = load("texts:vqa")
    known = list(model.answers)[:2]
    wanted = plan("answer", model="texts:vqa", questions=("what is it", "how many"), targets=tuple(known))
    run(wanted, read_source("photos/blue"), "out", tell=quiet)
    for name, results in mmcam.jobs.open("out").items():
        alone = [
            mmcam.explain_answer(model, f"photos/blue/{name}", question, answer)
            for question in ("what is it", "how many")
            for answer in known
        ]
        for one, other in zip(results, alone, strict=True):
            close(one, other)


def test_similarities(texts):
    command("run", "similarity", "--images", "photos/blue", "--model", "texts:similar", "--out", "out",
            "--similar-to", "a dog", "--similar-to", "a cat on grass")  # fmt: skip
    model = load("texts:similar")
    for name, results in mmcam.jobs.open("out").items():
        for one, text in zip(results, ("a dog", "a cat on grass"), strict=True):
            close(one, mmcam.explain_similarity(model, f"photos/blue/{name}", text))


def test_the_best_classes(desk, plan):
    run(plan(top=2), read_source("photos/blue"), "out", tell=quiet)
    for _, (first, second) in mmcam.jobs.open("out").items():
        assert [first.target, second.target] == [one.name for one in first.prediction.best[:2]]


def test_figures_against_a_truth(desk, plan):
    """Of a class in its mask: pointing, the IoU of the boxes, the mass; and whether the best class is true."""
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 10:30] = 255
    Image.fromarray(mask).save(desk / "mask.png")
    (desk / "truth.csv").write_text("picture,class,mask\n00.png,red,mask.png\n02.png,green,\n")
    source = with_truth(read_source("photos/red"), "truth.csv")
    run(plan(targets=(0, 1)), source, "out", tell=quiet)
    frame = mmcam.jobs.open("out").to_pandas()
    red, green = (frame[(frame.id == "00.png") & (frame.asked == n)].iloc[0] for n in (0, 1))
    exp = mmcam.explain_class(load("net:make"), "photos/red/00.png", "red")
    assert red["correct"] == (exp.prediction.best[0].name == "red")
    assert red["pointing"] == (exp.peak() is not None and bool(mask[exp.peak()[1], exp.peak()[0]]))
    assert red["mass"] == pytest.approx(exp.heatmap.clip(0)[mask > 0].sum() / exp.heatmap.clip(0).sum(), rel=1e-4)
    left, top, right, bottom = exp.box()
    both = max(0, min(right, 30) - max(left, 10)) * max(0, min(bottom, 20) - max(top, 5))
    assert red["iou"] == pytest.approx(both / ((right - left) * (bottom - top) + 300 - both))
    assert np.isnan(green["pointing"])
    assert green["correct"] == red["correct"]
    assert frame[frame.id == "04.png"]["correct"].isna().all()


def test_a_mask_of_another_size_stands_in_the_errors(desk, plan):
    Image.new("L", (9, 9), 255).save(desk / "mask.png")
    (desk / "truth.csv").write_text("picture,class,mask\n00.png,red,mask.png\n")
    run(plan(targets=(0,)), with_truth(read_source("photos/red"), "truth.csv"), "out", tell=quiet)
    errors = mmcam.jobs.open("out").errors().set_index("id")["error"]
    assert "mask.png is 9×9" in errors["00.png"]
    assert len(mmcam.jobs.open("out")) == 10


def test_what_is_true_is_explained(desk):
    command("run", "class", "--images", "photos", "--model", "net:make", "--out", "out", "--truth", "folders", "--true")
    frame = mmcam.jobs.open("out").to_pandas()
    assert (frame["target"] == frame["id"].str.partition("/")[0]).all()
    best = [json.loads(text)["best"][0]["name"] for text in frame["prediction"]]
    assert (frame["correct"] == (frame["target"] == best)).all()


def test_the_faithfulness_of_maps(desk, plan):
    """Against the metrics on the network itself."""
    run(plan("metrics"), read_source("photos/blue"), "out", tell=quiet)
    frame = mmcam.jobs.open("out").to_pandas().set_index("id")
    model = load("net:make")
    for name in ("01.png", "03.png"):
        exp = mmcam.explain_class(model, f"photos/blue/{name}")
        x = model.preprocess(Image.open(f"photos/blue/{name}"))[0]
        cam = torch.nn.functional.interpolate(exp.cam[None, None], (32, 32), mode="bilinear")[0, 0]

        def probability(pictures, index=exp.prediction.index):
            with torch.no_grad():
                return model(pictures).double().softmax(1)[:, index]

        row = frame.loc[name]
        assert row["deletion"] == pytest.approx(ev.deletion(probability, x, cam).area, rel=1e-4)
        assert row["insertion"] == pytest.approx(ev.insertion(probability, x, cam).area, rel=1e-4)
        seen = probability(x[None] * (cam.clamp(min=0) / cam.max()))
        assert row["drop"] == pytest.approx(max(0, 1 - float(seen / probability(x[None]))), rel=1e-3, abs=1e-6)


@pytest.mark.slow
def test_a_dissection(desk):
    words = ("run", "dissect", "--images", "vignettes:6", "--model", "vignette-classifier", "--out", "units")
    said = command(*words)
    assert "units of encoder.features have a name (6 pictures" in said
    import pyarrow.parquet as pq

    table = pq.read_table("units/units.parquet").to_pandas()
    found = mmcam.Dissection.load("units/dissection")
    assert len(table) == found.units
    assert set(table.dropna()["name"]) == {name.name for name in found.names().units.values()}
    assert "done already" in command(*words)
    other = CliRunner().invoke(app, [*words[:3], "vignettes:5", *words[4:]])
    assert other.exit_code == 1
    assert "another job (the pictures" in other.output


def test_items_survive_the_way_to_another_machine():
    truth = Truth(("a",), {"a": ((1, 2, 3, 4),)}, {"a": ("m.png",)}, {"b": ([1.0, 2.0],)}, ("yes",), ("a cat",))
    items = [Item("1", "p.png", "what?", truth), Item("2", "q.png")]
    assert unpacked(packed(items)) == items
