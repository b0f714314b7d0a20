"""What the maps of each class lie on: a classifier that counts colours looks at squares of its colour."""

import csv
import math

import pytest
import torch
from browser import Browser, needs_chromium
from colours import Colours, mask, squares, table
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.diagnosis.bias import run
from mmcam.diagnosis.bias.parts import by_units, read_masks
from mmcam.diagnosis.bias.ranking import ranked
from mmcam.diagnosis.bias.run import find_bias
from mmcam.diagnosis.explainer import Explainer
from mmcam.errors import ExplainError
from mmcam.neurons.names import Names, UnitName


@pytest.fixture
def photos(tmp_path):
    """Three red and three green squares; "badge" is on the red ones, and beside the green ones."""
    rows, concepts = [], []
    for n in range(3):
        for label, at in (("red", 4), ("green", 18)):
            name = f"{label}{n}"
            squares(tmp_path / f"{name}.png", (label, 4, 4, 8 + n))
            mask(tmp_path / f"{name}-badge.png", at, at, 12)
            rows.append({"picture": f"{name}.png", "class": label})
            concepts.append(
                {"picture": f"{name}.png", "mask": f"{name}-badge.png", "name": "badge", "category": "object"}
            )
    return table(tmp_path / "photos.csv", *rows), table(tmp_path / "concepts.csv", *concepts)


def test_a_class_leans_to_what_its_maps_lie_on(photos, tmp_path):
    source, concepts = photos
    out = tmp_path / "bias.csv"
    found = find_bias(source, Explainer(Colours()), out, concepts=concepts)
    red, green = found.leans
    assert (red.label, red.concept, red.share.n, green.label) == ("red", "badge", 3, "green")
    assert red.share.value == pytest.approx(1, abs=0.02), "its map is its square, which the badge covers"
    assert green.share.value == 0
    assert red.area == green.area == pytest.approx((12 / 32) ** 2)
    assert red.more == pytest.approx(red.share.value, abs=1e-6), "both badges cover as much"
    assert green.more == -red.more
    assert len(red.pictures) == 3
    with out.open() as file:
        first = next(csv.DictReader(file))
    assert (first["class"], first["concept"], float(first["share"])) == ("red", "badge", pytest.approx(1, abs=0.02))


def test_leanings_follow_from_the_definition():
    def record(n, label, share, area):
        return {"file": f"{n}.png", "label": label, "parts": {"hair": [share, area]}}

    shares = {"nurse": (0.5, 0.7, 0.6), "doctor": (0.1, 0.2, 0.3), "judge": (0.3, 0.3, 0.3), "cook": (0.9, 0.9)}
    records = [record(n, label, share, 0.1) for label, own in shares.items() for n, share in enumerate(own)]
    leans = {lean.label: lean for lean in ranked(records)}
    assert "cook" not in leans, "two pictures are too few"
    nurse = leans["nurse"]
    assert nurse.excess.value == pytest.approx(0.5)
    assert nurse.others == pytest.approx((0.1 + 0.2) / 2)
    assert nurse.more == pytest.approx(0.5 - 0.15)
    error = 0.1 / math.sqrt(3)  # of the nurses as of the doctors; the judges have none
    assert nurse.error == pytest.approx(math.hypot(error, error / 2))
    assert nurse.z == max(lean.z for lean in leans.values())
    assert nurse.pictures == ("1.png", "2.png", "0.png")


def test_a_concept_of_one_class_alone_is_told_but_not_compared():
    records = [{"file": f"{n}", "label": "nurse", "parts": {"hair": [0.5, 0.1]}} for n in range(3)]
    (lean,) = ranked(records)
    assert math.isnan(lean.more)
    assert math.isnan(lean.z)
    assert lean.excess.value == pytest.approx(0.4)


