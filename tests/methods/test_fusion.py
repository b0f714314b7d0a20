"""Several layers in one map, by hand and against torchcam."""

import itertools
import re
import warnings

import numpy as np
import pytest
import torch
import torchcam.methods
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import VQA, Captioner, network, pictures, seeded
from torch import nn

import mmcam
from mmcam import METHODS, ExplainError, attribute
from mmcam.engine.computation import Computation
from mmcam.engine.run import run, run_at
from mmcam.methods import Maps
from mmcam.methods.fusion import fuse
from mmcam.places.survey import layer_at


class Pyramid(nn.Module):
    """Layers of 6 × 10, 3 × 5 and 2 × 3 cells, and one linear layer."""

    def __init__(self):
        super().__init__()
        self.fine, self.middle = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 6, 3, 2, 1)
        self.coarse = nn.Conv2d(6, 4, 3, 2, 1)
        self.head = nn.Linear(4 * 2 * 3, 5)

    def forward(self, x):
        return self.head(self.coarse(self.middle(self.fine(x).relu()).relu()).relu().flatten(1))


LAYERS = ("fine", "middle", "coarse")


def small(n=2):
    return torch.randn(n, 3, 6, 10, generator=torch.Generator().manual_seed(1))


class Modules(nn.Sequential):
    """The same kind of network with its ReLUs as modules."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(6 * 3 * 5, 5),
        )  # fmt: skip


def maps_of(*values):
    """Maps of one target and one picture from nested lists."""
    return [Maps(torch.tensor(value)[None, None].float(), torch.zeros(1, 1)) for value in values]


def test_the_greatest_of_two_layers_by_hand():
    """[[8, 2], [-4, 4]] / 8 and [[1, 3], [6, 0]] / 6, cell by cell; negative values count as nothing."""
    fused = fuse(maps_of([[8, 2], [-4, 4]], [[1, 3], [6, 0]]))
    torch.testing.assert_close(fused.values, torch.tensor([[[[1.0, 1 / 2], [1.0, 1 / 2]]]]))


def test_a_coarse_map_is_enlarged_by_hand():
    """Cell centres lie at half cells: 0 and 1 become 0, 1/4, 3/4, 1 in a row twice as long."""
    fused = fuse(maps_of([[0, 5]], [[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 1.0]]))
    expected = torch.tensor([[0.0, 0.25, 0.75, 1.0], [0.5, 0.25, 0.75, 1.0]])
    torch.testing.assert_close(fused.values[0, 0], expected)


def test_a_map_that_is_positive_nowhere_adds_nothing():
    one, none, empty = maps_of([[2, 0], [1, -1]], [[-3, -1], [-2, -5]], [[0, 0], [0, 0]])
    alone = fuse([one]).values
    torch.testing.assert_close(alone, torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]]))
    assert torch.equal(fuse([one, none, empty]).values, alone)
    assert torch.equal(fuse([none, empty]).values, torch.zeros(1, 1, 2, 2))


def test_every_target_and_picture_is_scaled_by_its_own_maximum():
    rng = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 3, 4, 6, generator=rng), 100 * torch.randn(2, 3, 2, 3, generator=rng)]
    scores = torch.randn(2, 3, generator=rng)
    fused = fuse([Maps(part, scores) for part in parts])
    assert fused.values.shape == (2, 3, 4, 6)
    assert torch.equal(fused.scores, scores)
    assert fused.weights is None
    for t, n in itertools.product(range(2), range(3)):
        alone = fuse([Maps(part[t : t + 1, n : n + 1], scores[t : t + 1, n : n + 1]) for part in parts])
        torch.testing.assert_close(fused.values[t, n], alone.values[0, 0])


@given(seed=st.integers(0, 2**32 - 1), layers=st.integers(1, 3), scale=st.sampled_from([2.0**-20, 8.0, 2.0**30]))
@settings(max_examples=30, deadline=None)
def test_order_and_scale_of_the_layers_do_not_matter(seed, layers, scale):
    rng = torch.Generator().manual_seed(seed)
    sizes = [(6, 4), (3, 2), (2, 1)][:layers]
    maps = [Maps(torch.randn(1, 2, *size, generator=rng), torch.zeros(1, 2)) for size in sizes]
    fused = fuse(maps).values
    assert fused.min() >= 0
    assert fused.max() <= 1 + 1e-6
    assert torch.equal(fuse(maps[::-1]).values, fused)
    assert torch.equal(fuse([Maps(m.values * scale, m.scores) for m in maps]).values, fused)
    own = maps[0].values.relu()
    own = own / own.amax((2, 3), keepdim=True).clamp(min=1e-30)
    assert (fused >= own - 1e-6).all(), "a cell of the finest layer got less than its own share"


@pytest.mark.parametrize("sizes", [((4, 6), (2, 3)), ((2, 3), (4, 6), (8, 12)), ((5, 5), (5, 5))], ids=str)
def test_torchcams_fusion_of_maps_scaled_to_their_maximum(sizes):
    """Its base rule; its LayerCAM puts tanh(2·) on each map first, for which it names that paper's eq. 9."""
    rng = torch.Generator().manual_seed(0)
    parts = [torch.rand(3, *size, generator=rng) for size in sizes]
    expected = torchcam.methods.GradCAM.fuse_cams([part / part.amax((1, 2), keepdim=True) for part in parts])
    fused = fuse([Maps(part[None], torch.zeros(1, 3)) for part in parts])
    torch.testing.assert_close(fused.values[0], expected, rtol=1e-5, atol=1e-6)


