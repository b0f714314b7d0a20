"""Evidence and activations for researchers."""

import pytest
import torch
from state import State
from tiny import LAYERS, VQA, Captioner, Deep, network, pictures, reference_evidence, seeded

import mmcam
from mmcam import ExplainError
from mmcam.methods.cam import gradcam


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "densenet121"])
def test_evidence_is_plain_autograds(name):
    model, x = network(name), pictures(2, 64)
    targets = [lambda out: out[:, 3], lambda out: out[:, 1] - out[:, 0]]
    found = mmcam.evidence(model, x, [3, targets[1]], layer=LAYERS[name])
    for t, target in enumerate(targets):
        activations, gradient = reference_evidence(model, LAYERS[name], lambda: target(model(x)).sum())  # noqa: B023
        torch.testing.assert_close(found.activations, activations)
        torch.testing.assert_close(found.gradients[t], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))
        torch.testing.assert_close(found.scores[t], target(model(x)).detach(), rtol=1e-4, atol=1e-4)
    assert not any(part.requires_grad for part in (found.activations, found.gradients, found.scores))


def test_a_method_is_a_function_of_the_evidence():
    model, x = seeded(Deep), pictures(2)
    found = mmcam.evidence(model, x, [0, 2])
    assert torch.equal(gradcam(found)[0], mmcam.attribute(model, x, [0, 2]))


def test_evidence_leaves_the_model_as_found():
    model = seeded(Deep).train()
    before = State(model)
    mmcam.evidence(model, pictures(2), [1])
    before.check()


def test_a_layer_the_target_ignores_has_an_error_of_its_own():
    class TwoHeads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return torch.cat([self.one(x).mean((2, 3)), self.other(x).mean((2, 3))], dim=1)

    with pytest.raises(mmcam.IndependentError, match="does not depend on layer 'one'"):
        mmcam.evidence(seeded(TwoHeads), pictures(2), [5], layer="one")


def test_several_layers_are_recorded_in_one_forward():
    model, x = network("resnet18"), pictures(2, 64)
    calls = []
    handle = model.conv1.register_forward_hook(lambda *_: calls.append(1))
    found = mmcam.record(model, x, ["layer2", "layer4", "layer3.0.conv1"])
    handle.remove()
    assert len(calls) == 1
    for name, maps in found.items():
        kept = []
        hook = model.get_submodule(name).register_forward_hook(lambda _m, _i, out: kept.append(out.clone()))  # noqa: B023
        with torch.no_grad():
            model(x)
        hook.remove()
        assert torch.equal(maps, kept[0])
        assert not maps.requires_grad


def test_tokens_are_recorded_in_their_places():
    import torchvision

    model = seeded(torchvision.models.vit_b_16, image_size=64, num_classes=5)
    found = mmcam.record(model, pictures(1, 64), "encoder.layers.encoder_layer_3")["encoder.layers.encoder_layer_3"]
    assert found.shape == (1, 768, 4, 4)


@pytest.mark.parametrize("kind", [Captioner, VQA])
def test_models_with_a_language_side_are_recorded(kind):
    model, x = seeded(kind), pictures(2, 32)
    model.generate = lambda x: model.encoder(x)  # a captioner whose words do not matter
    torch.testing.assert_close(mmcam.record(model, x, "encoder")["encoder"], model.encoder(x).detach())


def test_recording_under_inference_mode_gives_plain_tensors():
    model, x = seeded(Deep), pictures(1)
    with torch.inference_mode():
        found = mmcam.record(model, x, "features")["features"]
    assert not found.is_inference()


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([], "The list of layers is empty"),
        ("head", "There is no layer 'head'|not a spatial map"),
        ("nowhere", "There is no layer 'nowhere'"),
    ],
)
def test_layers_that_cannot_be_recorded_are_refused(layers, sentence):
    with pytest.raises(ExplainError, match=sentence):
        mmcam.record(seeded(Deep), pictures(1), layers)


def test_pictures_of_another_shape_are_refused():
    with pytest.raises(ExplainError, match=r"one tensor \(N,C,H,W\); this one is \(3, 8, 8\)"):
        mmcam.record(seeded(Deep), torch.zeros(3, 8, 8), "features")
