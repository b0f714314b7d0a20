"""Maps of answers, judged: the priors and agreements by hand, two small runs from beginning to end."""

import json
from functools import partial

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from scipy.stats import spearmanr

import mmcam
import models
from experiments.lib import asking, text_prior, vqa_pictures, vqa_subjects, vqa_tables
from experiments.lib.human_prior import cells
from experiments.lib.judging import KINDS
from experiments.paper import vqa_maps
from mmcam.datasets import vignettes

METHODS = ["gradcam", "layercam"]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Fewer and larger squares, and a prior of few pictures."""
    monkeypatch.setattr(text_prior, "KEPT", tmp_path / "prior")
    for module in (asking, vqa_pictures):
        monkeypatch.setattr(module, "SQUARES", {"patch": 64, "stride": 32})
    monkeypatch.setattr(vqa_subjects, "text_prior", partial(text_prior.text_prior, pictures=20))


def by_hand(mask):
    """A mask (224,224) at 14×14."""
    return mask.reshape(14, 16, 14, 16).mean((1, 3))


@pytest.mark.parametrize("name", KINDS["answer"])
def test_questions_put_together_are_answered_and_occluded_as_alone(name, quick):
    model, scene = models.load(name), vignettes.draw(vignettes.seed("test", 0))
    texts = [question.text for question in scene.questions if question.things][:3]
    x = model.preprocess(scene.image)[0][None]
    with torch.no_grad():
        together = asking.Asking(model, texts)(torch.cat([x, 0.5 * x]))
        alone = torch.stack([model.answer_scores(half.expand(3, -1, -1, -1), texts) for half in (x, 0.5 * x)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    if name == "vignette-san":
        answers = together[0].argmax(1).tolist()
        maps = asking.occlusions(model, x, texts[:2], answers[:2])
        for text, grid in zip(texts[:2], maps, strict=True):
            exp = mmcam.explain_answer(model, scene.image, text, method="occlusion", patch=64, stride=32)
            np.testing.assert_allclose(grid, by_hand(exp.cam.numpy()), atol=1e-4 * float(exp.cam.abs().max()))
    assert asking.occlusions(model, x, [], []).shape == (0, 14, 14)


@pytest.mark.slow
def test_a_run_on_vignettes_from_beginning_to_end(tmp_path, quick, monkeypatch):
    run = partial(vqa_maps.main, only=["vignette-san"], out=tmp_path, work=tmp_path / "work")
    run(pictures=1, methods=["gradcam"], sheet=0)
    run(pictures=2, methods=METHODS, sheet=1)  # one picture more, one method more
    (file,) = (tmp_path / "work").glob("*.jsonl")
    kept = file.read_bytes()
    assert kept.count(b"\n") == 3
    monkeypatch.setattr(vqa_maps, "occlusions", lambda *_: pytest.fail("computed twice"))
    run(pictures=2, methods=METHODS, sheet=1)
    assert file.read_bytes() == kept
    report = json.loads((tmp_path / "vqa-maps-vignettes.json").read_text())
    rows = {row["method"]: row for row in report["rows"]}
    assert list(rows) == [*METHODS, "occlusion", "(random)", "(centre)", "(text alone)"]

    # The same figures from the public functions alone.
    model, values, picture_of = models.load("vignette-san"), [], []
    for i in range(2):
        scene = vignettes.draw(vignettes.seed("test", i))
        for question in scene.questions:
            exp = mmcam.explain_answer(model, scene.image, question.text, method="layercam")
            if question.things and exp.target == question.answer:
                mask = scene.mask(question.things)
                x, y = exp.peak()
                share = exp.heatmap[mask].sum() / exp.heatmap.sum()
                values.append((mask[y, x], share, spearmanr(exp.cam.ravel(), by_hand(mask).ravel()).statistic))
                picture_of.append(i)
    pointing, mass, attended = np.mean(values, axis=0)
    row = rows["layercam"]
    assert row["n"] == len(values) > 5
    assert row["pointing"]["value"] == pytest.approx(pointing)
    assert row["mass"]["value"] == pytest.approx(mass, abs=1e-4)
    assert row["attended"]["value"] == pytest.approx(attended, abs=2e-3)
    assert row["attended"]["pictures"] == len(set(picture_of)) == 2
    assert "occlusion" not in rows["occlusion"]
    text = (tmp_path / "vqa-maps-vignettes.md").read_text()
    asked = [q for i in range(2) for q in vignettes.draw(vignettes.seed("test", i)).questions]
    about = sum(bool(question.things) for question in asked)
    assert f"2 pictures, {len(asked)} questions, {about} about things, of which {len(values)} are answered" in text
    assert "| 0.60 ± 0.038 |" in text
    typed = json.loads((tmp_path / "vqa-maps-types-vignettes.json").read_text())["rows"]
    assert sum(row["n"] for row in typed if row["method"] == "gradcam") == len(values)
    with Image.open(tmp_path / "vqa-maps.webp") as sheet:
        assert sheet.width > 5 * 150


def test_a_record_that_was_left_half_is_made_again(tmp_path, quick):
    run = partial(vqa_maps.main, only=["vignette-san"], methods=["gradcam"], sheet=0)
    run(pictures=1, out=tmp_path, work=tmp_path)
    (file,) = tmp_path.glob("*.jsonl")
    whole = file.read_text()
    file.write_text(whole[:-40])
    run(pictures=1, out=tmp_path, work=tmp_path)
    assert file.read_text() == whole


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two validation photographs with three questions in VQA v1's official files, and VQA-HAT's maps of two of them."""
    root = tmp_path_factory.mktemp("vqa")
    (root / "val2014").mkdir()
    (root / "train2014").mkdir()
    (root / "vqahat_val").mkdir()
    asked = {"val": [(420, 42, "what colour is the cat"), (421, 42, "is there a boat"), (430, 43, "what colour is it")]}
    asked["train"] = [(410, 41, "what colour is the sky"), (411, 41, "is there a boat")]
    for part, questions in asked.items():
        for _, picture, _ in questions:
            name = root / f"{part}2014" / f"COCO_{part}2014_{picture:012d}.jpg"
            vignettes.draw(vignettes.seed("test", picture)).image.resize((300, 200)).save(name)
        listed = [{"question_id": q, "image_id": i, "question": text} for q, i, text in questions]
        (root / f"OpenEnded_mscoco_{part}2014_questions.json").write_text(json.dumps({"questions": listed}))
        answers = [{"answer": "yes"}] * 10
        entries = [{"question_id": q, "answer_type": "other", "answers": answers} for q, _, _ in questions]
        (root / f"mscoco_{part}2014_annotations.json").write_text(json.dumps({"annotations": entries}))
    rng = np.random.default_rng(0)
    for question in (420, 430):
        for person in (1, 2, 3):
            values = rng.integers(1, 256, (20, 30)) if (question, person) != (430, 3) else np.zeros((20, 30))
            Image.fromarray(values.astype(np.uint8)).save(root / "vqahat_val" / f"{question}_{person}.png")
    (root / "vignette-san").mkdir()
    for end in ("json", "safetensors"):
        (root / "vignette-san" / f"vignette-san.{end}").symlink_to(models.WEIGHTS / f"vignette-san.{end}")
    return root