def test_torchcams_fusion_of_layers_of_a_network():
    model, x, layers = network("resnet18"), pictures(2, 96), ["layer2", "layer3", "layer4"]
    with torchcam.methods.GradCAM(model, layers) as peer, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cams = peer([3, 1], model(x), normalized=False)
    expected = torchcam.methods.GradCAM.fuse_cams([cam / cam.amax((1, 2), keepdim=True) for cam in cams])
    got = attribute(model, x, [torch.tensor([3, 1])], layer=layers)[0]
    assert got.shape == (2, 12, 12)
    torch.testing.assert_close(got, expected.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "layercam", "hirescam", "smooth_gradcam++", "scorecam"])
def test_a_list_of_layers_fuses_the_maps_of_each(method):
    net, x = seeded(Pyramid), small()
    targets = [0, 3]
    for layers in itertools.chain(itertools.permutations(LAYERS, 2), [LAYERS, LAYERS[::-1]]):
        each = [attribute(net, x, targets, layer=layer, method=method) for layer in layers]
        assert sum(bool(maps.max() > 0) for maps in each) > 1
        expected = fuse([Maps(maps, torch.zeros(2, 2)) for maps in each]).values
        got = attribute(net, x, targets, layer=list(layers), method=method)
        assert torch.equal(got, expected)
        assert got.shape[2:] == ((6, 10) if "fine" in layers else (3, 5))
        assert torch.equal(attribute(net, x, targets, layer=tuple(layers), method=method), got)


def test_options_reach_every_layer():
    net, x = seeded(Pyramid), small()
    options = {"method": "gradcam", "counterfactual": True, "absolute": True}
    each = [Maps(attribute(net, x, [0], layer=layer, **options), torch.zeros(1, 2)) for layer in LAYERS]
    got = attribute(net, x, [0], layer=list(LAYERS), **options)
    assert torch.equal(got, fuse(each).values)
    assert not torch.allclose(got, attribute(net, x, [0], layer=list(LAYERS)))


@pytest.mark.parametrize("method", ["gradcam", "guided_gradcam", "smoothgrad"])
def test_a_list_of_one_layer_is_that_layer(method):
    """Not scaled, for every kind of map, and with the layer's own weights."""
    net, x = seeded(Pyramid), small()
    expected = attribute(net, x, [0, 1], layer="middle", method=method)
    assert expected.abs().max() > 0
    assert torch.equal(attribute(net, x, [0, 1], layer=["middle"], method=method), expected)


