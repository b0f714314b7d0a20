"""What a text about a photograph names, and photographs of known classes as concepts."""

import numpy as np
import pytest
from PIL import Image
from tiny import Gap, seeded

import mmcam
from experiments.lib.neurons.photo_texts import counted, judged, present, rows
from experiments.lib.neurons.photographs import ClassPhotographs, Some
from mmcam import Names
from mmcam.datasets.concepts import Concept
from mmcam.neurons.names import UnitName


class Rooms:
    name = "rooms"
    concepts = (Concept("bed", "object"), Concept("cat", "object"), Concept("sea", "scene"))

    def __len__(self):
        return 4

    def picture(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def labels(self, index):
        return [np.array([[0, 1], [1, 2]]), 0] if index % 2 else [3]


def test_what_a_picture_shows():
    assert present(Rooms(), 1) == {1, 2}
    assert present(Rooms(), 0) == {3}


def test_a_text_is_judged_by_what_speaks_for_it():
    """All units have a name: the plainly told are in the picture, the others are not, or half of them."""
    model = seeded(Gap)
    exp = mmcam.explain_class(model, Rooms().picture(1), layer="features", preprocess=small())
    value = (exp.weights * exp.activations.mean((1, 2))).argsort(descending=True).tolist()
    units = {value[0]: UnitName("bed", "", 0.5, 0.01), value[1]: UnitName("sea", "", 0.5, 0.5)}
    units[value[-1]] = UnitName("cat", "", 0.5, 0.5)
    assert exp.weights[value[1]] > 0
    found = judged(Rooms(), 1, exp, Names(units, len(value), "IoU"))
    assert found.told == {"every name": 0.5, "told plainly": 1, "told with a perhaps": 0}
    assert found.chance == {"every name": pytest.approx(2 / 3), "told plainly": 1, "told with a perhaps": 0.5}
    assert counted(Names(units, 9, "IoU")) == {"units": 9, "named": 3, "plainly": 1}
    silent = judged(Rooms(), 1, exp, Names({}, len(value), "IoU"))
    assert set(silent.told.values()) == {None}


def small():
    return mmcam.Preprocess(size=(16, 16), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def test_rows_are_means_over_the_texts_that_name_something():
    model = seeded(Gap)
    model.preprocess = small()
    units = mmcam.explain_class(model, Rooms().picture(0)).weights.shape[0]
    everywhere = Names({unit: UnitName("sea", "", 0.5, 0.01) for unit in range(units)}, units, "IoU")
    every, plainly, perhaps = rows(model, Rooms(), [((0, 1), everywhere), ((2,), Names({}, units, "IoU"))])
    assert every | {"told": ""} == plainly | {"told": ""}
    assert (plainly["texts"], plainly["naming"], perhaps["naming"]) == (3, 2, 0)
    assert (plainly["true"]["value"], plainly["chance"]["value"], plainly["gain"]["value"]) == (0.5, 0.5, 0)


def test_photographs_are_of_their_class_and_of_wider_words(tmp_path):
    (tmp_path / "some" / "images").mkdir(parents=True)
    Image.new("RGB", (5, 4), (9, 8, 7)).save(tmp_path / "some" / "images" / "a.png")
    (tmp_path / "some" / "labels.csv").write_text('file,class_index,name\na.png,1,"b, c"\nb.png,2,d\n')
    wider = {"dog": [0, 1], "domestic dog": [0, 1], "animal": [0, 1, 2], "lonely": [2]}
    data = ClassPhotographs([tmp_path / "some"], ["beagle", "pug", "tabby"], wider)
    names = [[data.concepts[number - 1].name for number in data.labels(index)] for index in range(2)]
    assert names == [["pug", "dog", "animal"], ["tabby", "animal"]]
    assert data.picture(0).size == (5, 4)
    part = Some(data, [1], "a part")
    assert (len(part), part.labels(0), part.name) == (1, data.labels(1), "photographs of some, a part")
