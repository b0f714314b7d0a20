"""Factors against two libraries', and of networks and pictures whose concepts are known."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import NMF
from state import State
from tiny import Captioner, Gap, network, pictures, seeded
from torch import nn

from mmcam import ExplainError, record
from mmcam.neurons.factors import factorise
from mmcam.neurons.nmf import nmf


def parts(rows=60, channels=24, k=4, noise=0.0):
    """A sum of k parts that hardly share rows or channels."""
    rng = np.random.default_rng(0)
    w = rng.random((rows, k)) * (rng.random((rows, k)) < 0.4)
    h = rng.random((k, channels)) * (rng.random((k, channels)) < 0.4)
    return w @ h + noise * rng.random((rows, channels)), h


@pytest.mark.parametrize("k", [2, 4])
def test_as_another_library_by_the_same_updates(k):
    x, _ = parts(noise=0.05)
    theirs = NMF(k, init="nndsvda", solver="mu", tol=1e-4, max_iter=1000)
    w = theirs.fit_transform(x)
    ours = nmf(torch.tensor(x), k)
    np.testing.assert_allclose((ours[0] @ ours[1]).numpy(), w @ theirs.components_, atol=1e-3)
    assert min(ours[0].min(), ours[1].min()) >= 0


def test_planted_parts_are_found():
    x, h = parts()
    w, found = nmf(torch.tensor(x), 4, tolerance=1e-7, most=5000)
    alike = (h / np.linalg.norm(h, axis=1, keepdims=True)) @ (found / found.norm(dim=1, keepdim=True)).T.numpy()
    rows, columns = linear_sum_assignment(-alike)
    assert alike[rows, columns].min() > 0.98
    assert float(torch.linalg.norm(torch.tensor(x) - w @ found)) < 0.03 * np.linalg.norm(x)


def test_no_worse_than_another_library_on_a_network():
    net, x = network("resnet18", 5), pictures(6, 96)
    a = record(net, x, "layer3")["layer3"]
    concepts, maps = dff(a.numpy(), n_components=4)  # its factors of A, each channel less its minimum
    state = State(net)
    found = factorise(net, list(x), 4, layer="layer3")
    state.check()
    assert (found.maps.shape, found.concepts.shape, found.layer) == ((6, 4, 6, 6), (4, 256), "layer3")
    assert found.maps.amax((0, 2, 3)).tolist() == pytest.approx([1] * 4)
    ours = torch.einsum("njhw,jk->nkhw", found.maps, found.concepts)
    shifted = a.numpy().transpose(1, 0, 2, 3).reshape(256, -1)
    shifted = (shifted - shifted.min(-1, keepdims=True)).reshape(256, 6, 6, 6).transpose(1, 0, 2, 3)
    theirs = np.einsum("njhw,kj->nkhw", maps, concepts)
    error = float(((a - ours) ** 2).sum())
    assert found.share == pytest.approx(1 - error / float((a**2).sum()), abs=1e-5)
    assert error < 1.02 * float(((shifted - theirs) ** 2).sum())


def test_what_a_concept_speaks_for_is_the_last_layers_answer():
    net, x = seeded(Gap), pictures(4)
    found = factorise(net, list(x), 3, layer="features.3", names=list("abcde"))
    torch.testing.assert_close(found.speaks, found.concepts @ net.fc.weight.T.detach(), rtol=1e-4, atol=1e-5)
    best = int(found.speaks[1].argmax())
    assert found.classes(1)[0] == ("abcde"[best], pytest.approx(float(found.speaks[1, best])))


class Coloured(nn.Module):
    """Channels that are the colours of a picture, one class for each."""

    def __init__(self):
        super().__init__()
        self.colours = nn.Sequential(nn.AvgPool2d(4), nn.ReLU())
        self.fc = nn.Linear(3, 3, bias=False)
        self.fc.weight.data = torch.eye(3)

    def forward(self, x):
        return self.fc(self.colours(x).mean((2, 3)))


def test_a_mask_is_where_the_concept_was_drawn():
    x = torch.zeros(2, 3, 32, 32)
    x[0, 0, :16, :16] = x[1, 0, 16:, 8:24] = 1  # red, in both
    x[0, 2, 20:28, 20:28] = 0.8  # blue, in one
    found = factorise(seeded(Coloured), list(x), 2, layer="colours", names=["red", "green", "blue"])
    assert [found.classes(j, 1)[0][0] for j in (0, 1)] == ["red", "blue"]
    assert found.share == pytest.approx(1, abs=1e-3)
    for j, colour in ((0, 0), (1, 2)):
        for n in (0, 1):
            drawn, own = x[n, colour].numpy() > 0, found.mask(n, j)
            assert (drawn & own).sum() >= 0.8 * (drawn | own).sum()


def test_batches_change_nothing():
    net, x = seeded(Gap), list(pictures(5))
    one, other = (factorise(net, x, 2, layer="features.3", batch=size) for size in (2, 32))
    torch.testing.assert_close(one.maps, other.maps, rtol=1e-4, atol=1e-5)


class Looking(Captioner):
    """Its captions hang on the picture."""

    def generate(self, x):
        return [[1 + int(row.argmax())] for row in self.picture(self.encoder(x).flatten(1))[:, :5]]


def test_a_captioners_concepts_speak_for_no_class():
    found = factorise(seeded(Looking), list(pictures(3, 32)), 2, layer="encoder")
    assert found.speaks is None
    with pytest.raises(ExplainError, match="speak for none"):
        found.classes(0)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"k": 0}, r"pass 1…8"),
        ({"k": 9}, r"k=9 concepts cannot be found in 512 cells of 8 channels"),
        ({"k": True}, "cannot be found"),
        ({"layer": "features.2"}, "activations below 0"),
        ({"images": []}, "no pictures"),
    ],
)
def test_what_cannot_be_split_says_so(given, text):
    with pytest.raises(ExplainError, match=text):
        factorise(seeded(Gap), given.pop("images", list(pictures(2))), **{"layer": "features.3", "k": 2, **given})
