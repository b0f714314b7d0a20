"""The default layer: the last spatial map before it is pooled away."""

import pytest
import torch
import torchvision
from tiny import LAYERS, NETWORKS, Captioner, Gap, network, pictures, seeded
from torch import nn
from torch.nn import functional as F

import mmcam
from mmcam import ExplainError
from mmcam.engine.computation import Computation
from mmcam.places.find import find_layer, spatial
from mmcam.places.trace import trace


def default(model, x):
    return find_layer(model, model, x)


@pytest.mark.parametrize("name", NETWORKS)
def test_defaults_of_torchvision(name):
    assert default(network(name), pictures(1, 64)) == LAYERS[name]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("squeezenet1_1", "features"),  # not classifier.1: it holds one channel a class, the answer itself
        ("shufflenet_v2_x0_5", "conv5"),
        ("mnasnet0_5", "layers"),
        ("efficientnet_b0", "features"),
        ("convnext_tiny", "features"),
        ("regnet_y_400mf", "trunk_output"),
    ],
)
def test_defaults_of_other_families(name, layer):
    model = getattr(torchvision.models, name)(weights=None, num_classes=10).eval()
    assert default(model, pictures(1, 64)) == layer


def test_a_small_picture_does_not_decide_for_a_large_one():
    """At 32 pixels ResNet's last stage is a single cell; the layer found then must not stick."""
    model = torchvision.models.resnet18(weights=None).eval()
    assert default(model, pictures(1, 32)) == "layer3"
    assert default(model, pictures(1, 64)) == "layer4"
    assert mmcam.attribute(model, pictures(1, 96), [0]).shape == (1, 1, 3, 3)
    assert mmcam.attribute(model, pictures(1, 32), [0]).shape == (1, 1, 2, 2)


def test_the_traced_forward_runs_once_for_a_model():
    model, x = seeded(Gap), pictures()
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        default(model, x)
    assert len(calls) == 1


def test_a_model_is_not_kept_alive():
    import gc
    import weakref

    model = seeded(Gap)
    default(model, pictures())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Pooled(nn.Module):
    def __init__(self, end):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5))
        self.end = end

    def forward(self, x):
        return self.end(self.body(x))


def test_pooled_maps_dropout_and_single_cells_are_passed_over():
    model = seeded(Pooled, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)))
    assert default(model, pictures()) == "body.1"


def test_a_shared_module_is_not_chosen():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU()

        def forward(self, x):
            return self.relu(self.second(self.relu(self.first(x)))).mean((2, 3))

    assert default(seeded(Shared), pictures()) == "second"


class Tokens(nn.Module):
    """Patches as tokens through a normalisation and a linear layer; `read` turns what comes out into one vector."""

    def __init__(self, read):
        super().__init__()
        self.patches, self.norm, self.block = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 8)
        self.read, self.fc = read, nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.fc(self.read(self.block(self.norm(tokens)).tanh()))


def test_tokens_have_a_layer_of_their_own():
    model, x = seeded(Tokens, lambda tokens: tokens.mean(1)), pictures()
    assert default(model, x) == "norm"  # not "block": a bare linear layer may be a part of an attention
    assert mmcam.attribute(model, x, [0, 1]).shape == (2, 2, 4, 4)


def test_tokens_without_a_say_are_passed_over():
    """What is normalised is thrown away: only the map of the convolution reaches the output."""

    class Aside(Tokens):
        def forward(self, x):
            maps = self.patches(x)
            self.norm(maps.flatten(2).transpose(1, 2))
            return self.fc(maps.tanh().mean((2, 3)))

    model = seeded(Aside, None)
    assert default(model, pictures()) == "patches"


def test_an_output_without_gradients_is_an_error():
    class Cut(Tokens):
        def forward(self, x):
            return super().forward(x).argmax(1).float()

    model = seeded(Cut, lambda tokens: tokens.mean(1))
    with pytest.raises(ExplainError, match="that shows a map has a say in its output; name a layer"):
        default(model, pictures())


def test_a_model_without_a_map():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    with pytest.raises(ExplainError, match=r"No layer of Sequential gives a spatial map \(N,K,h,w\)"):
        default(model, pictures())


def test_a_captioners_default_is_its_encoder():
    model = seeded(Captioner)
    exp = mmcam.explain_caption(model, pictures(1, 32)[0], 0)
    assert exp.layer == "encoder"


def test_trace_lists_outputs_in_order_and_leaves_no_hooks():
    model = seeded(Gap)
    calls = trace(model, model, pictures())
    assert [call.name for call in calls][-3:] == ["features", "pool", "fc"]
    assert calls[-2].pooled
    assert calls[0].shape == (2, 8, 16, 16)
    assert [spot.call.name for spot in spatial(model, model, pictures())][-1] == "features"
    assert not any(module._forward_hooks for module in model.modules())


