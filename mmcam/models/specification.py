"""From what a person types to a model: a bundled name, a folder, ``torchvision:``, ``timm:``, ``hf:`` or a factory."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from mmcam.errors import ExplainError
from mmcam.files import is_file
from mmcam.image import Preprocess
from mmcam.models.factory import from_factory
from mmcam.models.hub import from_transformers
from mmcam.models.packages import check_device, load
from mmcam.models.zoos import from_timm, from_torchvision, likely, untrained


def load_model(spec: str, weights: Path | None = None, device: str = "cpu") -> tuple[nn.Module, Preprocess | None]:
    """The model of a specification, in eval mode on a device, and how its pictures are made if that is known.

    Args:
        spec: a name or run folder that `mmcam.models.load` knows; a folder that ``save_pretrained`` wrote;
            ``torchvision:NAME``; ``timm:NAME``, with its weights; ``hf:NAME``, a model of the Hugging Face hub, which
            is downloaded; or ``module:factory``, a function without arguments (or with one, the weights file, if that
            is given) in an importable module or a file of the current folder.
        weights: a state dict, ``.safetensors`` or what ``torch.save`` wrote (read with ``weights_only=True``). A file
            of torchvision's is known by its name and its pictures are made as it was trained; for others as everywhere
            (see `mmcam.adapters.torchvision`), and GoogLeNet and Inception v3 take inputs of −1 to 1 as published.
        device: where to put it.

    Raises:
        ExplainError: nothing of that name, weights that do not fit, a download that failed; one sentence each.
    """
    kind, _, name = spec.partition(":")
    check_device(device)
    preprocess: Preprocess | None = None
    model: nn.Module
    if kind == "torchvision":
        model, preprocess = from_torchvision(name, weights)
    elif kind == "timm":
        model = from_timm(name, weights)
    elif kind == "hf" or is_file(Path(spec) / "config.json"):
        model = from_transformers(name if kind == "hf" else spec)
    elif name:
        model = from_factory(kind, name, weights)
    else:
        try:
            model = load(spec)
        except ExplainError as error:
            meant = likely(spec)
            hint = (
                f"Did you mean {meant}?"
                if meant
                else "Others are named torchvision:NAME, timm:NAME, hf:NAME or module:factory."
            )
            raise ExplainError(f"{error} {hint}") from error
    return model.to(device).eval(), preprocess


def untrained_model(spec: str) -> nn.Module:
    """A network of torchvision or timm with random weights, in eval mode: enough to see its layers.

    Raises:
        ExplainError: the specification is of another kind, or there is no such network.
    """
    kind, _, name = spec.partition(":")
    if kind not in ("torchvision", "timm"):
        raise ExplainError("--random is for torchvision:NAME and timm:NAME models; others load without it.")
    return untrained(kind, name)
