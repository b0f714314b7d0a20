"""Grad-CAM and Guided Grad-CAM as other libraries make them: torchcam, captum, pytorch-grad-cam."""

from __future__ import annotations

from collections.abc import Callable

import captum.attr
import pytorch_grad_cam
import torch
import torchcam.methods
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

Maps = Callable[[nn.Module, str, Tensor, int], Tensor]
"""(model, layer, pictures, class) to maps."""


def torchcam_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """torchcam's Grad-CAM (N,h,w), not normalised."""
    with torchcam.methods.GradCAM(model, layer) as extractor:
        scores = model(x)
        return extractor(target, scores, normalized=False)[0]


def captum_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """captum's Grad-CAM (N,h,w)."""
    peer = captum.attr.LayerGradCam(model, model.get_submodule(layer))
    return peer.attribute(x, target, relu_attributions=True)[:, 0].detach()


def pgc_maps(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """pytorch-grad-cam's Grad-CAM (N,H,W) at the picture's size, scaled to 0..1, on the CPU: it makes no other."""
    with pytorch_grad_cam.GradCAM(model, [model.get_submodule(layer)]) as peer:
        return torch.from_numpy(peer(x, [ClassifierOutputTarget(target)] * len(x)))


def captum_guided(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """captum's Guided Grad-CAM (N,3,H,W) of a network that was made `separate`."""
    peer = captum.attr.GuidedGradCam(model, model.get_submodule(layer))
    return peer.attribute(x.clone().requires_grad_(), target, interpolate_mode="bilinear").detach()


def pgc_guided(model: nn.Module, layer: str, x: Tensor, target: int) -> Tensor:
    """pytorch-grad-cam's (N,3,H,W), its scaled map times the guided gradient; the model's ReLUs do not come back.

    Its GuidedBackpropReLUModel explains the first picture of a batch only, so it is called once a picture.
    """
    cams = pgc_maps(model, layer, x, target)
    guided = pytorch_grad_cam.GuidedBackpropReLUModel(model=model, device=x.device)
    pixels = [torch.from_numpy(guided(picture[None], target_category=target)) for picture in x]
    return torch.stack(pixels).permute(0, 3, 1, 2) * cams[:, None]


def captum_occlusion(model: nn.Module, x: Tensor, target: int, patch: int = 32, stride: int = 16) -> Tensor:
    """captum's occlusion (N,H,W) by squares in the mean colour, 32 pictures a pass."""
    peer = captum.attr.Occlusion(model)
    with torch.no_grad():
        maps: Tensor = peer.attribute(
            x, (x.shape[1], patch, patch), (x.shape[1], stride, stride), 0, target, perturbations_per_eval=32
        )
    return maps[:, 0]
