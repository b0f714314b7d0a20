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
from torch import Tensor, nn

from mmcam.errors import ExplainError
from mmcam.files import read_json
from mmcam.neurons.dissection import Dissection

from .attend_tell import ShowAttendTell
from .captioner import Captioner
from .classifier import Classifier
from .efficientnet_lite import PUBLISHED
from .hiecoatt import HieCoAtt
from .photo import Pooled, photo_features
from .photo_classifier import PhotoClassifier
from .san import SAN
from .speaker import Speaker
from .transformer import TransformerCaptioner
from .vqa import VQA

WEIGHTS = Path(__file__).parent / "weights"
DISSECTIONS = Path(__file__).parent / "dissections"
DEFAULTS = {
    "class": "photo-classifier",
    "caption": "photo-captioner",
    "answer": "photo-vqa",
    "vignette-class": "vignette-classifier",
    "vignette-caption": "vignette-captioner",
    "vignette-answer": "vignette-vqa",
}
"""The model that answers where none is named, by task; those of vignettes know drawn scenes only."""
MODELS: dict[str, type[nn.Module]] = {
    model.__name__: model
    for model in (
        Captioner,
        Classifier,
        HieCoAtt,
        PhotoClassifier,
        SAN,
        ShowAttendTell,
        TransformerCaptioner,
        VQA,
    )
}


def names(folder: Path = WEIGHTS) -> tuple[str, ...]:
    """The names `load` knows, in alphabetical order."""
    return tuple(sorted(card.stem for card in folder.glob("*.json")))


def task(name: str, folder: Path = WEIGHTS) -> str:
    """What a model does, by its card: "class", "caption" or "answer"."""
    kind = MODELS[read_json(folder / f"{name}.json")["model"]]
    return "answer" if hasattr(kind, "answer_scores") else "caption" if hasattr(kind, "generate") else "class"


@overload
def load(
    name: Literal["photo-classifier"], *, device: str | torch.device = ..., folder: Path = ...
) -> PhotoClassifier: ...
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

    What a package of weights brings is taken from there: the tensors of an encoder that a file leaves out, and all of a
    model whose card names no file (it has no "sha256").

    Raises:
        ValueError: no such model, or weights that are not those of its card.
        ExplainError: a package that it needs is not installed, or broken.
    """
    if name not in names(folder):
        raise ValueError(f"There is no bundled model {name!r}; there are {', '.join(names(folder)) or 'none yet'}.")
    card = read_json(folder / f"{name}.json")
    weights = _weights(name, card, folder)
    try:
        model = build(card)
        if weights is not None:
            _fill(model, card, safetensors.torch.load(weights))
    except ExplainError:
        raise
    except Exception as error:  # whatever a card trips that describes no model, or another than its weights are of
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(
            f"The card {name}.json does not describe the model whose weights lie beside it ({first}); get both anew."
        ) from error
    return model.eval().to(device)


def _weights(name: str, card: Any, folder: Path) -> bytes | None:
    """The file of weights that a card describes; None where all come from a package."""
    if isinstance(card, dict) and card.get("model") == PhotoClassifier.__name__ and "sha256" not in card:
        return None
    try:
        weights = (folder / f"{name}.safetensors").read_bytes()
    except OSError as error:
        raise ValueError(f"{folder / name}.safetensors cannot be read ({error.strerror}): get it anew.") from error
    if not isinstance(card, dict) or hashlib.sha256(weights).hexdigest() != card.get("sha256"):
        raise ValueError(
            f"The file {name}.safetensors is not the one its card describes (another sha256): check it out again."
        )
    return weights


def _fill(model: nn.Module, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Put the tensors of a file into a model whose encoder may have those of its package already.

    Raises:
        ValueError: one is missing that no package has, or one is of no use.
    """
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    missing, unexpected = model.load_state_dict(floats, strict=False)
    brought = f"{model.picture_encoder}." if card.get("encoder") in PUBLISHED else None
    missing = [key for key in missing if brought is None or not key.startswith(brought)]
    if missing or unexpected:
        wrong = [f"{key} is missing" for key in missing] + [f"{key} is not of this model" for key in unexpected]
        raise ValueError(", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else ""))


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
    """The model a card describes, with random weights, but for an encoder that has its package's."""
    texts = [card[key] for key in ("classes", "vocabulary", "answers") if key in card]
    more = dict(card.get("architecture", {}))
    if "encoder" in card:  # a network for photographs; else the bundled models' own
        more["encoder"] = _encoder(card)
    model = MODELS[card["model"]](*texts, **more)
    if isinstance(model, Speaker) and "beam" in card:
        model.beam = int(card["beam"])
    return model


def packaged(model: nn.Module, card: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a model's encoder as a package of weights has them, by their names in the model.

    Args:
        model: what `build` made of the card, trained or not.
        card: its "encoder" says which; others come from no package, and the result is empty.
    """
    if card.get("encoder") not in PUBLISHED:
        return {}
    return {f"{model.picture_encoder}.{key}": value for key, value in _encoder(card).state_dict().items()}


def _encoder(card: Mapping[str, Any]) -> nn.Module:
    """One that gives a map, or one vector to the models that read no more."""
    encoder = photo_features(card["encoder"])
    return Pooled(encoder) if card["model"] in ("Captioner", "VQA") else encoder
