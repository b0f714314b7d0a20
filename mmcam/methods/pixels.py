"""Gradients at the pixels, and their product with Grad-CAM."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from mmcam import engine
from mmcam.methods.cam import gradcam
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.relu_rules import ReluRule


@register("guided_backprop", "Springenberg et al., Striving for Simplicity, arXiv 1412.6806", pixels=True)
def guided_backprop(question: Question) -> Maps:
    """dS/dI with the guided rule at every ReLU, (T,N,C,H,W), signed."""
    q = question
    with ReluRule("guided") as rule:
        gradients, scores, _ = engine.input_gradients(q.model, q.forward, q.x, q.targets, switch=rule.switch, fan=q.fan)
    return Maps(gradients, scores)


@register("guided_gradcam", "Selvaraju et al., Grad-CAM, arXiv 1610.02391, section 3.2", pixels=True)
def guided_gradcam(question: Question) -> Maps:
    """Bilinearly upsampled Grad-CAM × guided backprop, (T,N,C,H,W), signed.

    One forward serves both: the plain gradient stops at the layer, the guided one goes on to the pixels.
    """
    q = question
    with ReluRule("guided") as rule:
        gradients, scores, evidence = engine.input_gradients(
            q.model, q.forward, q.x, q.targets, switch=rule.switch, layer=q.layer, call=q.call, fan=q.fan
        )
    assert evidence is not None
    cams, weights = gradcam(evidence)
    # align_corners=False is the rule of cv2.resize, which the original implementation used.
    up = F.interpolate(cams, gradients.shape[-2:], mode="bilinear", align_corners=False)
    return Maps(torch.mul(gradients, up[:, :, None]), scores, weights)
