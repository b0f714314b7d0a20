"""Which layer shows small things best: a network whose layers see a red spot by construction, and figures by hand."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.transfer.findings import percent, place, strongest
from mmcam.diagnosis.transfer.localised import (
    Masked,
    baselines,
    chosen,
    iou,
    layers_of,
    masked,
    measured,
    shares_of,
)
from mmcam.errors import ExplainError
from mmcam.explain.classes import explain_class
from mmcam.image import Preprocess

SIDE = 64


class Red(nn.Module):
    """Redness by cells of 4 pixels, then of 16; their mean is the class."""

    preprocess = Preprocess((SIDE, SIDE), "squash", None, (0.0,) * 3, (1.0,) * 3)
    classes = ("hole", "sound")

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 8, 4, stride=4)
        self.output = nn.Linear(8, 2)
        with torch.no_grad():
            for layer in (self.fine, self.coarse, self.output):
                layer.weight.zero_()
                layer.bias.zero_()
            self.fine.weight[0, 0], self.fine.weight[0, 1] = 1 / 16, -1 / 16  # red less green
            self.coarse.weight[0, 0] = 1 / 16
            self.output.weight[0, 0], self.output.weight[1, 0] = 9.0, -9.0

    def forward(self, x):
        return self.output(self.coarse(self.fine(x).relu()).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Grey pictures with a red spot of 4×4 pixels at a corner of a coarse cell, where its middle is not."""
    root, found = tmp_path_factory.mktemp("spots"), []
    for number, (top, left) in enumerate([(0, 12), (16, 28), (48, 12), (32, 44)]):
        pixels, mask = np.full((SIDE, SIDE, 3), 100, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
        pixels[top : top + 4, left : left + 4] = (250, 0, 0)
        mask[top : top + 4, left : left + 4] = 255
        Image.fromarray(pixels).save(root / f"{number}.png")
        Image.fromarray(mask).save(root / f"{number}-mask.png")
        masks = {"hole": (root / f"{number}-mask.png",)}
        found.append(LabelledPicture(root / f"{number}.png", ("hole",), f"house {number}", masks))
    Image.new("RGB", (SIDE, SIDE), "grey").save(root / "plain.png")
    return [*found, LabelledPicture(root / "plain.png", ("sound",), "house 9")]


def test_the_layer_that_points_is_chosen(pictures):
    model, spots = Red().eval(), masked(pictures)
    assert [each.picture.path.name for each in spots] == ["0.png", "1.png", "2.png", "3.png"]
    layers = layers_of(model, pictures[0])
    assert layers == ["coarse", "fine"]
    rows = measured(model, spots, layers)
    way = chosen(rows, len(spots))
    assert (way.layer, way.chosen) == ("fine", 4)
    fine = next(row for row in rows if (row["layer"], row["method"]) == ("fine", "hirescam"))
    coarse = next(row for row in rows if (row["layer"], row["method"]) == ("coarse", "hirescam"))
    assert (fine["pointing"]["value"], coarse["pointing"]["value"]) == (1.0, 0.0)
    assert (fine["cells"], coarse["cells"]) == ([16, 16], [4, 4])
    assert fine["iou"]["value"] > 5 * coarse["iou"]["value"]
    assert fine["classes"]["hole"]["pointing"]["n"] == 4
    assert baselines(spots) == {"centre": 0.0, "chance": pytest.approx(16 / SIDE**2)}
    # On other pictures the shares of these are kept.
    kept = measured(model, spots[:1], ["fine"], dict.fromkeys(shares_of(rows), 0.3))
    assert {row["share"] for row in kept} == {0.3}


def test_where_it_is_in_words(pictures):
    exp = explain_class(Red().eval(), pictures[2].path, "hole", layer="fine", method="hirescam")
    left, top, right, bottom = strongest(exp, 0.5)
    assert left <= 13 < right
    assert top <= 49 < bottom
    assert place(exp, 0.5).startswith("lower left; ")


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, "0 %"), (0.001, "under 1 %"), (0.42, "42 %"), (0.997, "over 99 %"), (1.0, "100 %")]
)
def test_shares_to_read(share, told):
    assert percent(share) == told


def test_iou_by_hand():
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    a[0], b[:, 0] = True, True
    assert iou(a, b) == 1 / 5
    assert iou(a & False, b & False) == 0.0
    with pytest.raises(ExplainError, match="they have to be of one size"):
        iou(a, b.T)


def test_layers_that_have_no_say(pictures):
    model = Red().eval()
    with torch.no_grad():
        model.output.weight.zero_()
    spots = [Masked(pictures[0], "hole", np.ones((SIDE, SIDE), bool))]
    with pytest.raises(ExplainError, match="The classes depend on none of the layers fine; train anew, or longer"):
        measured(model, spots, ["fine"])
