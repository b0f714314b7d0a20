"""Outputs of transformers' models and torchvision's detectors, as they come."""

import re

import pytest
import torch
import torchvision
import transformers
from tiny import pictures

from mmcam import ExplainError, attribute, explain_class

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 32}


def vit(kind, **more):
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SMALL, patch_size=8, num_labels=4, output_hidden_states=True, **more)
    return getattr(transformers, kind)(config).eval()


def test_logits_among_hidden_states():
    model, x = vit("ViTForImageClassification"), pictures(2, 32)
    exp = explain_class(model, x[0], "label_2")
    assert exp.score == pytest.approx(model(x).logits[0, 2].item(), abs=1e-5)
    mine = attribute(model, x, [lambda out: out.logits[:, 2]])
    torch.testing.assert_close(attribute(model, x, [2]), mine)
    torch.testing.assert_close(exp.values, mine[0, 0], rtol=1e-4, atol=1e-6)


def test_hidden_states_alone_are_no_classes():
    with pytest.raises(ExplainError, match=r"no class scores \(N, classes\): it gives out\.last_hidden_state"):
        explain_class(vit("ViTModel"), pictures(1, 32)[0], 2, method="gradient")


def test_a_detectors_queries_are_asked_for():
    torch.manual_seed(0)
    sizes = {**SMALL, "image_size": [32, 32]}
    config = transformers.YolosConfig(**sizes, patch_size=8, num_labels=4, num_detection_tokens=3)
    model, x = transformers.YolosForObjectDetection(config).eval(), pictures(1, 32)
    with pytest.raises(ExplainError, match=r"\(1, 3, 5\) in out\.logits") as error:
        explain_class(model, x[0])
    code = re.search(r"target=(lambda out: .*)\.$", str(error.value))[1]
    assert code == "lambda out: out.logits[..., 3].amax(1)"
    exp = explain_class(model, x[0], lambda out: out.logits[..., 3].amax(1), method="gradient")
    assert exp.score == pytest.approx(model(x).logits[0, :, 3].max().item(), abs=1e-5)


def test_a_detectors_boxes_are_no_classes_and_the_function_shown_works():
    torch.manual_seed(0)
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3, score_thresh=0.0
    ).eval()
    x = torch.rand(1, 3, 64, 64)
    with pytest.raises(ExplainError, match="boxes are no class scores") as error:
        explain_class(model, x[0], 1)
    code = re.search(r"target=(lambda out: .*)\.$", str(error.value))[1]
    assert code == "lambda out: torch.stack([found['scores'][0] for found in out])"
    exp = explain_class(model, x[0], lambda out: torch.stack([found["scores"][0] for found in out]), method="gradient")
    assert exp.score == pytest.approx(model(x)[0]["scores"][0].item(), abs=1e-4)