def test_a_run_on_photographs_with_peoples_attention(photos, tmp_path, quick):
    run = partial(vqa_maps.main, data="vqa", root=photos, model=photos / "vignette-san", methods=METHODS, work=tmp_path)
    run(hat=photos, out=tmp_path / "hat")
    rows = {row["method"]: row for row in json.loads((tmp_path / "hat" / "vqa-maps-vqa.json").read_text())["rows"]}
    assert list(rows) == [*METHODS, "occlusion", "(random)", "(centre)", "(text alone)", "(people)"]
    assert {row["n"] for row in rows.values()} == {2}, "only questions that people's attention is of"
    maps = {
        q: [cells(np.asarray(Image.open(photos / "vqahat_val" / f"{q}_{p}.png"))) for p in (1, 2, 3)]
        for q in (420, 430)
    }

    def rho(a, b):
        return spearmanr(np.ravel(a), np.ravel(b)).statistic

    a, b, c = maps[420]
    d, e, black = maps[430]
    people = np.mean([np.mean([rho(a, b), rho(a, c), rho(b, c)]), rho(d, e)])
    assert rows["(people)"]["attended"]["value"] == pytest.approx(people)
    # What people looked at for the other picture's question with the same first words, the black map being one of them.
    other = {420: np.mean([d, e, black], axis=0), 430: np.mean([a, b, c], axis=0)}
    alone = np.mean([np.mean([rho(other[420], m) for m in (a, b, c)]), np.mean([rho(other[430], m) for m in (d, e)])])
    assert rows["(text alone)"]["attended"]["value"] == pytest.approx(alone, abs=1e-3)
    model = models.load("vignette-san")
    cams = [
        mmcam.explain_answer(
            model, photos / "val2014" / f"COCO_val2014_{q // 10:012d}.jpg", text, method="layercam"
        ).cam
        for q, text in ((420, "what colour is the cat"), (430, "what colour is it"))
    ]
    attended = np.mean([np.mean([rho(cams[0], m) for m in (a, b, c)]), np.mean([rho(cams[1], m) for m in (d, e)])])
    assert rows["layercam"]["attended"]["value"] == pytest.approx(attended, abs=2e-3)
    assert "mass" not in rows["layercam"]
    text = (tmp_path / "hat" / "vqa-maps-vqa.md").read_text()
    assert "1 of 6 people's maps are black" in text
    assert "(the question alone: 100.0 ± 0.0 %)" in text  # all of the training part say yes
    assert "the text alone fell back in 0.0 %" in text

    run(out=tmp_path / "all")
    rows = {row["method"]: row for row in json.loads((tmp_path / "all" / "vqa-maps-vqa.json").read_text())["rows"]}
    assert list(rows) == [*METHODS, "(random)", "(centre)"]
    assert rows["gradcam"]["n"] == 3
    assert "attended" not in rows["gradcam"]
    assert not list(tmp_path.rglob("vqa-maps.webp")), "photographs are not drawn: they have licences"


