"""Classes by every name and shape a user may ask for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tiny import SMALL, Deep, network, pictures, reference_gradcam, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute, explain_class

NAMES = ("tench, Tinca tinca", "tabby cat", "Tiger Cat", "dog, hound", "boat")


@pytest.fixture
def model():
    net = seeded(Deep, 32)
    net.classes = NAMES
    net.preprocess = SMALL
    with torch.no_grad():
        net.head[0].weight.mul_(12)  # pictures of noise then differ in their predictions
    return net.requires_grad_(False)


def picture(seed=0, size=(40, 30)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def cam(model, image, target):
    return attribute(model, model.preprocess(image)[0][None], [target])[0, 0]


def test_one_class_of_one_picture(model):
    image = picture()
    exp = explain_class(model, image, 1)
    x = SMALL(image)[0][None]
    expected = reference_gradcam(model, "features", lambda: model(x)[:, 1].sum())[0]
    torch.testing.assert_close(exp.values, expected)
    assert exp.score == pytest.approx(float(model(x)[0, 1]))
    assert (exp.target, exp.layer, exp.method, exp.model) == ("tabby cat", "features", "gradcam", "Deep")
    assert exp.heatmap.shape == (30, 40)
    assert exp.version == mmcam.__version__
    assert exp.weights.shape == (6,)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("tabby cat", 1),
        ("TABBY CAT", 1),
        ("tiger cat", 2),
        ("tench", 0),
        ("tinca tinca", 0),
        (" Hound ", 3),
        ("boat", 4),
    ],
)
def test_names_whatever_the_case_and_synonyms(model, name, index):
    exp = explain_class(model, picture(), name)
    assert exp.target == NAMES[index]
    torch.testing.assert_close(exp.values, cam(model, picture(), index))


def test_an_unknown_name_lists_close_ones(model):
    with pytest.raises(ExplainError, match="There is no class 'tabby'; the closest are tabby cat"):
        explain_class(model, picture(), "tabby")
    with pytest.raises(ExplainError, match=r"the closest are .*tiger cat"):
        explain_class(model, picture(), "tigger cat")
    with pytest.raises(ExplainError, match="There is no class 'xyzzy'; there are tench, Tinca tinca, tabby cat"):
        explain_class(model, picture(), "xyzzy")
    with pytest.raises(ExplainError, match="no class 'zebra'"):
        explain_class(model, picture(), 0, contrast="zebra")


def test_a_name_of_two_classes_is_not_guessed(model):
    """ImageNet has two cranes and two maillots."""
    for name, names, found in (
        ("crane", ["a", "crane", "b", "crane", "c"], r"\[1, 3\]"),
        ("pier", ["dock, pier", "quay, pier", "a", "b", "c"], r"\[0, 1\]"),
    ):
        with pytest.raises(ExplainError, match=rf"There are 2 classes named .*: {found}; pass the index"):
            explain_class(model, picture(), name, names=names)
    exact = ["a", "crane", "b", "Crane", "crane, bird"]
    assert explain_class(model, picture(), "crane", names=exact).target == "crane"


def test_names_are_asked_for_where_there_are_none():
    net = seeded(Deep, 32)
    with pytest.raises(ExplainError, match=r"have no names, so 'cat' cannot be found; pass names=\[…\]"):
        explain_class(net, picture(), "cat", preprocess=SMALL)
    exp = explain_class(net, picture(), "cat", preprocess=SMALL, names=["dog", "cat", "a", "b", "c"])
    assert exp.target == "cat"
    assert explain_class(net, picture(), 3, preprocess=SMALL).target == "class 3"


def test_names_of_a_config():
    net = seeded(Deep, 32)
    net.config = SimpleNamespace(id2label=dict(enumerate(NAMES)))
    assert explain_class(net, picture(), "hound", preprocess=SMALL).target == "dog, hound"


def test_torchvisions_own_names():
    model, x = network("resnet18"), pictures(1, 64)
    exp = explain_class(model, x[0], "golden retriever")
    assert exp.target == "golden retriever"
    assert exp.score == pytest.approx(model(x)[0, 207].item(), rel=1e-4)
    with pytest.raises(ExplainError, match="the closest are golden retriever"):
        explain_class(model, x[0], "golden retreiver")


def test_torchvisions_names_belong_to_a_thousand_classes():
    small = torchvision.models.resnet18(weights=None, num_classes=7).eval()
    with pytest.raises(ExplainError, match="have no names"):
        explain_class(small, torch.randn(3, 64, 64), "golden retriever")


def test_the_prediction_is_the_default(model):
    images = [picture(seed) for seed in range(4)]
    predicted = [int(model(SMALL(image)[0][None]).argmax()) for image in images]
    assert len(set(predicted)) > 1, "one class for all would not notice a mix-up"
    for exp, image, index in zip(explain_class(model, images), images, predicted, strict=True):
        assert exp.target == NAMES[index]
        torch.testing.assert_close(exp.values, cam(model, image, index))
    assert explain_class(model, images[0]).target == NAMES[predicted[0]]


def test_a_list_of_classes_for_one_picture(model):
    exps = explain_class(model, picture(), [0, "boat", None, lambda out: out[:, 2]])
    assert [exp.target for exp in exps][:2] == [NAMES[0], "boat"]
    assert exps[3].target == "score"
    for exp, index in ((exps[0], 0), (exps[1], 4), (exps[3], 2)):
        torch.testing.assert_close(exp.values, cam(model, picture(), index))
    predicted = int(model(SMALL(picture())[0][None]).argmax())
    assert exps[2].target == NAMES[predicted]
    torch.testing.assert_close(exps[2].values, cam(model, picture(), predicted))


def test_one_class_for_a_list_of_pictures(model):
    exps = explain_class(model, [picture(0), picture(1)], "boat")
    assert [exp.target for exp in exps] == ["boat", "boat"]
    torch.testing.assert_close(exps[1].values, cam(model, picture(1), 4))
    assert isinstance(explain_class(model, [picture()], "boat"), list)


def test_one_class_a_picture(model):
    exps = explain_class(model, [picture(0), picture(1), picture(2)], [3, "boat", None])
    torch.testing.assert_close(exps[0].values, cam(model, picture(0), 3))
    torch.testing.assert_close(exps[1].values, cam(model, picture(1), 4))
    predicted = int(model(SMALL(picture(2))[0][None]).argmax())
    torch.testing.assert_close(exps[2].values, cam(model, picture(2), predicted))


@pytest.mark.parametrize("form", [torch.tensor, np.array, tuple])
def test_classes_may_come_as_a_tensor_or_an_array(model, form):
    exps = explain_class(model, [picture(0), picture(1)], form([3, 4]))
    assert [exp.target for exp in exps] == [NAMES[3], NAMES[4]]
    torch.testing.assert_close(exps[1].values, cam(model, picture(1), 4))
    assert [exp.target for exp in explain_class(model, picture(0), form([1, 2]))] == [NAMES[1], NAMES[2]]


@pytest.mark.parametrize("index", [np.int64(3), torch.tensor(3), np.array(3)])
def test_an_index_may_be_a_number_of_any_kind(model, index):
    assert explain_class(model, picture(), index).target == NAMES[3]


def test_several_classes_a_picture_of_different_number(model):
    exps = explain_class(model, [picture(0), picture(1), picture(2)], [[0, 1, 2], "boat", [3]])
    assert [exp.target for exp in exps[0]] == list(NAMES[:3])
    assert exps[1].target == "boat"
    assert [exp.target for exp in exps[2]] == [NAMES[3]]
    for t in range(3):
        torch.testing.assert_close(exps[0][t].values, cam(model, picture(0), t))
    torch.testing.assert_close(exps[1].values, cam(model, picture(1), 4))
    torch.testing.assert_close(exps[2][0].values, cam(model, picture(2), 3))


@pytest.mark.parametrize("targets", [[1], [1, 2, 3], ["boat"], [[1, 2]]])
def test_not_one_class_a_picture(model, targets):
    """Trap 8."""
    with pytest.raises(ExplainError, match=rf"2 pictures and {len(targets)} targets; give one a picture"):
        explain_class(model, [picture(0), picture(1)], targets)


def test_no_class_at_all(model):
    for images, targets in ((picture(), []), ([picture(), picture()], [[], [1]])):
        with pytest.raises(ExplainError, match="no target in the list"):
            explain_class(model, images, targets)


def test_a_contrast_is_a_difference(model):
    exp = explain_class(model, picture(), "boat", contrast="tench")
    x = SMALL(picture())[0][None]
    torch.testing.assert_close(exp.values, cam(model, picture(), lambda out: out[:, 4] - out[:, 0]))
    assert exp.target == "boat rather than tench, Tinca tinca"
    assert exp.score == pytest.approx(float(model(x)[0, 4] - model(x)[0, 0]), abs=1e-5)
    several = explain_class(model, [picture(0), picture(1)], [1, 2], contrast=0)
    torch.testing.assert_close(several[1].values, cam(model, picture(1), lambda out: out[:, 2] - out[:, 0]))


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
def test_a_contrast_that_is_the_class_itself(model, method):
    """By name or index, of the prediction, and where one of a list is."""
    options = {"patch": 16, "stride": 16} if method == "occlusion" else {}
    best = explain_class(model, picture()).target
    for images, target, contrast, name in (
        (picture(), "boat", "boat", "boat"),
        (picture(), 4, -1, "boat"),
        (picture(), None, best, best),
        (picture(), ["tabby cat", "boat"], "boat", "boat"),
        ([picture(0), picture(1)], ["tabby cat", "boat"], 4, "boat"),
        ([picture(0), picture(0)], [3 if best != "hound" else 4, None], best, best),
    ):
        with pytest.raises(ExplainError) as error:
            explain_class(model, images, target, contrast=contrast, method=method, **options)
        assert str(error.value) == f"The class and its contrast are both {name!r}; choose two."
    assert explain_class(model, picture(), lambda out: out[:, 1], contrast=4, method=method, **options).score


def test_functions_as_targets(model):
    def margin(out):
        return out[:, 1] - out.mean(1)

    exps = explain_class(model, [picture(0), picture(1)], margin)
    assert [exp.target for exp in exps] == ["margin", "margin"]
    torch.testing.assert_close(exps[1].values, cam(model, picture(1), margin))
    mixed = explain_class(model, [picture(0), picture(1)], [margin, 2])
    torch.testing.assert_close(mixed[0].values, cam(model, picture(0), margin))
    torch.testing.assert_close(mixed[1].values, cam(model, picture(1), 2))


def test_a_multi_label_model_explains_each_label_by_its_logit(model):
    """Logits, not sigmoids: a saturated probability has no gradient left (trap 6)."""
    with torch.no_grad():
        model.head[2].bias.add_(80)
    exps = explain_class(model, picture(), list(NAMES))
    assert all(exp.score > 50 for exp in exps)
    assert sum(exp.values.max() > 0 for exp in exps) >= 3


def test_a_class_the_model_has_not(model):
    for bad in (5, -6, [0, 9], 1000):
        with pytest.raises(ExplainError, match=r"There is no class .*classes 0…4"):
            explain_class(model, picture(), bad)


def test_names_shorter_than_the_outputs(model):
    with pytest.raises(ExplainError, match="There are 2 names for 5 classes; pass names="):
        explain_class(model, picture(), 4, names=["a", "b"])


def test_stacked_pictures_give_a_list(model):
    stack = np.stack([np.asarray(picture(0)), np.asarray(picture(1))])
    for images in (stack, torch.from_numpy(stack), torch.stack([SMALL(picture(seed))[0] for seed in (0, 1)])):
        exps = explain_class(model, images, 4)
        assert isinstance(exps, list)
        torch.testing.assert_close(exps[1].values, cam(model, picture(1), 4))
    assert exps[0].heatmap.shape == (32, 32)  # a prepared tensor is its own original


def test_pictures_of_different_sizes_each_get_their_own_heatmap(model):
    exps = explain_class(model, [picture(0, (40, 30)), picture(1, (7, 90))], 0)
    assert [exp.heatmap.shape for exp in exps] == [(30, 40), (90, 7)]


def test_preprocessing_is_the_models_the_callers_or_imagenets(model):
    x = explain_class(model, picture(), 0, preprocess=mmcam.Preprocess((32, 32), "pad"))
    assert x.geometry.offset != (0.0, 0.0)
    with pytest.raises(mmcam.ExplainError, match="Cannot read where Lambda puts the pixels"):
        explain_class(model, picture(), 0, preprocess=torchvision.transforms.Lambda(lambda p: p))
    plain = nn.Sequential(nn.Conv2d(3, 4, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    exp = explain_class(plain, picture(), 0)
    assert exp.geometry.input == (224, 224)
    assert exp.geometry.scale == (256 / 30, 341 / 40)


@pytest.mark.parametrize("method", ["guided_backprop", "guided_gradcam"])
def test_pixel_methods(method):
    net = seeded(Gapless, 32)
    exp = explain_class(net, picture(), 1, method=method, preprocess=SMALL)
    assert exp.values.shape == (3, 32, 32)
    assert exp.heatmap.shape == (30, 40)
    assert (exp.heatmap >= 0).all()
    assert exp.overlay().size == (40, 30)
    assert not exp.note


class Gapless(Deep):
    """Deep with a ReLU in place of its Tanh, which the guided rule leaves to a plain derivative."""

    def __init__(self, size):
        super().__init__(size)
        self.head[1] = nn.ReLU()


def test_callers_under_inference_mode(model):
    expected = explain_class(model, [picture(0), picture(1)], [None, 3], contrast=0)
    with torch.inference_mode():
        got = explain_class(model, [picture(0), picture(1)], [None, 3], contrast=0)
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(one.values, other.values)
        assert np.allclose(one.heatmap, other.heatmap)


class Apart(nn.Module):
    """An actor and a critic with encoders of their own, the critic's the last layer of all."""

    def __init__(self):
        super().__init__()
        self.actor, self.critic = seeded(Deep, classes=3), seeded(Deep, classes=1, seed=1)

    def forward(self, x):
        return self.actor(x), self.critic(x)


@pytest.mark.parametrize("method", ["gradcam", "layercam", "occlusion"])
def test_the_default_layer_belongs_to_the_target(method):
    """An actor-critic's classes are the actor's, though the critic's layer comes last."""
    x, options = pictures(2), {"patch": 8, "stride": 8} if method == "occlusion" else {}
    both = explain_class(seeded(Apart), list(x), 2, method=method, **options)
    alone = explain_class(seeded(Deep, classes=3), list(x), 2, method=method, **options)
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one.values, other.values)
    assert both[0].layer == ("pixels" if method == "occlusion" else "actor.features")
    value = attribute(seeded(Apart), x, [lambda out: out[1][:, 0]], method=method, **options)
    assert value.any()


def test_a_named_layer_is_not_exchanged():
    with pytest.raises(mmcam.IndependentError, match=r"does not depend on layer 'critic\.features'"):
        explain_class(seeded(Apart), pictures(2), 1, layer="critic.features")


def test_a_kept_explanation_does_not_keep_its_batch():
    found = explain_class(network("resnet18"), list(pictures(4, 64)), 1, layer="layer2")[0]
    for tensor in (found.values, found.weights, found.activations):
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
