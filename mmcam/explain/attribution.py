"""For researchers: maps, evidence and activations of any module, as tensors that stay on its device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.adapters.class_names import class_names
from mmcam.engine import record as recorder
from mmcam.engine.calling import on_pictures
from mmcam.engine.computation import Computation
from mmcam.engine.modules import each_layer, unwrap
from mmcam.engine.outputs import Target
from mmcam.engine.run import Evidence, run
from mmcam.errors import ExplainError, IndependentError
from mmcam.explain.explained import How, Layers, maps_of
from mmcam.image import Batch
from mmcam.methods.registry import Fusion
from mmcam.places.find import find_layer
from mmcam.places.survey import layer_at
from mmcam.tasks.anything import forward_of
from mmcam.tasks.asked import Asked, Label
from mmcam.tasks.classification import check_classifier, index_target
from mmcam.tasks.logits import finder
from mmcam.tasks.saturation import saturation
from mmcam.tasks.targets import is_list, of_all


def attribute(
    model: nn.Module,
    x: Tensor,
    targets: Sequence[int | Tensor | Target],
    *,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    call: int | None = None,
    **options: Any,
) -> Tensor:
    """Maps of any scalars of any module, for researchers: no picture handling, nothing leaves the device.

    Args:
        model: any module; left as found.
        x: (N, C, H, W) on the model's device.
        targets: T of them: a class index for all pictures, a LongTensor (N,) with one a picture, or a function from
            the model's output to (N,) scores.
        layer: dotted name (``"layer4.1"``, ``"layer4[-1]"``), the module itself, or a list of several whose maps are
            fused; default the last spatial layer before pooling.
        fuse: how: "max", the greatest value, or "product" (see `mmcam.methods.fusion.fuse`). Class activation maps and
            Guided Grad-CAM read all layers in one pass.
        method: a name of ``mmcam.METHODS``.
        call: which run of a layer that runs several times in one forward, from 0.
        options: of the method, e.g. ``n=`` and ``sigma=`` of "smoothgrad"; ``mmcam methods`` lists them.

    Returns:
        (T, N, h, w) at the layer's resolution, or (T, N, C, H, W) for pixel methods; un-normalised.

    Raises:
        ExplainError: unknown layer, class or shape; a target that does not depend on the layer.

    Example:
        >>> net = torchvision.models.resnet18(weights=None)
        >>> mmcam.attribute(net, torch.rand(2, 3, 224, 224), [281, 207]).shape
        torch.Size([2, 2, 7, 7])
    """
    computation = _computation(model, x, targets)
    asked = Asked(Batch(x, [], [], False), computation, lambda t, n, score: Label("", ""), [])
    return maps_of(asked, How(layer, method, call, options, fuse))[0].values


def evidence(
    model: nn.Module,
    x: Tensor,
    targets: Sequence[int | Tensor | Target],
    *,
    layer: str | nn.Module | None = None,
    call: int | None = None,
) -> Evidence:
    """What the maps of any scalars are made of, in one forward and one backward from the layer on.

    Args:
        model, x, targets, call: as in `attribute`.
        layer: dotted name, or the module itself; default the last spatial layer before pooling.

    Returns:
        activations A (N,K,h,w), gradients dS/dA (T,N,K,h,w) and scores S (T,N), detached, on the model's device and in
        its dtype.

    Raises:
        ExplainError: unknown layer, class or shape.
        IndependentError: no target depends on the layer.

    Example:
        >>> found = mmcam.evidence(net, x, [281])
        >>> weights = found.gradients.mean((-2, -1))  # Grad-CAM's α
    """
    c = _computation(model, x, targets)
    given = find_layer(c.model, c.alone, c.x, c) if layer is None else layer
    try:
        return run(c, layer_at(c.model, c.alone, c.x, given, call))
    except IndependentError as error:
        raise saturation(c) or error from error


@torch.inference_mode(False)
def record(model: nn.Module, x: Tensor, layers: str | nn.Module | Sequence[str | nn.Module]) -> dict[str, Tensor]:
    """The activations of some layers, from one forward without a graph.

    Args:
        model: of any task; left as found. A model with a language side reads a stock text.
        x: (N, C, H, W) on the model's device.
        layers: layers that show a map, by their dotted names or as modules; of one that runs several times, the first
            run counts.

    Returns:
        (N, K, h, w) by the layer's dotted name, on the model's device and in its dtype; tokens are put in their places.

    Raises:
        ExplainError: no layers; one that is unknown, never runs or is no spatial map.

    Example:
        >>> mmcam.record(torchvision.models.resnet18(), torch.rand(2, 3, 64, 64), ["layer3", "layer4"])["layer4"].shape
        torch.Size([2, 512, 2, 2])
    """
    _check_pictures(x)
    module = unwrap(model)
    forward = forward_of(module)
    places = {place.name: place for place in (layer_at(module, forward, x, given) for given in each_layer(layers))}
    maps = recorder.activations(module, forward, x, list(places.values()))
    return dict(zip(places, maps, strict=True))


def _computation(model: nn.Module, x: Tensor, targets: Sequence[int | Tensor | Target]) -> Computation:
    if not is_list(targets) or not targets:
        raise ExplainError("The targets are a list of at least one: class indices, LongTensors (N,) or functions.")
    _check_pictures(x)
    module = unwrap(model)
    each = [of_all(target, len(x)) for target in targets]
    check_classifier(module, each, class_names(module))
    find = finder()
    functions = [target if callable(target) else index_target(target, find) for target in each]
    return Computation(module, on_pictures(module), x, functions)


def _check_pictures(x: Tensor) -> None:
    if x.ndim != 4:
        raise ExplainError(f"The pictures are one tensor (N,C,H,W); this one is {tuple(x.shape)}.")
