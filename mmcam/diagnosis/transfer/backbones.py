"""The network that is finetuned, and where its weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.models import default, load
from mmcam.models.finetuned import headless
from mmcam.models.specification import load_model
from mmcam.models.zoos import likely
from mmcam.preparation import preparation_of


@dataclass(frozen=True)
class Backbone:
    """A network without its classes.

    Attributes:
        spec: ``timm:NAME`` or ``torchvision:NAME``.
        network: pictures → features (N, D).
        preprocess: how pictures are made. They are squashed, so that all of a photograph is seen: a defect may lie at
            its edge, where a crop would cut it off.
        weights: where they came from, in words.
    """

    spec: str
    network: nn.Module
    preprocess: Preprocess
    weights: str


def backbone_of(name: str, weights: Path | None) -> Backbone:
    """The network of a name.

    Args:
        name: ``timm:NAME``, ``torchvision:NAME``, or the name alone; torchvision's where both have it.
        weights: a state dict of the whole classifier, as `mmcam.models.specification.load_model` takes it. Without it,
            those of the bundled classifier of photographs, if it is this network.

    Raises:
        ExplainError: no such network, weights that do not fit, or none.
    """
    spec = name if name.partition(":")[0] in ("timm", "torchvision") else likely(name)
    if not spec:
        raise ExplainError(
            f"Neither torchvision nor timm has a network {name!r}; mobilenet_v2, resnet50, inception_v3 and "
            "tf_efficientnet_lite0 are four they have."
        )
    library, _, short = spec.partition(":")
    if weights is None:
        found = _bundled(short) if library == "timm" else None
        if found is None:
            raise ExplainError(_where(library, short))
        model, preprocess = found
        told = f"of ImageNet, those of {default('class')}"
    else:
        model, given = load_model(spec, weights)
        preprocess, told = preparation_of(model, given)[0], weights.name
    whole = Preprocess(preprocess.size, "squash", None, preprocess.mean, preprocess.std, preprocess.resample)
    return Backbone(spec, headless(model, spec).eval().requires_grad_(False), whole, told)


def _bundled(name: str) -> tuple[nn.Module, Preprocess] | None:
    """timm's network inside the bundled classifier of photographs, if it is of this name."""
    whole = load(default("class"))
    for module in whole.modules():
        config = getattr(module, "pretrained_cfg", None)
        if isinstance(config, dict) and config.get("architecture") == name:
            return module, preparation_of(whole)[0]
    return None


def _where(library: str, name: str) -> str:
    """What to do for weights."""
    made = (
        f"timm.create_model('{name}', pretrained=True)"
        if library == "timm"
        else f"torchvision.models.{name}(weights='DEFAULT')"
    )
    return (
        f"{library}:{name} needs --weights FILE, since none are downloaded; on a machine with a network, "
        f"torch.save({made}.state_dict(), FILE) writes them, while tf_efficientnet_lite0 comes with mmcam and needs "
        "none."
    )
