"""By name or from a run's folder: cards, weights and dissections, read and checked.

A module of mmcam's entry-point group ``mmcam.models``: `names`, `load`, `builds`, `dissection` and `DEFAULTS` are what
`mmcam.models` asks of one.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

import safetensors.torch
import torch
from torch import nn

from mmcam.files import read_json
from mmcam.neurons.dissection import Dissection

from .attend_tell import ShowAttendTell
from .captioner import Captioner
from .classifier import Classifier
from .hiecoatt import HieCoAtt
from .photo import Pooled, photo_features
from .san import SAN
from .transformer import TransformerCaptioner
from .vqa import VQA

WEIGHTS = Path(__file__).parent / "weights"
DISSECTIONS = Path(__file__).parent / "dissections"
DEFAULTS = {"class": "vignette-classifier", "caption": "vignette-captioner", "answer": "vignette-vqa"}
"""The model that answers where none is named, by task. They know vignettes only."""
MODELS: dict[str, type[nn.Module]] = {
    model.__name__: model for model in (Captioner, Classifier, HieCoAtt, SAN, ShowAttendTell, TransformerCaptioner, VQA)
}


def names(folder: Path = WEIGHTS) -> tuple[str, ...]:
    """The names `load` knows, in alphabetical order."""
    return tuple(sorted(card.stem for card in folder.glob("*.json")))


@overload
def load(name: Literal["vignette-captioner"], *, device: str | torch.device = ..., folder: Path = ...) -> Captioner: ...
@overload
def load(
    name: Literal["vignette-classifier"], *, device: str | torch.device = ..., folder: Path = ...
) -> Classifier: ...
@overload
def load(name: Literal["vignette-vqa"], *, device: str | torch.device = ..., folder: Path = ...) -> VQA: ...
@overload
def load(name: str, *, device: str | torch.device = ..., folder: Path = ...) -> Any: ...
def load(name: str, *, device: str | torch.device = "cpu", folder: Path = WEIGHTS) -> nn.Module:
    """A bundled model in eval mode and full precision on `device`; `folder` holds the weights and their cards.

    Raises:
        ValueError: no such model, or weights that are not those of its card.
    """
    if name not in names(folder):
        raise ValueError(f"There is no bundled model {name!r}; there are {', '.join(names(folder)) or 'none yet'}.")
    card = read_json(folder / f"{name}.json")
    try:
        weights = (folder / f"{name}.safetensors").read_bytes()
    except OSError as error:
        raise ValueError(f"{folder / name}.safetensors cannot be read ({error.strerror}): get it anew.") from error
    if not isinstance(card, dict) or hashlib.sha256(weights).hexdigest() != card.get("sha256"):
        raise ValueError(
            f"The file {name}.safetensors is not the one its card describes (another sha256): check it out again."
        )
    try:
        state = safetensors.torch.load(weights)
        model = build(card)
        floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        model.load_state_dict(floats)
    except Exception as error:  # whatever a card trips that describes no model, or another than its weights are of
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            f"The card {name}.json does not describe the model whose weights lie beside it ({first}); get both anew."
        ) from error
    return model.eval().to(device)


def dissection(name: str, folder: Path = DISSECTIONS) -> Dissection:
    """What the units of a bundled model's default layer detect: the dissection that comes with it.

    Raises:
        ValueError: none does.
    """
    if not (folder / f"{name}.json").exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise ValueError(f"No dissection comes with {name!r}; there is one for {known or 'no model yet'}.")
    return Dissection.load(folder / name)


def builds(card: Mapping[str, Any]) -> bool:
    """Whether the card, of a bundled model or of a run, describes a model of this package."""
    return isinstance(card.get("model"), str) and card["model"] in MODELS


def build(card: Mapping[str, Any]) -> nn.Module:
    """The model a card describes, with random weights."""
    texts = [card[key] for key in ("classes", "vocabulary", "answers") if key in card]
    more = dict(card.get("architecture", {}))
    if "encoder" in card:  # a torchvision network; else the bundled models' own
        encoder = photo_features(card["encoder"])
        more["encoder"] = Pooled(encoder) if card["model"] in ("Captioner", "VQA") else encoder
    return MODELS[card["model"]](*texts, **more)
