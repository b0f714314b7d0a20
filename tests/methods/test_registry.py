"""Methods by name."""

import pytest
import torch
from tiny import Gap, pictures, seeded

from mmcam import METHODS, attribute, register
from mmcam.methods import Maps


def test_every_method_names_its_source():
    assert {"gradcam", "cam", "guided_backprop", "guided_gradcam"} <= METHODS.keys()
    assert all(method.source and method.name == name for name, method in METHODS.items())
    assert {name for name, method in METHODS.items() if method.pixels} >= {"guided_backprop", "guided_gradcam"}


def test_an_unknown_method_names_all_and_the_closest():
    with pytest.raises(ValueError, match=r"no method 'grad-cam'; did you mean 'gradcam'\? There are: .*guided_gradcam"):
        attribute(seeded(Gap), pictures(), [0], method="grad-cam")


def test_a_method_of_the_users_own():
    @register("mean_activation", "a test")
    def mean(question):
        maps = question.x.mean(1)[None].expand(len(question.targets), -1, -1, -1)
        return Maps(maps, torch.zeros(maps.shape[:2]))

    try:
        x = pictures()
        assert torch.equal(attribute(seeded(Gap), x, [0, 1], method="mean_activation")[1], x.mean(1))
        with pytest.raises(ValueError, match="There is a method 'mean_activation' already"):
            register("mean_activation", "again")(mean)
    finally:
        del METHODS["mean_activation"]


def test_every_method_gives_maps_of_its_kind():
    x = pictures(3)
    for name, method in METHODS.items():
        if method.family in ("attention", "tokens"):
            continue  # asks for a model with attention or words of its own
        maps = attribute(seeded(Gap), x, [0, 1], method=name, **({"steps": 2} if name == "extremal" else {}))
        assert maps.shape == ((2, 3, 3, 16, 16) if method.pixels else (2, 3, 16, 16)), name