def test_one_listed_layer_keeps_its_name_and_weights():
    net, x = seeded(Pyramid), small(1)
    exp = mmcam.explain_class(net, x[0], 1, layer=["middle"])
    assert exp.layer == "middle"
    assert exp.weights.shape == (6,)


def test_the_explanation_names_all_layers():
    net, x = seeded(Pyramid), small(1)
    exp = mmcam.explain_class(net, x[0], 1, layer=["coarse", "fine"], method="layercam")
    assert exp.layer == "coarse + fine"
    assert exp.weights is None
    assert exp.score == pytest.approx(float(net(x)[0, 1].detach()))
    assert torch.equal(exp.values, attribute(net, x, [1], layer=["coarse", "fine"], method="layercam")[0, 0])
    assert float(exp.values.max()) == 1.0


def test_the_predicted_class_is_one_for_all_layers():
    net, x = seeded(Pyramid), small(2)
    asked = mmcam.explain_class(net, list(x), layer=["fine", "coarse"])
    told = mmcam.explain_class(net, list(x), net(x).argmax(1).tolist(), layer=["fine", "coarse"])
    assert [exp.target for exp in asked] == [exp.target for exp in told]
    assert all(torch.equal(a.values, b.values) for a, b in zip(asked, told, strict=True))


def test_words_and_answers_from_several_layers():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    captioner, answerer, layers = seeded(Captioner), seeded(VQA), ["encoder.1", "encoder.3"]

    def fused(explain):
        each = [Maps(explain(layer).values[None, None], torch.zeros(1, 1)) for layer in layers]
        got = explain(layers)
        assert got.layer == "encoder.1 + encoder.3"
        assert got.values.max() > 0
        torch.testing.assert_close(got.values, fuse(each).values[0, 0], rtol=1e-4, atol=1e-5)

    fused(lambda layer: mmcam.explain_caption(captioner, image, "dog", caption="a dog runs", layer=layer))
    fused(lambda layer: mmcam.explain_answer(answerer, image, "what is it", "two", layer=layer))
    # Two texts a picture, whose rows behind the first layer add up.
    rather = {"caption": "a dog runs", "contrast": "cat"}
    fused(lambda layer: mmcam.explain_caption(captioner, image, "dog", layer=layer, method="layercam", **rather))


def test_the_product_of_two_layers_by_hand():
    """[[8, 2], [-4, 4]] / 8 times [[1, 3], [6, 0]] / 6, cell by cell; negative values count as nothing."""
    fused = fuse(maps_of([[8, 2], [-4, 4]], [[1, 3], [6, 0]]), "product")
    torch.testing.assert_close(fused.values, torch.tensor([[[[1 / 6, 1 / 8], [0.0, 0.0]]]]))


def test_a_coarse_factor_is_enlarged_by_hand():
    fused = fuse(maps_of([[0, 5]], [[4.0, 2.0, 4.0, 0.0]]), "product")
    torch.testing.assert_close(fused.values[0, 0], torch.tensor([[0.0, 1 / 8, 3 / 4, 0.0]]))


def test_a_product_with_an_empty_factor_is_empty():
    one, none = maps_of([[2, 0], [1, -1]], [[-3, -1], [-2, -5]])
    fused = fuse([one, none], "product")
    assert torch.equal(fused.values, torch.zeros(1, 1, 2, 2))
    assert fused.positive.tolist() == [[[True]], [[False]]]


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([2.0**-20, 8.0, 2.0**30]))
@settings(max_examples=20, deadline=None)
def test_a_product_is_below_every_factor_and_blind_to_scale_and_order(seed, scale):
    rng = torch.Generator().manual_seed(seed)
    maps = [Maps(torch.randn(1, 2, *size, generator=rng), torch.zeros(1, 2)) for size in [(6, 4), (3, 2)]]
    product, highest = fuse(maps, "product").values, fuse(maps).values
    assert product.min() >= 0
    assert (product <= highest + 1e-6).all()
    assert torch.equal(fuse(maps[::-1], "product").values, product)
    assert torch.equal(fuse([Maps(m.values * scale, m.scores) for m in maps], "product").values, product)


