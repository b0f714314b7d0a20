"""Names from labels of whole photographs: the index against its formula, and units whose class is planted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from mmcam import ExplainError, Preprocess
from mmcam.datasets.concepts import Concept
from mmcam.errors import PictureError
from mmcam.neurons.fingerprint import fingerprint
from mmcam.neurons.selectivity import activity, class_selectivity, most_selective, outstanding, selectivity
from mmcam.neurons.shuffled import orders


def of_classes(classes, groups):
    """(N,G): who is of which group of classes."""
    return torch.tensor([[each in group for group in groups] for each in classes])


@given(st.integers(0, 9999))
@settings(max_examples=30, deadline=None)
def test_the_index_is_that_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    means, member = rng.random((12, 3)) * 5, rng.random((12, 4)) < 0.4
    member[0], member[1] = True, False
    found = class_selectivity(torch.from_numpy(means), torch.from_numpy(member))
    for unit in range(3):
        for group in range(4):
            own = [means[i, unit] for i in range(12) if member[i, group]]
            others = [means[i, unit] for i in range(12) if not member[i, group]]
            a, b = sum(own) / len(own), sum(others) / len(others)
            assert found[unit, group].item() == pytest.approx((a - b) / (a + b), abs=1e-9)


def test_a_silent_unit_has_no_index():
    assert class_selectivity(torch.zeros(4, 2), torch.eye(4, dtype=torch.bool)).abs().max() == 0


CLASSES = [index % 8 for index in range(80)]
GROUPS = [{0}, {0, 1}, {0, 1, 2, 3}, {4}, {5, 6, 7}]  # a beagle is a dog is an animal; a car; plants


def planted(seed=0):
    """Unit 0 is driven by the class 0, unit 1 by 0 and 1 alike, unit 2 by 0 … 3, unit 3 by nothing, unit 4 is dead."""
    chance = torch.Generator().manual_seed(seed)
    means = torch.rand(80, 5, generator=chance)
    driven = of_classes(CLASSES, [{0}, {0, 1}, {0, 1, 2, 3}])
    means[:, :3] += 9 * driven
    means[:, 4] = 0
    return means, of_classes(CLASSES, GROUPS)


def test_planted_units_are_called_after_their_class_and_no_wider_or_narrower_one():
    concept, index, p = most_selective(*planted(), 199)
    assert concept[:3].tolist() == [0, 1, 2]
    assert (index[:3] > 0.8).all()
    assert p[:3].tolist() == [pytest.approx(1 / 200)] * 3
    assert p[3] > 0.05
    assert (index[4], p[4]) == (0, 1)


def test_p_is_that_of_loops():
    means, member = planted(3)
    means, member = means[:12, 1:4], member[:12, :3]
    concept, index, p = most_selective(means, member, 25, seed=5)
    shuffled = [member[order].numpy() for order in orders(12, 25, 5)]
    for unit in range(3):
        x = means[:, unit].numpy().astype(float)
        error = [x.std() * np.sqrt((12 - n) / (n * 11)) for n in member.sum(0).tolist()]  # without replacement
        far = [[(x[of[:, g]].mean() - x.mean()) / error[g] for g in range(3)] for of in shuffled]
        best = int(np.argmax(far[0]))
        assert concept[unit] == best
        assert p[unit].item() == pytest.approx(np.mean([max(row) >= far[0][best] - 1e-6 for row in far]))
        expected = class_selectivity(means, member)[unit, best].item()
        assert index[unit].item() == pytest.approx(expected, rel=1e-5)


def test_a_class_stands_out_by_what_chance_spreads():
    """Over all shuffles, the mean is 0 and the standard deviation 1, within what 4,000 of them show."""
    means, member = planted(2)
    rows = torch.stack([outstanding(means, member[order])[:4] for order in orders(80, 4000, 0)[1:]])
    torch.testing.assert_close(rows.mean(0), torch.zeros(4, 5, dtype=torch.float64), atol=0.07, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(4, 5, dtype=torch.float64), atol=0.06, rtol=0)


def test_units_of_noise_are_named_as_rarely_as_promised():
    """Within three standard errors of a twentieth of 400 units."""
    noise = torch.rand(80, 400, generator=torch.Generator().manual_seed(1)) ** 4
    _, _, p = most_selective(noise, planted()[1], 99)
    share = (p <= 0.05).float().mean()
    assert 0 < share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


# --- of a model -------------------------------------------------------------------------------------------------------


class Reds(nn.Module):
    """Its layer shows red and green as they are; `signed` shows their difference, too."""

    def __init__(self):
        super().__init__()
        self.signed = nn.Conv2d(3, 3, 1, bias=False)
        self.layer = nn.ReLU()
        self.signed.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, -1, 0]])[:, :, None, None]
        self.preprocess = Preprocess(size=(8, 8), mode="squash", mean=(0, 0, 0), std=(1, 1, 1))

    def forward(self, x):
        return self.layer(self.signed(x)).mean((2, 3))


class Walls:
    """Photographs of red and of green walls, a number for the whole picture, or a mask; the third cannot be read."""

    name = "walls"
    concepts = (Concept("warm", "class"), Concept("cold", "class"), Concept("rare", "class"))

    def __len__(self):
        return 31

    def picture(self, index):
        if index == 2:
            raise PictureError("Picture 2 is broken.")
        return Image.new("RGB", (9, 7), (200, 10, 0) if index % 3 else (10, 200, 0))

    def labels(self, index):
        wide = 1 if index % 3 else 2
        return [wide, 3] if index == 7 else [np.full((3, 3), wide) if index % 2 else wide, 0]


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_units_that_see_a_class_of_photographs(batch):
    model = Reds().eval()
    seen = activity(model, Walls(), "layer", batch=batch)
    assert seen.means.shape == (30, 3)
    assert seen.member.sum(0).tolist() == [19, 11, 1]
    found = selectivity(seen)
    assert [concept.name for concept in found.concepts] == ["warm", "cold"]  # one photograph shows nothing of the rare
    assert [(name.name, name.seen_in, name.p) for name in found.names().values()] == [
        (each, "photographs", pytest.approx(1 / 200)) for each in ("warm", "cold", "warm")
    ]
    assert found.index.tolist() == pytest.approx([190 / 210, 190 / 210, 1])
    assert (found.photographs, found.data, found.fingerprint) == (30, "walls", fingerprint(model, "layer"))
    assert list(found.names(0.95)) == [2]


def test_a_layer_without_a_relu_is_refused():
    with pytest.raises(ExplainError, match="signed has values below 0, and class selectivity is an index of activity"):
        activity(Reds().eval(), Walls(), "signed")


def test_too_few_photographs_and_none():
    class Few(Walls):
        def __len__(self):
            return 5

    class Broken(Walls):
        def __len__(self):
            return 9

        def picture(self, index):
            raise PictureError("broken")

    with pytest.raises(ExplainError, match="No class of walls has 10 photographs and as many that are of others"):
        selectivity(activity(Reds().eval(), Few(), "layer"))
    with pytest.raises(ExplainError, match="No photograph of walls can be read"):
        activity(Reds().eval(), Broken(), "layer")
