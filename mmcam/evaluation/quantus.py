"""Our explanations for Quantus' metrics, as its `explain_func`; Quantus itself is neither needed nor imported.

    quantus.MaxSensitivity()(
        model=net, x_batch=x, y_batch=y, explain_func=explain_func, explain_func_kwargs={"method": "layercam"}
    )

Follows the documentation of Quantus 0.6.0 (its README, "Employ customised functions", and `quantus.explain`): called
with `model`, `inputs`, `targets` and keyword arguments, among them the `device` given to the metric, and returning an
array whose channels may be flattened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.explain import attribute
from mmcam.explain.explained import Layers


def explain_func(
    model: nn.Module,
    inputs: NDArray[Any] | Tensor,
    targets: NDArray[Any] | Tensor | int,
    *,
    method: str = "gradcam",
    layer: Layers = None,
    device: Any = None,
    **options: Any,
) -> NDArray[np.float32]:
    """Maps as Quantus takes them: (N, 1, H, W), at the size of the pictures and un-normalised.

    A map of a layer is enlarged bilinearly; of a pixel map, the largest magnitude over the channels is taken.

    Args:
        model: a classifier; left as found.
        inputs: (N, C, H, W), channels first.
        targets: (N,) class indices, or one for all.
        method, layer, options: as in `mmcam.attribute`, given to Quantus as ``explain_func_kwargs``.
        device: of the metric; Quantus passes it on. Default the model's own, on which the model has to be in any case.

    Raises:
        ValueError: pictures of another form, or not one class a picture.
        ExplainError: as `mmcam.attribute`.
    """
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    x = torch.as_tensor(inputs).to(parameter.device if device is None else device, parameter.dtype)
    if x.ndim != 4:
        raise ValueError(f"The pictures are one array (N,C,H,W); this one is {tuple(x.shape)}.")
    classes = torch.as_tensor(targets).long().flatten().to(x.device)
    if len(classes) not in (1, len(x)):
        raise ValueError(f"There are {len(x)} pictures and {len(classes)} targets; give one a picture, or one for all.")
    maps = attribute(model, x, [classes.expand(len(x))], layer=layer, method=method, **options)[0].float()
    if maps.ndim == 4:
        maps = maps.abs().amax(1)
    if maps.shape[-2:] != x.shape[-2:]:
        maps = F.interpolate(maps[:, None], x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return maps[:, None].cpu().numpy()