def test_the_product_of_layers_is_that_of_plain_autograd():
    """LayerCAM of two layers from one recorded forward on the bare network."""
    net, x = seeded(Pyramid), small()
    with torch.enable_grad():
        fine = net.fine(x)
        middle = net.middle(fine.relu())
        score = net.head(net.coarse(middle.relu()).relu().flatten(1))[:, 3].sum()
        gradients = torch.autograd.grad(score, [fine, middle])
    factors = []
    for activations, gradient in zip((fine, middle), gradients, strict=True):
        cam = (gradient.relu() * activations).sum(1).relu()
        factors.append(cam / cam.amax((1, 2), keepdim=True))
    large = torch.nn.functional.interpolate(factors[1][:, None], (6, 10), mode="bilinear")[:, 0]
    got = attribute(net, x, [3], layer=["middle", "fine"], method="layercam", fuse="product")[0]
    assert got.max() > 0
    torch.testing.assert_close(got, (factors[0] * large).detach(), rtol=1e-4, atol=1e-6)


def counted(net, modules):
    """Forward passes and backward passes that reach each module from now on."""
    runs = dict.fromkeys(modules, 0)
    backs = dict.fromkeys(modules, 0)

    def forward(name):
        def hook(module, inputs, output):
            runs[name] += 1
            if output.requires_grad:
                output.register_hook(lambda gradient: backs.__setitem__(name, backs[name] + 1))

        return hook

    for name in modules:
        net.get_submodule(name).register_forward_hook(forward(name))
    return runs, backs


@pytest.mark.parametrize("method", ["gradcam", "layercam", "gradcam++"])
def test_several_layers_cost_one_forward_and_one_backward(method):
    net, x = seeded(Pyramid), small(1)
    attribute(net, x, [0], layer=["fine", "coarse"], method=method)  # what is measured once is known from here on
    runs, backs = counted(net, ["fine", "middle", "coarse", "head"])
    attribute(net, x, [0], layer=["coarse", "fine"], method=method, fuse="product")
    assert runs == {"fine": 1, "middle": 1, "coarse": 1, "head": 1}
    assert backs == {"fine": 0, "middle": 1, "coarse": 1, "head": 1}, "before the first layer nothing is recorded"


