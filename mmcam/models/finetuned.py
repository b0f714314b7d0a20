"""Classifiers that `mmcam finetune` trained: a network of timm or torchvision without its classes, and a head.

A run's folder holds a card, FOLDER/FOLDER.json, and its weights. This module is a `mmcam.models.packages.Models` that
has no names of its own: it loads such folders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.errors import ExplainError
from mmcam.files import is_file, read_json
from mmcam.image import Preprocess
from mmcam.models.state import fill, read_state
from mmcam.models.zoos import without_weights
from mmcam.neurons.dissection import Dissection

DEFAULTS: Mapping[str, str] = {}
HIDDEN: Final = 100


class Finetuned(nn.Module):
    """A classifier for the classes of a folder.

    Bahrami & Albadvi (arXiv 2302.14354): on the averaged features dropout, 100 units with batch norm and ELU, and the
    classes; there one logit for two classes, here a logit each.

    Attributes:
        classes: their names.
        preprocess: how pictures are made.
        temperature: what logits are divided by, so that their softmax is as sure as it is right (Guo et al., arXiv
            1706.04599).
        backbone: pictures → features (N, D). It is always in eval mode, so that its norms keep their statistics.
        head: features → logits.
    """

    class_probabilities = "softmax"

    def __init__(self, backbone: nn.Module, classes: Sequence[str], preprocess: Preprocess) -> None:
        super().__init__()
        self.classes, self.preprocess = tuple(classes), preprocess
        self.backbone = backbone.eval()
        with torch.no_grad():
            width = backbone(torch.zeros(1, len(preprocess.mean), *preprocess.size)).shape[1]
        self.head = nn.Sequential(
            nn.Dropout(0.5), nn.Linear(width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ELU(), nn.Linear(HIDDEN, len(classes))
        )
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) → logits (N, classes)."""
        logits: Tensor = self.head(self.backbone(x)) / self.temperature
        return logits

    def train(self, mode: bool = True) -> Finetuned:
        """The head alone has two modes."""
        super().train(mode)
        self.backbone.eval()
        return self


def headless(network: nn.Module, name: str) -> nn.Module:
    """A classifier without its last layer: pictures → features (N, D). The network itself is changed.

    Raises:
        ExplainError: it has no linear layer that could be taken away.
    """
    if type(network).__module__.startswith("timm.models."):
        timm_model: Any = network
        timm_model.reset_classifier(0)
        return network
    last = next((key for key, module in reversed(list(network.named_modules())) if isinstance(module, nn.Linear)), None)
    if last is None:
        raise ExplainError(f"{name} has no linear layer that gives its classes; choose a backbone that has, resnet50.")
    network.set_submodule(last, nn.Identity())
    return network


def card_of(spec: str, classes: Sequence[str], preprocess: Preprocess) -> dict[str, Any]:
    """What `load` has to know of a network, beside its weights."""
    return {
        "model": Finetuned.__name__,
        "backbone": spec,
        "classes": list(classes),
        "preprocess": {
            "size": list(preprocess.size),
            "mode": preprocess.mode,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "resample": preprocess.resample.name,
        },
    }


def names() -> Sequence[str]:
    """None: runs are known by their folders."""
    return ()


def dissection(name: str) -> Dissection:
    """None is there."""
    raise ValueError(f"No dissection comes with {name!r}.")


def task(name: str) -> str:
    """What such a model does."""
    return "class"


def builds(card: Mapping[str, Any]) -> bool:
    """Whether a card describes such a classifier."""
    return card.get("model") == Finetuned.__name__


def load(name: str, *, device: str | torch.device = "cpu", folder: Path = Path()) -> Finetuned:
    """The classifier of a run's folder, in eval mode.

    Raises:
        ValueError: a card that describes none, or weights that are not its.
    """
    card = read_json(folder / f"{name}.json")
    weights = folder / f"{name}.safetensors"
    if not is_file(weights):
        raise ExplainError(f"There is no {weights}: the run is not finished; start its command again, and it goes on.")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != card.get("sha256"):
        raise ExplainError(f"The file {weights} is not the one its card describes (another sha256); train anew.")
    try:
        made = card["preprocess"]
        preprocess = Preprocess(
            (int(made["size"][0]), int(made["size"][1])), made["mode"], None, tuple(made["mean"]), tuple(made["std"]),
            Image.Resampling[made["resample"]],
        )  # fmt: skip
        spec, classes, layer = str(card["backbone"]), [str(each) for each in card["classes"]], card.get("layer")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ExplainError(f"The card {name}.json describes no finetuned model ({error!r}); train anew.") from error
    library, _, network = spec.partition(":")
    with torch.random.fork_rng(devices=[]):
        model = Finetuned(headless(without_weights(library, network), spec), classes, preprocess)
    fill(model, read_state(weights), f"The weights in {weights} do not fit {spec}")
    if isinstance(layer, str):
        model.explain_layer = layer  # type: ignore[assignment]
    return model.eval().to(device)
