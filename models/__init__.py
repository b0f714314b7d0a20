"""The bundled models: small, plain PyTorch, trained on vignettes, ready offline.

```python
from models import load

captioner = load("vignette-captioner")
captioner.spell(captioner.generate(x)[0])
```

Each has a file of half-precision weights in `models/weights/` and a card beside it: what it was trained on, by which
command, and what it scores.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, overload

import safetensors.torch
import torch
from torch import nn

from mmcam.neurons.dissection import Dissection
from models.answerer import Answerer
from models.attend_tell import ShowAttendTell
from models.captioner import Captioner
from models.classifier import Classifier
from models.hiecoatt import HieCoAtt
from models.photo import Pooled, photo_features
from models.san import SAN
from models.speaker import Speaker
from models.transformer import TransformerCaptioner
from models.vqa import VQA

__all__ = [
    "DISSECTIONS",
    "SAN",
    "VQA",
    "WEIGHTS",
    "Answerer",
    "Captioner",
    "Classifier",
    "HieCoAtt",
    "ShowAttendTell",
    "Speaker",
    "TransformerCaptioner",
    "build",
    "dissection",
    "load",
    "names",
]

WEIGHTS = Path(__file__).parent / "weights"
DISSECTIONS = Path(__file__).parent / "dissections"
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
    """A bundled model in eval mode and full precision on `device`; `folder` holds the weights and their cards."""
    if name not in names(folder):
        raise ValueError(f"There is no bundled model {name!r}; there are {', '.join(names(folder)) or 'none yet'}.")
    card = json.loads((folder / f"{name}.json").read_text())
    weights = (folder / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(weights).hexdigest() != card["sha256"]:
        raise ValueError(
            f"The file {name}.safetensors is not the one its card describes (another sha256): check it out again."
        )
    state = safetensors.torch.load(weights)
    model = build(card)
    model.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    return model.eval().to(device)


def dissection(name: str, folder: Path = DISSECTIONS) -> Dissection:
    """What the units of a bundled model's default layer detect: the dissection that comes with it."""
    if not (folder / f"{name}.json").exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise ValueError(f"No dissection comes with {name!r}; there is one for {known or 'no model yet'}.")
    return Dissection.load(folder / name)


def build(card: dict[str, Any]) -> nn.Module:
    """The model a card describes, with random weights."""
    texts = [card[key] for key in ("classes", "vocabulary", "answers") if key in card]
    more = dict(card.get("architecture", {}))
    if "encoder" in card:  # a torchvision network; else the bundled models' own
        encoder = photo_features(card["encoder"])
        more["encoder"] = Pooled(encoder) if card["model"] in ("Captioner", "VQA") else encoder
    return MODELS[card["model"]](*texts, **more)