class Branches(nn.Module):
    """Two encoders of one picture that meet in the head."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 5, 3, 2, 1)
        self.head = nn.Linear(4 + 5, 5)

    def forward(self, x):
        return self.head(torch.cat([self.left(x).relu().mean((2, 3)), self.right(x).sigmoid().mean((2, 3))], 1))


@pytest.mark.parametrize("fusion", ["max", "product"])
def test_layers_on_branches_beside_each_other(fusion):
    """The second one does not lie behind the first: both are where gradients begin."""
    net, x = seeded(Branches), small()
    each = [attribute(net, x, [0, 3], layer=layer, method="layercam") for layer in ("left", "right")]
    expected = fuse([Maps(maps, torch.zeros(2, 2)) for maps in each], fusion).values
    got = attribute(net, x, [0, 3], layer=["left", "right"], method="layercam", fuse=fusion)
    assert got.max() > 0
    torch.testing.assert_close(got, expected)


class Coupled(Pyramid):
    """Its rows influence each other, so each is explained in a pass of its own."""

    def forward(self, x):
        out = super().forward(x)
        return out + out.mean(0)


@pytest.mark.parametrize("make", [Pyramid, Coupled])
def test_evidence_at_several_layers_is_that_at_each(make):
    net, x = seeded(make), small(3)
    c = Computation(net, lambda p, _: net(p), x, [lambda out: out[:, 0], lambda out: out[:, 2] - out[:, 1]])
    layers = [layer_at(net, c.alone, x, name) for name in LAYERS]
    together = run_at(c, layers[::-1])[::-1]
    for layer, own in zip(layers, together, strict=True):
        alone = run(c, layer)
        torch.testing.assert_close(own.activations, alone.activations)
        torch.testing.assert_close(own.gradients, alone.gradients)
        torch.testing.assert_close(own.scores, alone.scores)


def test_a_layer_without_a_say_is_named():
    class Blind(Pyramid):
        def forward(self, x):
            self.fine(x)
            return self.head(self.coarse(self.middle(torch.cat([x, x[:, :2]], 1)).relu()).relu().flatten(1))

    with pytest.raises(ExplainError, match="does not depend on layer 'fine'"):
        attribute(seeded(Blind), small(), [0], layer=["coarse", "fine"], method="layercam")


def test_a_product_says_why_it_is_empty():
    class Dark(Pyramid):
        def forward(self, x):
            return self.head(-self.coarse(self.middle(self.fine(x).relu()).relu()).relu().flatten(1) - 1)

    net, x = seeded(Dark), small(1)
    with torch.no_grad():
        net.head.weight.abs_()
    exp = mmcam.explain_class(net, x[0], 1, layer=["coarse", "fine"], method="hirescam", fuse="product")
    assert exp.empty
    assert exp.layer == "coarse × fine"
    assert exp.summary()["options"]["fuse"] == "product"
    assert "at coarse nothing in the picture raises the score" in exp.note


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layer": ["fine", "coarse"], "fuse": "sum"}, "There is no fusion 'sum'; choose 'max' or 'product'."),
        ({"layer": "fine", "fuse": "product"}, "fuse='product' joins the maps of several layers; name them"),
        ({"fuse": "product"}, "fuse='product' joins the maps of several layers; name them"),
    ],
)
def test_a_fusion_of_nothing_is_one_sentence(options, sentence):
    with pytest.raises(ExplainError, match=re.escape(sentence)):
        attribute(seeded(Pyramid), small(), [0], **options)


@pytest.mark.parametrize("cam", ["gradcam", "layercam"])
def test_guided_gradients_times_the_fused_map(cam):
    """The network's ReLUs are functions; as modules their rule can be changed."""
    net, x = seeded(Modules), small()
    guided = attribute(net, x, [0, 3], method="guided_backprop")
    layers = ["0", "2"]
    fused = attribute(net, x, [0, 3], layer=layers, method=cam, fuse="product")
    up = torch.nn.functional.interpolate(fused, x.shape[2:], mode="bilinear")
    got = attribute(net, x, [0, 3], layer=layers, method="guided_gradcam", cam=cam, fuse="product")
    assert got.abs().max() > 0
    torch.testing.assert_close(got, guided * up[:, :, None])


def test_an_unknown_map_for_guided_gradients_is_one_sentence():
    with pytest.raises(ExplainError, match="There is no class activation map 'scorecam' of evidence alone; choose of"):
        attribute(seeded(Modules), small(), [0], method="guided_gradcam", cam="scorecam")


JOINED = ("guided_gradcam", "deconv_gradcam")


@pytest.mark.parametrize("method", [name for name, m in METHODS.items() if m.pixels and name not in JOINED])
def test_pixel_maps_belong_to_no_layer(method):
    options = {"n": 2} if method == "smoothgrad" else {}
    with pytest.raises(ExplainError, match=r"(belong to|reads) no layer, so there is nothing to fuse"):
        attribute(seeded(Pyramid), small(), [0], layer=["fine", "coarse"], method=method, **options)


def test_an_empty_list_of_layers_is_refused():
    net, x = seeded(Pyramid), small()
    with pytest.raises(ExplainError, match=r"The list of layers is empty; name at least one\."):
        attribute(net, x, [0], layer=[])
    with pytest.raises(ExplainError, match=r"The list of layers is empty; name at least one\."):
        mmcam.explain_class(net, x[0], 0, layer=[])


def test_an_unknown_layer_of_the_list_is_named_before_anything_is_computed():
    net, x = seeded(Pyramid), small()
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(ExplainError, match="There is no layer 'midle' in Pyramid; did you mean middle"):
        attribute(net, x, [0], layer=["fine", "midle"])
    assert not calls