def test_trace_leaves_no_hooks_after_an_exception():
    model = seeded(Gap)
    with pytest.raises(RuntimeError):
        trace(model, model, torch.zeros(1, 5, 4, 4))
    assert not any(module._forward_hooks for module in model.modules())


def test_functional_pooling_needs_no_module():
    class Functional(Gap):
        def forward(self, x):
            return self.fc(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))

    assert default(seeded(Functional), pictures()) == "features"


def test_a_head_of_zeros_is_named():
    """As many networks have it before training: nothing has a say, and the reader should hear why."""
    from torchvision.models import VisionTransformer

    net = VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16).eval()
    x = pictures(1, 32)
    said = "the weights of its last layer, 'heads.head', are all zero, as before training; load trained ones"
    with pytest.raises(ExplainError, match=f"has a say in its output, probably because {said}"):
        find_layer(net, net, x)
    layer = "encoder.layers.encoder_layer_1.ln_1"
    with pytest.raises(ExplainError, match=f"its gradient there is zero, probably because {said}"):
        mmcam.attribute(net, x, [3], layer=layer)
    nn.init.normal_(net.heads.head.weight)
    assert find_layer(net, net, x) == layer
    assert mmcam.attribute(net, x, [3]).any()
    # A layer that does not count for another reason is not blamed on the head.
    with pytest.raises(ExplainError, match="its gradient there is zero; choose another layer"):
        mmcam.attribute(net, x, [3], layer="encoder.layers.encoder_layer_1")


def layer_of(model, x, target):
    """The default layer of one target."""
    return find_layer(model, model, x, Computation(model, lambda pictures, rows: model(pictures), x, [target]))


class Segments(nn.Module):
    """A small U-Net: scores (N,C,H,W) of every pixel."""

    def __init__(self, classes=5):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.up = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.scores = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        scores = self.scores(self.up(self.down(x)))
        return {"out": nn.functional.interpolate(scores, x.shape[-2:], mode="bilinear")}


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_the_answer_of_a_segmentation_is_no_evidence(classes):
    """The map of one class's scores would be these scores, whichever pixels are asked."""
    model, x = seeded(Segments, classes), pictures(1, 32)
    corners = [lambda out: out["out"][:, 0, :8, :8].mean((1, 2)), lambda out: out["out"][:, 0, -8:, -8:].mean((1, 2))]
    for corner in corners:
        assert layer_of(model, x, corner).startswith("up")
    one, other = (mmcam.attribute(model, x, [corner], method="hirescam")[0, 0] for corner in corners)
    assert one[-4:, -4:].sum() == other[:4, :4].sum() == 0, "each map lies where its pixels are"
    assert one.sum() + other.sum() > 0


def test_a_last_stage_with_as_many_channels_as_outputs_is_kept():
    ten = nn.Sequential(
        nn.Conv2d(3, 10, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 10)
    ).eval()
    assert layer_of(ten, pictures(2, 32), lambda out: out[:, 3]) == "1"
    with pytest.raises(
        ExplainError, match=r"have one channel an output, as its answer has; name one of them: layer='1'"
    ):
        find_layer(ten, ten, pictures(2, 32))
    headless = torchvision.models.resnet18(weights=None).eval()
    headless.fc = nn.Identity()
    other = torch.randn(512)
    x = pictures(1, 64)
    similar = layer_of(headless, x, lambda out: torch.cosine_similarity(out, other[None], dim=1))
    assert similar == "layer4"
    assert layer_of(headless, x, lambda out: out[:, 3]) != "layer4", "that is its third channel's mean"


def test_class_maps_that_are_averaged_to_the_answer_are_left_out():
    model, x = seeded(torchvision.models.squeezenet1_0, weights=None), pictures(1, 96)
    assert layer_of(model, x, lambda out: out[:, 5]) == find_layer(model, model, x) == "features"


@pytest.mark.parametrize("seed", range(3))
def test_classes_taken_together_have_the_layer_that_each_has(seed):
    """Whichever scores a ReLU leaves of them in a picture; what reads all scores is computed from their maps."""
    model = seeded(torchvision.models.squeezenet1_0, weights=None)
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(seed))
    for several in ([5, 6], [1, 2, 3, 4, 5, 6], list(range(0, 1000, 100))):
        assert layer_of(model, x, lambda out, several=several: out[:, several].logsumexp(1)) == "features"
    assert layer_of(model, x, lambda out: out.logsumexp(1)) == "classifier.2"


def test_a_backbone_that_runs_twice_is_named_with_its_calls():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())

        def forward(self, x):
            one, other = self.features(x).mean((2, 3)), self.features(x.flip(-1)).mean((2, 3))
            return torch.cat([one, other], 1)

    with pytest.raises(mmcam.ExplainError, match=r"run several times in one forward.*layer='features'.* with call=0…1"):
        mmcam.attribute(seeded(Siamese), pictures(1, 32), [0])
    assert mmcam.attribute(
        seeded(Siamese), pictures(1, 32), [lambda out: out.sum(1)], layer="features", call=1
    ).shape == (1, 1, 15, 15)
