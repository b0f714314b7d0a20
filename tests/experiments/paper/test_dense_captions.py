"""Region captions: what is said of a region is true of it, and the ratio is that of its box."""

import json

import numpy as np
import pytest
import typer
from PIL import Image

import mmcam
import models
from experiments.paper import dense_captions, layer_by_layer
from mmcam.datasets import vignettes
from mmcam.datasets.densecap import Region
from mmcam.evaluation.inside_outside import box_mask, inside_outside


def test_region_captions_are_true_of_their_things():
    for i in range(30):
        scene = vignettes.draw(vignettes.seed("test", i))
        image, regions = dense_captions.vignette_regions(scene)
        assert image is scene.image
        assert len(regions) == min(5, len(scene.truth.things))
        for thing, region in enumerate(regions):
            checked = vignettes.captions.check(region.caption, scene.truth)
            assert all(word.correct for word in checked)
            assert all(thing in word.things for word in checked)
            assert region.box == scene.truth.things[thing].box


def test_ratios_are_those_of_the_maps():
    captioner = models.load("vignette-captioner")
    scene = vignettes.draw(vignettes.seed("test", 1))
    regions = [*dense_captions.vignette_regions(scene)[1], Region((0, 0, 224, 224), "a dog", 0.0)]
    ratios = list(dense_captions.ratios_of(captioner, scene.image, regions, "gradcam"))
    assert len(ratios) == len(regions) - 1  # the whole picture has no outside
    whole = mmcam.explain_caption(captioner, scene.image, caption=regions[0].caption).whole
    mask = box_mask(regions[0].box, scene.image.size)
    assert ratios[0] == pytest.approx(inside_outside(whole.heatmap, mask), rel=1e-3)


def test_empty_maps_are_counted_not_averaged():
    row = dense_captions.summary(np.array([1.0, 3.0, np.nan, np.inf]))
    assert (row["regions"], row["empty"], row["infinite"]) == (4, 1, 1)
    assert row["mean"] == row["median"] == 2.0
    clustered = dense_captions.summary(np.array([1.0, 1.0, 3.0, 3.0, np.inf]), ["a", "a", "b", "b", "b"])
    assert clustered["standard_error"] == pytest.approx(1.0)


def test_a_stopped_run_goes_on_and_changed_regions_are_made_again(tmp_path, monkeypatch):
    captioner = models.load("vignette-captioner")
    scenes = [(str(i), *dense_captions.vignette_regions(vignettes.draw(vignettes.seed("test", i)))) for i in (1, 2)]
    path = tmp_path / "a.jsonl"
    ratios, owners = dense_captions.judged(captioner, scenes, "gradcam", path)
    assert owners == ["1"] * len(scenes[0][2]) + ["2"] * len(scenes[1][2])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:30])
    made = []
    original = dense_captions.ratios_of
    monkeypatch.setattr(dense_captions, "ratios_of", lambda *given: made.append(given[2]) or original(*given))
    assert dense_captions.judged(captioner, scenes, "gradcam", path)[0] == pytest.approx(ratios)
    assert made == [scenes[1][2]]
    fewer = [(scenes[0][0], scenes[0][1], scenes[0][2][:1]), scenes[1]]
    assert dense_captions.judged(captioner, fewer, "gradcam", path)[0] == pytest.approx(
        [ratios[0], *ratios[len(scenes[0][2]) :]]
    )


def test_baselines_saw_no_picture():
    image = Image.new("RGB", (224, 224))
    left, right = (0.0, 0.0, 112.0, 224.0), (112.0, 0.0, 224.0, 224.0)
    scenes = [("1", image, [Region(left, "a red dog", 0.0)]), ("2", image, [Region(left, "a dog", 0.0)]),
              ("3", image, [Region(right, "a cat", 0.0), Region((0, 0, 224, 224), "a cat", 0.0)])]  # fmt: skip
    rows = {row["method"]: row for row in dense_captions.baselines(scenes, by_kind=True)}
    assert rows["(random)"]["mean"] == pytest.approx(1, abs=0.03)
    assert rows["(random)"]["regions"] == 3, "the whole picture has no outside"
    assert rows["(centre)"]["mean"] == pytest.approx(1), "a blob in the middle lies half in each half"
    # Each dog's box is the other one's, but for half a cell at its edge; the cat is elsewhere only as a dog.
    assert rows["(text prior)"]["median"] > 100
    usual = dense_captions.Tally()
    for _, _, regions in scenes:
        for region in regions:
            usual.add(
                "region", dense_captions.kind_of(region), dense_captions.on_grid(box_mask(region.box, (224, 224)))
            )
    alone = dense_captions.elsewhere(usual, image, scenes[2][2], scenes[2][2][0])
    assert inside_outside(alone, box_mask(right, (224, 224))) < 0.01
    assert "(text prior)" not in {row["method"] for row in dense_captions.baselines(scenes, by_kind=False)}


def test_densecaps_results_are_scored_by_the_same_script(tmp_path):
    scene = vignettes.draw(vignettes.seed("test", 1))
    scene.image.resize((720, 720)).save(tmp_path / "a.png")
    thing = scene.truth.things[0]
    left, top, right, bottom = (side * 720 / 224 for side in thing.box)
    box = [left + 1, top + 1, right - left, bottom - top]
    found = {"img_name": "a.png", "boxes": [box, [1, 1, 720, 720], box],
             "captions": [f"a {thing.colour} {thing.kind}", "a house", "a man in a hat"],
             "scores": [3.0, 2.0, 1.0]}  # fmt: skip
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"opt": {"image_size": 720}, "results": [found]}))
    dense_captions.main(
        captioner=["vignette-captioner"], method=["gradcam"], results=results, photos=tmp_path, out=tmp_path,
        work=tmp_path / "work",
    )  # fmt: skip
    rows = {row["method"]: row for row in json.loads((tmp_path / "dense-captions-densecap.json").read_text())["rows"]}
    assert not (tmp_path / "dense-captions.json").exists(), "that is the vignettes' table"
    assert set(rows) == {"(random)", "(centre)", "gradcam"}, "what a DenseCap caption is about is not known"
    row = rows["gradcam"]
    assert (row["regions"], row["unknown words"]) == (1, 1), "a man is nothing a vignette shows"
    assert row["mean"] > 0
    text = (tmp_path / "dense-captions-densecap.md").read_text()
    assert "| 1.00 |" in text
    assert "1 regions that are the whole picture" in text
    found |= {"boxes": [box], "captions": ["a man in a hat"], "scores": [1.0]}
    results.write_text(json.dumps({"opt": {"image_size": 720}, "results": [found]}))
    with pytest.raises(typer.BadParameter, match="take another captioner"):
        dense_captions.main(
            captioner=["vignette-captioner"], method=["gradcam"], results=results, photos=tmp_path, out=tmp_path,
            work=tmp_path / "work",
        )  # fmt: skip


def test_layers_are_drawn_one_by_one(tmp_path):
    layer_by_layer.main(model="vignette-san", pictures=4, out=tmp_path)
    rows = json.loads((tmp_path / "layers-san.json").read_text())["rows"]
    assert [row["side"] for row in rows] == [112, 56, 56, 28, 28, 14, 14, 14, 14]
    assert all(-1 <= row["correlation"]["value"] <= 1 for row in rows[1:])
    assert Image.open(tmp_path / "layers-san.webp").width > 500