def test_a_question_without_a_known_word_is_left_out_and_said(photos, tmp_path, quick, monkeypatch):
    model = models.load("vignette-san")
    assert asking.understood(model, "what colour is Zanzibar?")
    assert not asking.understood(model, "Zanzibar?")
    case = partial(vqa_subjects.Case, truths=(), mask=None, prior=(None, False), guess="no")
    cases = [case(vqa_subjects.Question(text, "other", ("no",) * 10)) for text in ("Zanzibar?", "is there a boat")]
    image = Image.new("RGB", (60, 40), "white")
    found = vqa_maps.answered(model, image, cases, right=False)
    assert [(question["place"], question["guessed"]) for question in found] == [(1, 1)]
    records = [{"picture": "a", "asked": 2, "about": 2, "questions": found}]
    assert "2 questions, of which 1 hold no word the model knows" in vqa_tables.covered(records, False, False)


def test_what_cannot_be_done_is_said(photos, tmp_path):
    run = partial(vqa_maps.main, out=tmp_path, work=tmp_path)
    with pytest.raises(typer.BadParameter, match="choose vignettes or vqa"):
        run(data="daquar")
    with pytest.raises(typer.BadParameter, match="needs --root"):
        run(data="vqa")
    with pytest.raises(ValueError, match="vqahat_val is missing"):
        run(data="vqa", root=photos, model=photos / "vignette-san", hat=tmp_path)
    asked = vqa_subjects.asked.Asked
    with pytest.raises(typer.BadParameter, match="as in VQA version 2"):
        vqa_subjects.check_version([asked(photos / "COCO_val2014_000000000042.jpg", "", "", (), 42001)])
    vqa_subjects.check_version([asked(photos / "COCO_val2014_000000000042.jpg", "", "", (), 420)])


def test_the_text_alone_is_that_of_the_question_or_of_its_type():
    fine = np.zeros((56, 56), np.float32)
    fine[:4, :4] = 1
    prior = {"colour": np.ones((56, 56), np.float32), "colour/what colour is the cat": fine}
    question = vignettes.Question("what colour is the cat", "colour", "blue", ())
    grid, fell_back = vqa_subjects.of_text(prior, question)
    assert (grid[0, 0], grid.sum(), fell_back) == (1, 1, False)
    grid, fell_back = vqa_subjects.of_text(
        prior, vignettes.Question("what colour is the unicorn", "colour", "blue", ())
    )
    assert (grid.min(), fell_back) == (1, True)
