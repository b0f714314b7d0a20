"""Vignettes as concepts: every label map against the vignette's own masks."""

import numpy as np
import pytest

from mmcam.datasets import vignettes as V
from mmcam.datasets.concepts import Concept
from mmcam.datasets.concepts.vignettes import CONCEPTS, VignetteConcepts


def true_mask(vignette, concept):
    """(224, 224), from the masks that captions and questions are checked with."""
    things = range(len(vignette.truth.things))
    if concept.category == "object":
        return vignette.kind_mask(concept.name)
    if concept.category == "part":
        return np.any([vignette.part_mask(i, concept.name) for i in things], axis=0)
    if concept.category == "colour":
        return vignette.colour_mask(concept.name)
    if concept.category == "texture":
        return vignette.texture_mask(concept.name)
    assert concept.category == "scene"
    return vignette.scene_mask & (vignette.truth.scene == concept.name)


@pytest.mark.parametrize("split", ["val", "heldout"])
def test_label_maps_are_every_second_pixel_of_the_exact_masks(split):
    data, met = VignetteConcepts(split, 60), set()
    for i in range(len(data)):
        vignette = V.draw(V.seed(split, i))
        labels = data.labels(i)
        assert {layer.shape for layer in labels} == {(112, 112)}
        for number, concept in enumerate(data.concepts, start=1):
            layers = [layer == number for layer in labels if (layer == number).any()]
            want = true_mask(vignette, concept)[::2, ::2]
            assert len(layers) == want.any(), concept
            if layers:
                np.testing.assert_array_equal(layers[0], want, err_msg=str(concept))
                met.add(concept)
        assert np.array_equal(data.picture(i), vignette.image)
    assert len(met) > 0.9 * len(CONCEPTS)


def test_concepts_are_the_words_of_the_world_each_once():
    by_category = {}
    for concept in CONCEPTS:
        by_category.setdefault(concept.category, []).append(concept.name)
    assert len(set(CONCEPTS)) == len(CONCEPTS)
    parts = by_category.pop("part")
    assert by_category == {
        "object": list(V.KINDS),
        "colour": list(V.COLOURS),
        "texture": ["striped", "dotted", "checkered"],
        "scene": list(V.SCENES),
    }
    things = [thing for seed in range(400) for thing in V.describe(seed).things]
    assert set(parts) == {part for thing in things for part in thing.parts}
    assert parts.count("wheel") == 1
    assert Concept("plain", "texture") not in VignetteConcepts().concepts


def test_the_rules_of_the_world_hold():
    world = V.World(bias=(("boat", "sea"),))
    data = VignetteConcepts("train", 40, world)
    assert data.name == "vignettes (train, 40 pictures, boat only in sea)"
    assert VignetteConcepts().name == "vignettes (val, 1,000 pictures)"
    boat, sea = (CONCEPTS.index(Concept(*each)) + 1 for each in (("boat", "object"), ("sea", "scene")))
    seen = [{int(n) for n in np.unique(data.labels(i)[0])} for i in range(40)]
    assert any(boat in numbers for numbers in seen)
    assert all(sea in numbers for numbers in seen if boat in numbers)
    assert np.array_equal(data.picture(3), V.draw(V.seed("train", 3), world).image)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="There is no split 'validation'"):
        VignetteConcepts("validation")
    for size in (0, 10_000_001):
        with pytest.raises(ValueError, match=f"not {size}"):
            VignetteConcepts(size=size)
    data = VignetteConcepts(size=5)
    for read in (data.picture, data.labels):
        for index in (-1, 5):
            with pytest.raises(IndexError, match=f"Picture {index} is outside 0 … 4"):
                read(index)