def test_units_of_a_name_are_added_up(tmp_path):
    path = tmp_path / "a.png"
    squares(path, ("red", 2, 2, 8), ("blue", 20, 20, 10))
    exp = mmcam.explain_class(Colours(), path, "red")
    own = exp.weights * exp.activations.mean((1, 2))
    names = Names({0: UnitName("warm"), 1: UnitName("warm")}, len(own), "", "by hand")
    parts = by_units(exp, names)
    sums = torch.stack([own[:2].sum(), own[2:].sum()]).clamp(min=0)
    assert parts["warm"] == [pytest.approx(float(sums[0] / sums.sum())), None]
    assert set(parts) == {"warm"}


def test_a_run_that_was_stopped_goes_on(photos, tmp_path, monkeypatch):
    source, concepts = photos
    whole = find_bias(source, Explainer(Colours()), tmp_path / "whole.html", concepts=concepts)
    cases, seen = run._cases, []

    def stopping(way, means, chunk, masks):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(chunk))
        return cases(way, means, chunk, masks)

    monkeypatch.setattr(run, "_cases", stopping)
    with pytest.raises(KeyboardInterrupt):
        find_bias(source, Explainer(Colours()), tmp_path / "page.html", concepts=concepts, batch=2)
    monkeypatch.setattr(run, "_cases", cases)
    told = []
    again = find_bias(
        source, Explainer(Colours()), tmp_path / "page.html", concepts=concepts, batch=2, tell=told.append
    )
    assert told == ["4 of 6 are done already, 2 are left."]
    assert again == whole
    assert (tmp_path / "page.html").read_text() == (tmp_path / "whole.html").read_text()


def test_what_cannot_be_compared_is_a_sentence(photos, tmp_path):
    source, concepts = photos
    out = tmp_path / "page.html"
    with pytest.raises(ExplainError, match="Name either the masks of concepts"):
        find_bias(source, Explainer(Colours()), out)
    other = table(
        tmp_path / "other.csv", {"picture": "elsewhere.png", "mask": "m.png", "name": "x", "category": "object"}
    )
    with pytest.raises(ExplainError, match=r"None of the 6 pictures of .* stands in"):
        find_bias(source, Explainer(Colours()), out, concepts=other)
    whole = table(tmp_path / "whole.csv", {"picture": "red0.png", "mask": "", "name": "beach", "category": "scene"})
    with pytest.raises(ExplainError, match="names a mask"):
        read_masks(whole)
    with pytest.raises(ExplainError, match="in enough pictures to be compared"):
        find_bias(source, Explainer(Colours()), out, concepts=concepts, limit=2)
    assert not out.exists()
    with pytest.raises(ExplainError, match=r"Cannot write 'page.txt': the result is an .html page or a .csv"):
        find_bias(source, Explainer(Colours()), tmp_path / "page.txt", concepts=concepts)
    assert not (tmp_path / "page.txt.part").exists(), "it is refused before the work"


def test_the_command_says_what_a_class_looks_at(photos, tmp_path, monkeypatch):
    source, concepts = photos
    monkeypatch.setattr("mmcam.cli.bias.load_model", lambda *arguments: (Colours(), None))
    out = tmp_path / "page.html"
    ran = CliRunner().invoke(app, ["bias", str(source), "--model", "m", "--concepts", str(concepts), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "red looks at badge" in ran.output
    out.write_text("mine")
    again = CliRunner().invoke(
        app, ["bias", str(source), "--model", "m", "--concepts", str(concepts), "--out", str(out)]
    )
    assert again.exit_code == 1
    assert out.read_text() == "mine"


@needs_chromium
def test_the_page_filters_its_table(photos, tmp_path):
    source, concepts = photos
    out = tmp_path / "page.html"
    find_bias(source, Explainer(Colours()), out, concepts=concepts)
    with Browser(tmp_path) as page:
        page.open(out)
        rows = 'document.querySelectorAll("tbody tr:not([hidden])").length'
        assert page(rows) == 2
        page('label.value = "red", label.onchange()')
        assert page(rows) == 1
        assert page('document.querySelectorAll("article img").length') == 3
