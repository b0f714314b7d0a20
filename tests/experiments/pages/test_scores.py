"""Tables made of the cards, and the pictures of the pages."""

import json

import numpy as np
from PIL import Image

from experiments.lib.judging import KINDS
from experiments.pages import model_scores, text_pictures
from experiments.words import photo_scores
from models import WEIGHTS, names


def test_every_bundled_model_is_in_the_table(tmp_path):
    bundled = [name for name in names() if name.startswith("vignette-")]
    assert sorted(name for own in KINDS.values() for name in own) == sorted(bundled)
    model_scores.main(out=tmp_path)
    text = (tmp_path / "models.md").read_text()
    for name in bundled:
        scores = json.loads((WEIGHTS / f"{name}.json").read_text())["scores"]
        key = next(key for key in ("mAP", "content_words_correct", "accuracy") if key in scores["test"])
        assert f"{scores['test'][key]:.3f}" in text
        assert f"{scores['heldout'][key]:.3f}" in text
        assert name.removeprefix("vignette-") in text


def test_the_error_of_a_share_is_binomial_and_its_number_stands_beside_it(tmp_path):
    model_scores.main(out=tmp_path)
    text = (tmp_path / "models.md").read_text()
    scores = json.loads((WEIGHTS / "vignette-vqa.json").read_text())["scores"]
    told = []
    for split in ("test", "heldout"):
        own = scores[split]["types"]["comparison"]
        right = round(own["accuracy"] * own["questions"])
        answers = np.repeat([1.0, 0.0], [right, own["questions"] - right])
        told.append(f"{answers.mean():.3f} ± {answers.std() / np.sqrt(len(answers)):.3f}")
    counts = " / ".join(str(scores[split]["types"]["comparison"]["questions"]) for split in scores)
    assert f"| comparison (n {counts}) | {' / '.join(told)} |" in text
    assert "| mean average precision, kinds and scenes | 1.000 / 0.994 |" in text, "no share, so no error"
    assert model_scores.told({"accuracy": 0.5, "questions": 100}, "accuracy") == "0.500 ± 0.050"
    assert (
        model_scores.count(
            {"categories": {"a": {"words": 3}, "b": {"words": 4}}, "content_words_correct": 1},
            ("content_words_correct"),
        )
        == 7
    )


def test_photograph_scores_stand_beside_the_published_ones(tmp_path):
    cards = [
        {"name": "flickr8k-captioner", "task": "captioning", "beam": 2, "seconds": 121,
         "command": "python -m x --root /somewhere/flickr8k",
         "data": {"pictures": 6000, "captions": 30000}},
        {"name": "daquar-san", "task": "visual question answering", "seconds": 60, "command": "python -m y",
         "scores": {"test": {"accuracy": 0.273, "question_only": 0.25, "types": {"what is": {"questions": 7}}}},
         "data": {"pictures": 795, "questions": 6000}},
    ]  # fmt: skip
    for card in cards:
        (tmp_path / card["name"]).mkdir()
        (tmp_path / card["name"] / f"{card['name']}.json").write_text(json.dumps(card))
    said = {"said": ["a dog runs"] * 3, "references": [[["a", "dog", "runs"]], [["a", "cat", "sits"]]] * 2}
    said["references"].pop()
    for beam in (1, 2):
        (tmp_path / "flickr8k-captioner" / f"said-{beam}.json").write_text(json.dumps({"test": said}))
    photo_scores.main([tmp_path / card["name"] for card in cards], out=tmp_path)
    text = (tmp_path / "photographs.md").read_text()
    # Seven of nine words are right; of resampled pictures all may be, and one time in 27 but three.
    assert "| flickr8k-captioner, beam of 2 | 77.8 (33.3–100.0) |" in text
    assert "| 57.9 | 38.3 | 24.5 | 16.0 |" in text
    assert "| daquar-san | 7 | 27.3 ± 16.8 | 25.0 ± 16.4 |" in text
    assert "--root flickr8k" in text
    assert "/somewhere" not in text


def test_the_pictures_of_the_pages_are_drawn(tmp_path):
    text_pictures.main(out=tmp_path)
    for name in ("attention", "question-words"):
        assert min(Image.open(tmp_path / f"{name}.webp").size) > 200


def test_the_committed_table_is_that_of_the_committed_cards(tmp_path):
    model_scores.main(out=tmp_path)
    committed = WEIGHTS.parent.parent / "experiments" / "results" / "models.md"
    tables = [path.read_text().partition("\nMeasured with")[0] for path in (committed, tmp_path / "models.md")]
    assert tables[0] == tables[1], "run python -m experiments.pages.model_scores"
