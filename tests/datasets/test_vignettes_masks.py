"""Masks agree with each other, with the boxes and with the pixels."""

import dataclasses

import numpy as np
import pytest

from mmcam.datasets import vignettes as V
from mmcam.datasets.vignettes import render
from mmcam.datasets.vignettes.fill import TONES


@pytest.fixture(scope="module")
def drawn() -> list[V.Vignette]:
    return [V.draw(s) for s in range(150)]


def _alone(truth: V.Truth, index: int) -> np.ndarray:
    return render.codes(dataclasses.replace(truth, things=(truth.things[index],))) > 0


def test_instances_and_scene_divide_the_picture(drawn: list[V.Vignette]) -> None:
    for v in drawn:
        assert v.instances.shape == (len(v.truth.things), V.SIZE, V.SIZE)
        assert np.array_equal(v.instances.sum(axis=0) + v.scene_mask, np.ones((V.SIZE, V.SIZE)))
        assert np.array_equal(v.mask(range(len(v.truth.things))), ~v.scene_mask)
        assert not v.mask(()).any()


def test_parts_divide_the_thing(drawn: list[V.Vignette]) -> None:
    for v in drawn:
        for i, thing in enumerate(v.truth.things):
            parts = np.stack([v.part_mask(i, part) for part in thing.parts])
            assert np.array_equal(parts.sum(axis=0), v.instances[i])
            assert not v.part_mask(i, "propeller").any()


def test_boxes_fit_what_is_drawn(drawn: list[V.Vignette]) -> None:
    for v in drawn:
        for i, thing in enumerate(v.truth.things):
            ys, xs = np.nonzero(_alone(v.truth, i))
            slack = np.array([xs.min(), ys.min(), -xs.max() - 1, -ys.max() - 1]) - np.array(thing.box) * [1, 1, -1, -1]
            assert (slack >= 0).all()
            assert (slack <= 6).all()


def test_at_least_three_fifths_of_a_thing_and_all_of_its_optional_part_are_visible(drawn: list[V.Vignette]) -> None:
    for v in drawn:
        for i, thing in enumerate(v.truth.things):
            alone = _alone(v.truth, i)
            assert v.instances[i].sum() >= 0.6 * alone.sum()
            part = V.OPTIONAL_PARTS.get(thing.kind)
            if part in thing.parts:
                only = dataclasses.replace(v.truth, things=(thing,))
                whole = render.codes(only) == render.code(0, thing.parts.index(part))
                assert v.part_mask(i, part).sum() == whole.sum() > 20


def test_some_things_overlap(drawn: list[V.Vignette]) -> None:
    hidden = [v.instances[i].sum() < _alone(v.truth, i).sum() for v in drawn for i in range(len(v.truth.things))]
    assert 0.05 < np.mean(hidden) < 0.5


def test_attribute_masks_are_unions(drawn: list[V.Vignette]) -> None:
    for v in drawn[:60]:
        for kind in V.KINDS:
            expected = [i for i, t in enumerate(v.truth.things) if t.kind == kind]
            assert np.array_equal(v.kind_mask(kind), v.mask(expected))
        everything = sum(v.scale_mask(scale).astype(int) for scale in V.SCALES)
        assert np.array_equal(everything, ~v.scene_mask)
        coloured = sum(v.colour_mask(colour).astype(int) for colour in V.COLOURS)
        textured = sum(v.texture_mask(texture).astype(int) for texture in V.TEXTURES)
        assert np.array_equal(coloured, textured)
        assert coloured.max() == 1
        assert (coloured <= everything).all()


def test_pixels_have_the_colour_they_are_said_to_have(drawn: list[V.Vignette]) -> None:
    right = total = 0
    names = list(TONES)
    tones = np.array([TONES[name] for name in names])
    for v in drawn:
        for thing in v.truth.things:
            if thing.texture != "plain" or sum(t.colour == thing.colour for t in v.truth.things) > 1:
                continue
            pixels = np.asarray(v.image)[v.colour_mask(thing.colour)]
            nearest = ((pixels[:, None, :].astype(int) - tones) ** 2).sum(axis=2).argmin(axis=1)
            right += names[np.bincount(nearest, minlength=len(names)).argmax()] == thing.colour
            total += 1
    assert right / total > 0.97


def test_marks_of_captions_have_masks(drawn: list[V.Vignette]) -> None:
    for v in drawn[:40]:
        for caption in v.captions:
            for mark in caption.marks:
                expected = v.scene_mask if mark.category == "scene" else v.instances[list(mark.things)].any(axis=0)
                assert np.array_equal(v.mark_mask(mark), expected)


def test_the_dataset_gives_the_same_pictures() -> None:
    torch = pytest.importorskip("torch")
    from mmcam.datasets.vignettes.dataset import VignetteDataset, collate

    data = VignetteDataset("val", 4, what=("captions", "questions", "codes"))
    batch = collate([data[i] for i in range(len(data))])
    assert batch["image"].shape == (4, 3, V.SIZE, V.SIZE)
    assert batch["image"].dtype == torch.uint8
    for i in range(4):
        v = V.draw(V.seed("val", i))
        assert np.array_equal(batch["image"][i].permute(1, 2, 0).numpy(), np.asarray(v.image))
        assert np.array_equal(batch["codes"][i].numpy(), v.codes)
        assert batch["captions"][i] == v.captions
        assert batch["questions"][i] == v.questions
        assert batch["truth"][i] == v.truth
    with pytest.raises(IndexError):
        data[4]
    with pytest.raises(ValueError, match="smells"):
        VignetteDataset("val", 4, what=("smells",))
    with pytest.raises(ValueError, match="not 0"):
        VignetteDataset("val", 0)


def test_contact_sheet_has_a_place_for_every_picture(drawn: list[V.Vignette]) -> None:
    from mmcam.datasets.vignettes.sheet import contact_sheet

    sheet = contact_sheet(drawn[:7], columns=3)
    bare = contact_sheet(drawn[:7], columns=3, captions=False)
    assert sheet.width == bare.width == 3 * (V.SIZE + 12) + 12
    assert bare.height == 3 * (V.SIZE + 12) + 12 < sheet.height
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
