"""Gradients at the pixels, with the ReLUs' own derivative or another rule, and their products with Grad-CAM.

All maps are signed (T,N,C,H,W); `Explanation.cam` takes the largest magnitude over the channels, as Simonyan et al. do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmcam.engine.pixels import input_gradients
from mmcam.errors import ExplainError
from mmcam.methods.cam_family import cam_function
from mmcam.methods.fusion import fuse
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.relu_rules import ReluRule, Rule
from mmcam.methods.variants import ROWS, chunks, picture_scores

_RELU = "ReLUs as its only activations"
_ONCE = "1 forward, 1 backward a target"


@register(
    "gradient",
    "Simonyan et al., Deep Inside Convolutional Networks, arXiv 1312.6034, section 3",
    family="pixels",
    cost=_ONCE,
)
def gradient(question: Question) -> Maps:
    """dS/dI."""
    return Maps(*_input_gradients(question))


@register(
    "gradient_x_input",
    "Shrikumar et al., Not Just a Black Box, arXiv 1605.01713, section 3.1",
    family="pixels",
    cost=_ONCE,
)
def gradient_x_input(question: Question) -> Maps:
    """dS/dI ⊙ I, I being the input as the model gets it, mean and deviation of the data set taken off."""
    gradients, scores = _input_gradients(question)
    return Maps(gradients * question.x.detach(), scores)


@register(
    "integrated_gradients",
    "Sundararajan et al., Axiomatic Attribution for Deep Networks, arXiv 1703.01365, eq. 1",
    family="pixels",
    cost="steps + 1 forwards, steps backwards a target",
)
def integrated_gradients(question: Question, *, steps: int = 50, baseline: float = 0.0, rows: int = ROWS) -> Maps:
    """(I − I₀) ⊙ the mean gradient on the straight line from a blank picture I₀ to I; it sums to S(I) − S(I₀).

    Args:
        question: what is asked.
        steps: points of the Gauss–Legendre quadrature.
        baseline: value of I₀ in the units of the model's input; 0 is the mean colour of the training data.
        rows: pictures sent through the model at a time.

    Raises:
        ExplainError: fewer than one step.
    """
    if steps < 1:
        raise ExplainError(f"An integral over steps={steps} points is none; pass at least 1.")
    q, x = question, question.x
    # First, so that "the predicted class" is that of the whole picture.
    scores = picture_scores(q, torch.unflatten(x, 0, (q.versions, -1))).flatten(1)
    points, weights = (torch.from_numpy(v / 2).to(x.device) for v in np.polynomial.legendre.leggauss(steps))
    total: Tensor | float = 0.0
    for part in chunks(steps, q, rows, "Integrated gradients"):
        share = (points[part] + 0.5).to(x.dtype).view(-1, 1, 1, 1, 1)
        along = share * (x - baseline) + baseline
        gradients, _ = _input_gradients(replace(q, x=along.flatten(0, 1), versions=len(part) * q.versions))
        wide = gradients.to(torch.promote_types(gradients.dtype, torch.float32)).unflatten(1, (len(part), -1))
        total = total + torch.einsum("m,tmn...->tn...", weights[part].to(wide.dtype), wide)
    return Maps(total * (x.detach() - baseline), scores)


@register(
    "guided_backprop",
    "Springenberg et al., Striving for Simplicity, arXiv 1412.6806, section 3.4",
    family="pixels",
    cost=_ONCE,
    needs=_RELU,
)
def guided_backprop(question: Question) -> Maps:
    """dS/dI with the guided rule at every ReLU."""
    return Maps(*_input_gradients(question, "guided"))


@register(
    "deconvnet",
    "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, arXiv 1311.2901, section 2.1",
    family="pixels",
    cost=_ONCE,
    needs=_RELU,
)
def deconvnet(question: Question) -> Maps:
    """dS/dI with the deconvolution rule at every ReLU."""
    return Maps(*_input_gradients(question, "deconv"))


@register(
    "guided_gradcam",
    "Selvaraju et al., Grad-CAM, arXiv 1610.02391, section 3.2",
    family="pixels",
    cost="1 forward, 1 backward to the layer and 1 to the pixels a target",
    needs=_RELU,
    several=True,
)
def guided_gradcam(question: Question, *, cam: str = "gradcam") -> Maps:
    """Bilinearly upsampled Grad-CAM × guided backprop.

    Args:
        question: what is asked; of several layers the fused map.
        cam: another class activation map in place of Grad-CAM, as "layercam" (ours).
    """
    return _times_cam(question, "guided", cam)


@register(
    "deconv_gradcam",
    "Selvaraju et al., Grad-CAM, arXiv 1610.02391, section 5.1",
    family="pixels",
    cost="1 forward, 1 backward to the layer and 1 to the pixels a target",
    needs=_RELU,
    several=True,
)
def deconv_gradcam(question: Question, *, cam: str = "gradcam") -> Maps:
    """Bilinearly upsampled Grad-CAM × deconvolution.

    Args:
        question, cam: as in `guided_gradcam`.
    """
    return _times_cam(question, "deconv", cam)


def _input_gradients(question: Question, rule: Rule = "plain") -> tuple[Tensor, Tensor]:
    """(dS/dI (T,N,C,H,W), scores (T,N)) under a rule."""
    if rule == "plain":
        gradients, scores, _ = input_gradients(question)
        return gradients, scores
    with ReluRule(rule) as relu:
        gradients, scores, _ = input_gradients(question, switch=relu.switch)
    return gradients, scores


def _times_cam(question: Question, rule: Rule, cam: str) -> Maps:
    """One forward serves both: the plain gradient stops at the layers, the other one goes on to the pixels."""
    function = cam_function(cam)
    with ReluRule(rule) as relu:
        gradients, scores, evidence = input_gradients(question, switch=relu.switch, layers=question.layers)
    each = []
    for own in evidence:
        values, weights = function(own)
        each.append(Maps(values, scores, weights, None if weights is None else own.activations))
    cams = each[0] if len(each) == 1 else fuse(each, question.fuse)
    # align_corners=False is the rule of cv2.resize, which the original implementation used.
    up = F.interpolate(cams.values, gradients.shape[-2:], mode="bilinear", align_corners=False)
    return replace(cams, values=torch.mul(gradients, up[:, :, None]))
