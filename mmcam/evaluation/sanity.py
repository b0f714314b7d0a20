"""Does a map depend on what the model has learnt? (Adebayo et al., Sanity Checks for Saliency Maps, arXiv 1810.03292.)

The model's layers are re-initialised, from the top down one after the other (cascading) or each by itself
(independent), and the maps compared with those of the trained model. A method whose maps stay alike shows the picture
rather than the model.

    with randomised(model) as steps:
        for layer in steps:
            print(layer, similarity(before, mmcam.attribute(model, x, [target])[0, 0]))
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.extra import metrics_module

_SALT = 181003292
"""Added to seeds: weights drawn under the seed a model was made with would be those it was made with."""

_WINDOW = 11
"""Pixels a side of SSIM's Gaussian window: 3.5 σ either way, as scikit-image cuts it."""


def layers_from_top(model: nn.Module) -> list[str]:
    """The dotted names of all modules with parameters of their own, the last defined first.

    Most networks define their layers in the order they run; where one does not, pass `randomised` its own list.
    """
    return [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))][::-1]


@contextlib.contextmanager
def randomised(
    model: nn.Module, layers: Sequence[str] | None = None, *, cascade: bool = True, seed: int = 0
) -> Iterator[Iterator[str]]:
    """Re-initialise a model's layers one after the other, and leave it exactly as found, also after an exception.

    A context manager, as a generator alone is not told when a loop over it fails.

    Args:
        model: any module; its weights and buffers change in place meanwhile.
        layers: dotted names in the order they are randomised; default `layers_from_top`.
        cascade: keep what was randomised before; False randomises each layer by itself.
        seed: of the new weights; a layer gets the same ones in both modes.

    Yields:
        An iterator over the names of the layers; as it gives a name, that layer has just been randomised.

    Raises:
        ValueError: there is no such layer, or it has no weights.
    """
    names = layers_from_top(model) if layers is None else list(layers)
    modules = dict(model.named_modules())
    missing = [name for name in names if name not in modules or not any(True for _ in modules[name].parameters())]
    if missing or not names:
        known = ", ".join(layers_from_top(model)) or "none"
        what = f"There is no layer {missing[0]!r} with weights" if missing else "There is no layer to randomise"
        raise ValueError(f"{what}; those with weights are: {known}.")
    kept = [(tensor, tensor.detach().clone()) for tensor in (*model.parameters(), *model.buffers())]

    def restore() -> None:
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)

    def steps() -> Iterator[str]:
        for i, name in enumerate(names):
            if not cascade:
                restore()
            reinitialise(modules[name], seed + i)
            yield name

    try:
        yield steps()
    finally:
        restore()


def reinitialise(module: nn.Module, seed: int = 0) -> None:
    """Draw a layer's weights, and those of all within it, anew and in place, as when it was made.

    By the modules' own `reset_parameters`, which also resets a batch norm's statistics; parameters of a module without
    one come from a normal distribution of their mean and deviation. The global random state stays, for other threads
    as well.
    """
    with _OwnGenerators(_SALT + seed), torch.no_grad():
        for part in module.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                continue
            for parameter in part.parameters(recurse=False):
                spread = float(parameter.float().std()) if parameter.numel() > 1 else 1.0
                parameter.normal_(float(parameter.float().mean()), spread)


class _OwnGenerators(TorchDispatchMode):
    """What this thread draws comes from generators of its own, one a device, and not from those of all threads."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seed = seed
        self.generators: dict[torch.device, torch.Generator] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
            # torch.rand and its like have two forms, and the shorter one takes no generator.
            func = func if _takes_generator(func) else getattr(func.overloadpacket, "generator", func)
            if _takes_generator(func):
                given = next((each.device for each in args if isinstance(each, Tensor)), torch.device("cpu"))
                kwargs["generator"] = self._on(torch.device(kwargs.get("device") or given))
        return func(*args, **kwargs)

    def _on(self, device: torch.device) -> torch.Generator:
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self.generators[device]


def _takes_generator(operation: Any) -> bool:
    return any(argument.name == "generator" for argument in operation._schema.arguments)


def similarity(
    before: NDArray[np.floating] | Tensor, after: NDArray[np.floating] | Tensor, *, magnitude: bool = False
) -> float:
    """Spearman's rank correlation of two maps, pixel by pixel, as in the paper's figure 4.

    Args:
        before: (h, w), the trained model's.
        after: (h, w), the randomised one's.
        magnitude: compare absolute values; the paper shows both.

    Returns:
        -1 to 1; nan if one of the maps is the same everywhere, as an empty one is.

    Raises:
        ValueError: maps of different sizes.
    """
    _one_size(before, after)
    size = (before.shape[0], before.shape[-1])
    if magnitude:
        return rank_correlation(np.abs(np.asarray(before)), np.abs(np.asarray(after)), size)
    return rank_correlation(before, after, size)


def structural_similarity(
    before: NDArray[np.floating] | Tensor, after: NDArray[np.floating] | Tensor, *, magnitude: bool = False
) -> float:
    """The structural similarity (SSIM) of two maps, the paper's second figure, by scikit-image.

    Each map is divided by its largest magnitude, so one without negative values fills 0..1. If either has some, both
    count as maps in -1..1, zero staying zero, and the range that SSIM's constants are shares of is 2 instead of 1.
    Windows and covariances are those of Wang et al. 2004 (IEEE Transactions on Image Processing 13, section III-C): a
    Gaussian of σ 1.5 over 11×11 pixels, so a layer's small map is best enlarged to the picture's size first.

    Args:
        before: (h, w), the trained model's.
        after: (h, w), the randomised one's.
        magnitude: compare absolute values, both in 0..1; the paper shows both.

    Returns:
        -1 to 1; nan if one of the maps is the same everywhere, as an empty one is, or not finite.

    Raises:
        ValueError: maps of different sizes, or smaller than the window.
        ExplainError: scikit-image is not installed.
    """
    _one_size(before, after)
    if before.ndim != 2 or min(before.shape) < _WINDOW:
        raise ValueError(
            f"A map of shape {tuple(before.shape)} holds no window of {_WINDOW}×{_WINDOW}; pass (h,w), enlarged to the "
            "picture's size."
        )
    ssim = metrics_module("skimage.metrics", "The structural similarity needs scikit-image").structural_similarity
    scaled = []
    for values in (before, after):
        own = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        own = np.abs(own) if magnitude else own
        own = own.astype(np.float64)
        if not np.isfinite(own).all() or own.max() == own.min():
            return float("nan")
        scaled.append(own / np.abs(own).max())
    span = 2.0 if min(map(np.min, scaled)) < 0 else 1.0
    return float(ssim(*scaled, data_range=span, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


def _one_size(before: NDArray[np.floating] | Tensor, after: NDArray[np.floating] | Tensor) -> None:
    if tuple(before.shape) != tuple(after.shape):
        raise ValueError(
            f"The maps have shapes {tuple(before.shape)} and {tuple(after.shape)}; bring both to one size."
        )
