"""The sanity checks run whole on two vignettes, and go on where they were stopped; models trained on random labels."""

import json
import math

import pytest
import torch
import typer
from scipy.stats import spearmanr

from experiments.checks import sanity_checks
from experiments.lib import label_comparison, sanity
from experiments.train import random_labels as train_random_labels
from mmcam.datasets import vignettes


@pytest.fixture
def few(monkeypatch):
    """Two methods: one whose maps have no sign, and one whose maps have."""
    for module in (sanity_checks, label_comparison):
        monkeypatch.setattr(module, "METHODS", ("layercam", "gradient"))


def test_maps_are_compared_with_and_without_their_signs():
    torch.manual_seed(0)
    before, after = torch.randn(20, 20), torch.randn(20, 20)
    found = sanity.compared(before, after, (20, 20))
    assert found["rank"] == pytest.approx(spearmanr(before.abs().flatten(), after.abs().flatten()).statistic)
    assert found["rank, signed"] == pytest.approx(spearmanr(before.flatten(), after.flatten()).statistic)
    assert found["ssim"] != found["ssim, signed"]
    same = sanity.compared(before.abs(), before.abs(), (40, 40))
    assert same == pytest.approx({"rank": 1, "ssim": 1, "rank, signed": 1, "ssim, signed": 1})
    assert all(math.isnan(value) for value in sanity.compared(before, before * 0, (20, 20)).values())


def test_a_pixel_map_keeps_the_sign_of_its_largest_channel():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1, bias=False), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([1.0, -3.0, 2.0]).view(1, 3, 1, 1)
        model[2].weight[:] = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    made = sanity.maps(model, torch.rand(1, 3, 2, 2), torch.tensor([0]), "0", "gradient")
    assert made[0].tolist() == [[-3, 3], [-3, -3]]


@pytest.mark.slow
@pytest.mark.parametrize("independent", [False, True])
def test_two_vignettes_and_no_work_twice(few, independent, tmp_path, monkeypatch):
    names = ("output", "encoder.where")
    steps = sanity_checks.randomised
    monkeypatch.setattr(sanity_checks, "randomised", lambda model, **options: steps(model, names, **options))

    def run():
        sanity_checks.main(["vignettes"], 2, independent, out=tmp_path, work=tmp_path / "work")

    run()
    name = "sanity-independent" if independent else "sanity"
    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert [row["method"] for row in rows] == ["layercam", "gradient"]
    assert [row["signed"] for row in rows] == [False, True]
    assert all(row["names"] == list(names) and row["ssim"]["n"] == [2, 2] for row in rows)
    assert all(-1 <= value < 0.999 for row in rows for key in ("rank", "ssim") for value in row[key]["mean"])
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    monkeypatch.setattr(sanity_checks, "curve", None)  # calling it would fail
    text = (tmp_path / f"{name}.md").read_text()
    run()
    assert (tmp_path / f"{name}.md").read_text() == text
    assert "| vignette-classifier | gradient | 2 |" in text


def test_mistakes_are_said(tmp_path):
    with pytest.raises(typer.BadParameter, match="no world 'drawings'"):
        sanity_checks.main(["drawings"], out=tmp_path)
    with pytest.raises(typer.BadParameter, match="between 2 and --pictures 4"):
        train_random_labels.main(pictures=4, shown=9, out=tmp_path)


def test_learned_pictures_show_one_kind():
    x, labels = train_random_labels.learned(3)
    assert x.shape == (3, 3, 224, 224)
    kinds = []
    for i in range(1000):
        seed = vignettes.seed("train", i)
        names = {thing.kind for thing in vignettes.describe(seed).things}
        if len(names) == 1:
            kinds.append(vignettes.KINDS.index(names.pop()))
        if len(kinds) == 3:
            break
    assert labels.tolist() == kinds


@pytest.mark.long
@pytest.mark.slow
def test_random_labels_are_learned_by_heart(few, tmp_path, monkeypatch):
    """Eight pictures; also that a second run trains nothing and explains nothing again."""

    monkeypatch.setattr(train_random_labels, "UNSEEN", 5)

    def run():
        train_random_labels.main(pictures=8, shown=2, epochs=25, out=tmp_path, work=tmp_path / "work")

    run()
    report = json.loads((tmp_path / "sanity-labels.json").read_text())
    assert report["trained"].keys() == {"true", "random", "again"}
    assert all(card["accuracy"] >= train_random_labels.ENOUGH for card in report["trained"].values())
    assert all(0 <= card["unseen"]["value"] <= 1 for card in report["trained"].values())
    assert report["trained"]["true"]["unseen"]["pictures"] == 5
    assert "of 5 unseen pictures" in (tmp_path / "sanity-labels.md").read_text()
    row = report["rows"][0]
    assert row["another start"]["ssim"]["n"] == 2
    difference = row["rank, another start less random labels"]["value"]
    assert difference == pytest.approx(row["another start"]["rank"]["value"] - row["random labels"]["rank"]["value"])
    monkeypatch.setattr(train_random_labels, "train", None)  # calling it would fail
    monkeypatch.setattr(label_comparison, "maps", None)
    run()
    assert json.loads((tmp_path / "sanity-labels.json").read_text()) == report
