"""Maps averaged over noisy copies of the picture: Smooth Grad-CAM++ and SmoothGrad."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from mmcam.engine.modules import independent
from mmcam.errors import ExplainError
from mmcam.methods import registry
from mmcam.methods.cam import plus_plus
from mmcam.methods.cam_family import chosen, collect
from mmcam.methods.registry import Maps, Question, register
from mmcam.methods.relu_rules import Rule
from mmcam.methods.variants import ROWS, activations_of, chunks, picture_scores


@register(
    "smooth_gradcam++",
    "Omeiza et al., Smooth Grad-CAM++, arXiv 1908.01224, eqs. 5–8",
    cost="n + 1 forwards, n backwards to the layer",
)
def smooth_gradcam_plus_plus(
    question: Question,
    *,
    n: int = 5,
    sigma: float = 0.15,
    numerator: Literal["second", "first"] = "second",
    normalise: bool = True,
    units: Sequence[int] | None = None,
    mask: Any = None,
    counterfactual: bool = False,
    relu_rule: Rule = "plain",
    seed: int = 0,
    rows: int = ROWS,
) -> Maps:
    """Grad-CAM++ with its three derivatives averaged over noisy copies of the picture, and the clean picture's A.

    Every copy counts the same: the factor e^S of its derivatives is left out, as in `gradcam_plus_plus`.

    Args:
        question: what is asked.
        n, sigma, seed, rows: as in `smoothgrad`.
        numerator: of a: the mean second derivative, as is done in practice, or the mean first, as the paper prints it.
        normalise, units, mask, counterfactual, relu_rule: as in the rest of the family.
    """
    q = question
    if numerator not in ("second", "first"):
        raise ExplainError(f"There is no numerator {numerator!r}; choose 'second' or 'first'.")
    # Before the noise, so that "the predicted class" is that of the clean picture.
    activations, scores = activations_of(q)
    neurons = chosen(activations, units, mask).float()
    shape = (len(q.targets), *activations.shape)
    first, second, third = (torch.zeros(shape, device=activations.device) for _ in range(3))
    unit: Tensor | None = None  # of the gradient: its cube would under- and overflow
    for copies, noisy in _noisy(q, n, sigma, seed, rows, "Smooth Grad-CAM++"):
        versions = replace(q, x=noisy, versions=copies)
        evidence = collect(versions, counterfactual=counterfactual, relu_rule=relu_rule, zero=True)
        g = evidence.gradients.float().unflatten(1, (copies, -1))
        if unit is None and g.any():
            unit = g.abs().amax(dim=(1, 2, 3, 4, 5)).clamp(min=torch.finfo(g.dtype).tiny).view(-1, 1, 1, 1, 1)
        g = g if unit is None else g / unit[:, None]
        for mean, power in ((first, 1), (second, 2), (third, 3)):
            mean += (g**power).sum(1) / n
    if unit is None:
        raise independent(q.layer.name, q.model)
    a = activations.float() * neurons
    first, second, third = (d * neurons for d in (first, second, third))
    # With g = u·ĝ: u² D2 / (2 u² D2 + ΣA u³ D3), reduced by u².
    above = first / unit if numerator == "first" else second
    below = 2 * second + a.sum(dim=(-2, -1), keepdim=True) * third * unit
    values, weights = plus_plus(a, first * unit, above, below, normalise)
    return Maps(values, scores, weights, a)


@register(
    "smoothgrad",
    "Smilkov et al., SmoothGrad, arXiv 1706.03825, section 3.1",
    family="pixels",
    cost="n times the method it smooths",
)
def smoothgrad(
    question: Question,
    *,
    of: str = "gradient",
    n: int = 50,
    sigma: float = 0.15,
    seed: int = 0,
    rows: int = ROWS,
    **options: Any,
) -> Maps:
    """The mean of a pixel method over noisy copies of the picture, (T,N,C,H,W), signed.

    Args:
        question: what is asked.
        of: the method to smooth, any of the pixel family; further options are handed to it.
        n: number of noisy copies.
        sigma: standard deviation of the noise as a share of the picture's range (the paper finds 0.1 to 0.2 good).
        seed: of the noise; the same seed gives the same map.
        rows: pictures sent through the model at a time.
    """
    q, method = question, registry.get(of)
    if not method.pixels or of == "smoothgrad":
        pixel_methods = [name for name, m in registry.METHODS.items() if m.pixels and name != "smoothgrad"]
        raise ExplainError(f"SmoothGrad smooths pixel methods, not {of!r}; choose one of {', '.join(pixel_methods)}.")
    scores = picture_scores(q, q.x[None])[:, 0]  # before the noise, as above
    total: Tensor | float = 0.0
    for copies, noisy in _noisy(q, n, sigma, seed, rows, "SmoothGrad"):
        maps = method(replace(q, x=noisy, versions=copies), **options)
        # Half precision would lose what the later copies add.
        values = maps.values.to(torch.promote_types(maps.values.dtype, torch.float32))
        total = total + values.unflatten(1, (copies, -1)).sum(1) / n
    assert isinstance(total, Tensor)
    return Maps(total, scores)


def _noisy(question: Question, n: int, sigma: float, seed: int, rows: int, what: str) -> Iterator[tuple[int, Tensor]]:
    """(copies, copies·N pictures) with Gaussian noise, in chunks; the same for every chunk size.

    All pictures of a batch get the same noise, so what a picture gets does not depend on its neighbours.
    """
    if n < 1 or not 0 <= sigma < math.inf:
        raise ExplainError(f"n={n} copies with noise sigma={sigma} cannot be made; n is at least 1, sigma at least 0.")
    x = question.x
    spread = sigma * (x.amax(dim=(1, 2, 3), keepdim=True) - x.amin(dim=(1, 2, 3), keepdim=True))
    # Drawn on the CPU: the same noise on every device.
    generator = torch.Generator().manual_seed(seed)
    for part in chunks(n, question, rows, what):
        noise = torch.stack([torch.randn(x[:1].shape, generator=generator) for _ in part])
        yield len(part), (x + noise.to(x.device, x.dtype) * spread).flatten(0, 1)
