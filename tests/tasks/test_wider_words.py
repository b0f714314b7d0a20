"""Synonyms and hypernyms of classes: a wider word means the class under it that each picture has most of."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmcam import ExplainError, Preprocess, explain_class

RED, GREEN, BLUE, TEAL = range(4)


class Colours(nn.Module):
    """Logits that are known: how much there is of a colour, on average, and teal is half of green and blue each."""

    classes = ("red", "green", "blue", "teal")
    preprocess = Preprocess(size=(8, 8), mode="squash", mean=(0.0,) * 3, std=(1.0,) * 3)

    def __init__(self) -> None:
        super().__init__()
        self.synonyms = {"crimson": (RED,), "Scarlet": (RED,), "leaf": (GREEN,), "cool": (BLUE, TEAL)}
        self.hypernyms = {"warm": (RED,), "cold": (GREEN, BLUE, TEAL), "leaf": (RED,), "any": (0, 1, 2, 3)}
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        self.features.weight.data = torch.eye(3)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        mean = self.features(x).mean((2, 3))
        return torch.cat([mean, mean[:, 1:].mean(1, keepdim=True)], 1)


def plain(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


GRASS, SKY, FIRE = plain(40, 250, 10), plain(40, 10, 250), plain(240, 20, 10)


def found(pictures, target, **more):
    return explain_class(Colours(), pictures, target, layer="features", **more)


def test_a_wider_word_means_another_class_in_another_picture():
    exps = found([GRASS, SKY, FIRE], "cold")
    assert [exp.target for exp in exps] == ["green", "blue", "green"]
    assert [exp.prediction.index for exp in exps] == [GREEN, BLUE, GREEN]
    assert {exp.prediction.asked for exp in exps} == {"cold"}
    for exp, picture, index in zip(exps, (GRASS, SKY, FIRE), (GREEN, BLUE, GREEN), strict=True):
        alone = found(picture, index)
        assert torch.equal(exp.values, alone.values)
        assert exp.score == alone.score == pytest.approx(picture[0, 0, index] / 255, abs=1e-6)
        assert alone.prediction.asked == ""


def test_lists_and_targets_of_each_picture():
    first, second = found([GRASS, SKY], [["cold", "warm", TEAL, None], "COLD "])
    assert [exp.target for exp in first] == ["green", "red", "teal", "green"]
    assert [exp.prediction.asked for exp in first] == ["cold", "warm", "", ""]
    assert (second.target, second.prediction.asked) == ("blue", "COLD")


@pytest.mark.parametrize(
    ("target", "contrast", "title"),
    [
        ("warm", "cold", "red rather than green"),
        ("cold", "warm", "green rather than red"),
        ("green", "cold", "green rather than teal"),  # the next best of the cold ones
        ("cold", "green", "teal rather than green"),
        ("cold", "any", "green rather than red"),  # what is no cold one
        ("any", "cold", "red rather than green"),
        (None, "cold", "green rather than teal"),  # the prediction is left out, too
        (None, "any", "green rather than teal"),
        (-1, "cold", "teal rather than green"),
    ],
)
def test_contrasts(target, contrast, title):
    exp = found(GRASS, target, contrast=contrast)
    assert exp.target == title
    logits = dict(zip(Colours.classes, (40, 250, 10, 130), strict=True))
    one, _, _, other = title.split()
    assert exp.score == pytest.approx((logits[one] - logits[other]) / 255, abs=1e-5)


def test_a_contrast_is_found_in_each_picture():
    exps = found([GRASS, SKY], "warm", contrast="cold")
    assert [exp.target for exp in exps] == ["red rather than green", "red rather than blue"]
    assert {exp.prediction.asked for exp in exps} == {"warm rather than cold"}
    exps = found([GRASS, SKY], lambda output: output[:, RED], contrast="cold")
    assert [exp.target for exp in exps] == ["score rather than green", "score rather than blue"]
    assert [exp.score for exp in exps] == pytest.approx([(40 - 250) / 255] * 2, abs=1e-5)


@pytest.mark.parametrize("both", [("cold", "cold"), ("warm", "red"), ("warm", "crimson"), ("any", "any")])
def test_the_same_on_both_sides(both):
    with pytest.raises(ExplainError, match=r"The class and its contrast are both '(cold|any|red)'; choose two"):
        found(GRASS, both[0], contrast=both[1])


def test_a_synonym_goes_before_a_wider_word():
    assert found(FIRE, "leaf").target == "green"
    assert found(FIRE, "scarlet").target == "red"
    with pytest.raises(ExplainError, match=r"2 classes named 'cool': 2 blue \(cold\), 3 teal \(cold\); pass the index"):
        found(FIRE, "cool")
    with pytest.raises(ExplainError, match="There is no class 'colt'; the closest are cool, cold"):
        found(FIRE, "colt")


def test_names_of_the_users_take_the_place_of_all():
    with pytest.raises(ExplainError, match="There is no class 'cold'"):
        found(GRASS, "cold", names=["a", "b", "c", "d"])


@pytest.mark.parametrize("own", [3, ["cold"], {"cold": (9,)}, {"cold": "no"}, {"cold": ()}, {3: (1,)}])
def test_attributes_that_mean_something_else(own):
    model = Colours()
    model.synonyms = model.hypernyms = own
    assert explain_class(model, GRASS, "green", layer="features").target == "green"
    with pytest.raises(ExplainError, match="There is no class 'cold'"):
        explain_class(model, GRASS, "cold", layer="features")


@pytest.mark.parametrize("method", ["occlusion", "smoothgrad", "scorecam"])
def test_the_class_stays_the_same_while_a_method_changes_the_picture(method):
    options = {"occlusion": {"patch": 4, "stride": 4}, "smoothgrad": {"n": 2}, "scorecam": {}}[method]
    more = {} if method != "scorecam" else {"layer": "features"}
    exp = explain_class(Colours(), SKY, "cold", method=method, **more, **options)
    assert (exp.target, exp.prediction.index) == ("blue", BLUE)
