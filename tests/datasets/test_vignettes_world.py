"""The world: determinism, rules, layout."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmcam.datasets import vignettes as V
from mmcam.datasets.vignettes import render
from mmcam.datasets.vignettes.world import held_out


def _digest(seeds: range) -> str:
    digest = hashlib.sha256()
    for s in seeds:
        vignette = V.draw(s)
        digest.update(vignette.image.tobytes() + vignette.codes.tobytes())
        digest.update(repr((vignette.truth, vignette.captions, vignette.questions)).encode())
    return digest.hexdigest()


def test_same_seed_same_bytes_in_another_process() -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_vignettes_world as t; print(t._digest(range(12)))"
    here = str(Path(__file__).parent)
    other = subprocess.run([sys.executable, "-c", code, here], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == _digest(range(12))


def test_what_is_drawn_does_not_depend_on_global_randomness() -> None:
    np.random.seed(1)
    first = V.image(5)
    np.random.seed(2)
    state = np.random.get_state()[1].copy()
    assert np.array_equal(first, V.image(5))
    assert np.array_equal(state, np.random.get_state()[1])


def test_draw_shows_what_describe_says_and_image_is_its_picture() -> None:
    for s in range(20):
        vignette = V.draw(s)
        assert vignette.truth == V.describe(s)
        assert vignette.image.size == (V.SIZE, V.SIZE)
        assert np.array_equal(np.asarray(vignette.image), V.image(s))


def test_seeds_differ() -> None:
    assert len({V.image(s).tobytes() for s in range(50)}) == 50


def test_truth_survives_json() -> None:
    for s in range(50):
        truth = V.describe(s)
        assert V.Truth.from_json(json.loads(json.dumps(truth.to_json()))) == truth


def test_truth_with_a_foreign_field_is_refused() -> None:
    record = V.describe(1).to_json()
    record["things"][0]["smell"] = "sweet"
    with pytest.raises(ValueError, match="smell"):
        V.Truth.from_json(record)


def test_train_val_and_test_have_no_held_out_pair() -> None:
    for split in ("train", "val", "test"):
        for i in range(2000):
            truth = V.describe(V.seed(split, i))
            assert not any(held_out(t.kind, t.colour, truth.scene) for t in truth.things)


def test_every_held_out_picture_has_a_held_out_pair_and_all_pairs_occur() -> None:
    seen = set()
    for i in range(2000):
        truth = V.describe(V.seed("heldout", i))
        here = {(t.kind, t.colour) for t in truth.things} & set(V.HELD_OUT_COLOURS)
        here |= {(t.kind, truth.scene) for t in truth.things} & set(V.HELD_OUT_SCENES)
        assert here
        seen |= here
    assert seen == set(V.HELD_OUT_COLOURS + V.HELD_OUT_SCENES)


def test_bias_keeps_a_kind_in_its_scene() -> None:
    world = V.World(bias=(("boat", "sea"), ("car", "street")))
    boats = scenes = 0
    for s in range(3000):
        truth = V.describe(s, world)
        kinds = {t.kind for t in truth.things}
        assert "boat" not in kinds or truth.scene == "sea"
        assert "car" not in kinds or truth.scene == "street"
        boats += "boat" in kinds
        scenes += truth.scene == "sea"
    assert 0.6 < boats / scenes < 0.9


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        ((("ship", "sea"),), "no kind 'ship'"),
        ((("boat", "moon"),), "no scene 'moon'"),
        ((("umbrella", "snow"),), "held-out"),
        ((("boat", "sea"), ("boat", "beach")), "once"),
    ],
)
def test_a_bias_that_cannot_be_is_refused(bias: tuple[tuple[str, str], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        V.World(bias=bias)


def test_seeds_outside_the_splits_are_refused() -> None:
    for wrong in (lambda: V.seed("dev", 0), lambda: V.seed("val", -1), lambda: V.seed("val", 10_000_000)):
        with pytest.raises(ValueError, match="choose"):
            wrong()
    for number in (-1, 40_000_000):
        with pytest.raises(ValueError, match="belongs to no split"):
            V.describe(number)


def test_things_are_spread_as_promised() -> None:
    truths = [V.describe(s) for s in range(4000)]
    sizes = [len(t.things) for t in truths]
    for n, p in ((1, 0.15), (2, 0.30), (3, 0.33), (4, 0.22)):
        assert abs(sizes.count(n) / len(sizes) - p) < 0.03
    several = [t for t in truths if len(t.things) > 1]
    twice = sum(len({x.kind for x in t.things}) < len(t.things) for t in several)
    assert abs(twice / len(several) - 0.3) < 0.03
    things = [x for t in truths for x in t.things]
    for attribute, values in (("colour", V.COLOURS), ("texture", V.TEXTURES), ("scale", V.SCALES)):
        for value in values:
            share = sum(getattr(x, attribute) == value for x in things) / len(things)
            assert abs(share * len(values) - 1) < 0.15
    assert {x.kind for x in things} == set(V.KINDS)
    assert {t.scene for t in truths} == set(V.SCENES)


def test_small_and_large_do_not_meet() -> None:
    longest: dict[str, list[int]] = {"small": [], "large": []}
    for s in range(1000):
        for t in V.describe(s).things:
            longest[t.scale].append(max(t.box[2] - t.box[0], t.box[3] - t.box[1]))
    assert max(longest["small"]) + 8 < min(longest["large"])
    assert min(longest["small"]) >= 36
    assert max(longest["large"]) <= 116


def test_a_thing_can_be_changed_while_everything_else_stays() -> None:
    truth = V.describe(V.seed("train", 0))
    recoloured = dataclasses.replace(truth.things[0], colour="green", texture="plain")
    changed = dataclasses.replace(truth, things=(recoloured, *truth.things[1:]))
    before, after = render.picture(truth).astype(int), render.picture(changed).astype(int)
    different = (before != after).any(axis=2)
    x0, y0, x1, y1 = truth.things[0].box
    assert different.any()
    different[y0:y1, x0:x1] = False
    assert not different.any()
