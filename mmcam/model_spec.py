"""From what a person types to a model: a bundled name, a folder, ``torchvision:``, ``timm:``, ``hf:`` or a factory."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.adapters.transformers import Parts, wrap
from mmcam.errors import ExplainError
from mmcam.image import Preprocess, preprocess_of
from mmcam.neurons.dissection import Dissection

BUNDLED = {"class": "vignette-classifier", "caption": "vignette-captioner", "answer": "vignette-vqa"}
"""The model that answers where none is named, by task. They ship with the checkout and know vignettes only."""


def load_model(spec: str, weights: Path | None = None, device: str = "cpu") -> tuple[nn.Module, Preprocess | None]:
    """The model of a specification, in eval mode on a device, and how its pictures are made if that is known.

    Args:
        spec: the name of a bundled model; a folder that a training script or ``save_pretrained`` wrote;
            ``torchvision:NAME``; ``timm:NAME``, with its weights; ``hf:NAME``, a model of the Hugging Face hub, which
            is downloaded; or ``module:factory``, a function without arguments (or with one, the weights file, if that
            is given) in an importable module or a file of the current folder.
        weights: a state dict, ``.safetensors`` or what ``torch.save`` wrote (read with ``weights_only=True``). A file
            of torchvision's is known by its name and its pictures are made as it was trained; others as the default
            weights' are, and those of GoogLeNet and Inception v3 as torchvision publishes them (inputs of −1 to 1).
        device: where to put it.

    Raises:
        ExplainError: nothing of that name, weights that do not fit, a download that failed; one sentence each.
    """
    kind, _, name = spec.partition(":")
    try:
        torch.device(device)
    except RuntimeError as error:
        raise ExplainError(f"There is no device {device!r}; cpu or cuda would do.") from error
    if kind == "torchvision":
        model, preprocess = _torchvision(name, weights)
    elif kind == "timm":
        model, preprocess = _timm(name, weights), None
    elif kind == "hf" or (Path(spec) / "config.json").is_file():
        model, preprocess = _huggingface(name if kind == "hf" else spec), None
    elif name:
        model, preprocess = _factory(kind, name, weights), None
    else:
        model, preprocess = _bundled(spec), None
    return model.to(device).eval(), preprocess


def untrained_model(spec: str) -> nn.Module:
    """A network of torchvision or timm with random weights, in eval mode: enough to see its layers.

    Raises:
        ExplainError: the specification is of another kind, or there is no such network.
    """
    kind, _, name = spec.partition(":")
    if kind not in ("torchvision", "timm"):
        raise ExplainError("--random is for torchvision:NAME and timm:NAME models; others load without it.")
    if kind == "timm":
        return _timm_zoo(name).create_model(name, pretrained=False).eval()
    options = {"init_weights": False} if name in _AUXILIARY else {}
    return _torchvision_zoo(name).get_model(name, weights=None, **options).eval()


def bundled_dissection(spec: str) -> Dissection:
    """The dissection that comes with a bundled model.

    Raises:
        ExplainError: none does.
    """
    try:
        models = importlib.import_module("models")
        return models.dissection(spec)
    except (ModuleNotFoundError, ValueError) as error:
        raise ExplainError(
            f"No dissection comes with {spec!r}; make one with `mmcam dissect {spec}` and pass it with --names."
        ) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict in float32 from ``.safetensors`` or a ``torch.save`` file, without running code from it.

    A ``state_dict`` inside a checkpoint is found, and the ``module.`` of DataParallel's names is taken away.

    Raises:
        ExplainError: no such file, or nothing in it can be read that way.
    """
    if not path.is_file():
        raise ExplainError(f"There is no weights file at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExplainError(f"{path} cannot be read as weights ({first}); save it as a plain state dict.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    tensors = {key.removeprefix("module."): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ExplainError(f"{path} holds no state dict; save it with torch.save(model.state_dict(), path).")
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def fill(model: nn.Module, state: Mapping[str, Tensor], complaint: str) -> None:
    """Load a state dict into a model.

    Raises:
        ExplainError: it does not fit; the complaint, and the first thing that is wrong.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        first = (lines[1] if len(lines) > 1 else lines[0]).strip()[:200]
        raise ExplainError(f"{complaint}: {first}") from error


def _bundled(name: str) -> nn.Module:
    # The library knows no model: the bundled ones live beside it in the checkout and are looked up only by name.
    try:
        models = importlib.import_module("models")
    except ModuleNotFoundError as error:
        if error.name != "models":
            raise
        raise ExplainError(
            f"The model {name!r} comes with a checkout of the repository, not with the installed package; "
            "name one as torchvision:NAME, timm:NAME, hf:NAME or module:factory."
        ) from error
    folder = Path(name)
    try:
        if (folder / f"{folder.name}.json").is_file():
            return models.load(folder.name, folder=folder)
        return models.load(name)
    except ValueError as error:
        raise ExplainError(
            f"{error} Others are named torchvision:NAME, timm:NAME, hf:NAME or module:factory."
        ) from error


_AUXILIARY = ("googlenet", "inception_v3")
"""They have heads that only help training, published weights that take inputs of −1 to 1, and initial weights that take
long to draw."""


def _torchvision_zoo(name: str) -> Any:
    """torchvision's networks, among them one of this name.

    Raises:
        ExplainError: it is not there, or broken, as one built for another torch is; there is no such network.
    """
    try:
        zoo = importlib.import_module("torchvision.models")
    except Exception as error:  # whatever a broken one raises
        raise ExplainError(
            f"torchvision cannot be imported ({error}); install the one that belongs to torch {torch.__version__}: "
            "pip install torch torchvision, both in one command."
        ) from error

    _check_known(name, zoo.list_models(module=zoo), "torchvision")
    return zoo


def _timm_zoo(name: str) -> Any:
    """timm, with a network of this name, perhaps with the tag of its weights.

    Raises:
        ExplainError: it is not there, or broken; there is no such network.
    """
    try:
        timm = importlib.import_module("timm")
    except Exception as error:  # whatever a broken one raises
        raise ExplainError(f"timm cannot be imported ({error}); install it: pip install timm.") from error
    _check_known(name.partition(".")[0], timm.list_models(), "timm")
    return timm


def _check_known(name: str, known: list[str], library: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=4) or known[:6]
        raise ExplainError(f"{library} has no classifier {name!r}; the closest are {', '.join(near)}.")


def _torchvision(name: str, weights: Path | None) -> tuple[nn.Module, Preprocess]:
    zoo = _torchvision_zoo(name)
    presets = zoo.get_model_weights(name)
    preset = presets["DEFAULT"]
    if weights is not None:
        state = read_state(weights)
        options: dict[str, Any] = {"num_classes": len(torch.atleast_1d(list(state.values())[-1]))}
        if name in _AUXILIARY:
            options |= {"aux_logits": False, "init_weights": False, "transform_input": True}
            state = {key: value for key, value in state.items() if not key.lower().startswith("aux")}
        model = zoo.get_model(name, weights=None, **options)
        fill(model, state, f"The weights in {weights} do not fit torchvision's {name}")
        trained = next((each for each in presets if each.url.endswith(f"/{weights.name}")), preset)
        return model, preprocess_of(trained.transforms())
    try:
        return zoo.get_model(name, weights=preset), preprocess_of(preset.transforms())
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; a bad hash is a RuntimeError
        raise ExplainError(
            f"The weights of torchvision:{name} could not be downloaded ({error}); on a machine with a network save "
            f"{preset.url.rsplit('/', 1)[-1]}, copy it here and pass it with --weights."
        ) from error


def _timm(name: str, weights: Path | None) -> nn.Module:
    timm = _timm_zoo(name)
    if weights is None:
        raise ExplainError(
            f"timm:{name} needs --weights FILE, since none are downloaded; on a machine with a network, "
            f"torch.save(timm.create_model({name!r}, pretrained=True).state_dict(), FILE) writes them."
        )
    state = read_state(weights)
    heads = timm.models.get_pretrained_cfg_value(name, "classifier") or ()
    # The head's own width, and not the last tensor's, which may be a counter of a normalisation.
    width = next((len(state[f"{head}.weight"]) for head in _listed(heads) if f"{head}.weight" in state), None)
    options = {} if width is None else {"num_classes": width}
    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    fill(model, state, f"The weights in {weights} do not fit timm's {name}")
    return model


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _huggingface(name: str) -> nn.Module:
    """A transformers model with its processor, from the hub or a folder that ``save_pretrained`` wrote."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(name)
        kind = (config.architectures or [""])[0]
        if not hasattr(transformers, kind):
            raise ExplainError(
                f"{name} is a {kind or 'model of no named kind'}, unknown to this transformers; update it."
            )
        model = getattr(transformers, kind).from_pretrained(name)
        return wrap(model, _processor(name))
    except (OSError, ValueError) as error:
        if isinstance(error, ExplainError):
            raise
        first = str(error).strip().splitlines()[0]
        raise ExplainError(
            f"{name} cannot be loaded ({first}); name a model of the hub, or a folder that the save_pretrained of both "
            "the model and its processor wrote."
        ) from error


def _processor(name: str) -> Any:
    """The processor; of an older captioner, which has none as a whole, its parts."""
    import transformers

    whole = transformers.AutoProcessor.from_pretrained(name)
    if hasattr(whole, "image_processor"):
        return whole
    pictures = transformers.AutoImageProcessor.from_pretrained(name)
    try:
        return Parts(pictures, transformers.AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError):  # a classifier has no tokenizer
        return pictures


def _factory(module: str, name: str, weights: Path | None) -> nn.Module:
    sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ExplainError(f"There is no module {error.name!r} to import; start where {module}.py lies.") from error
    except AttributeError as error:
        raise ExplainError(f"The module {module!r} has no {name!r}; name a function that returns the model.") from error
    finally:
        sys.path.pop(0)
    model = factory(weights) if weights is not None else factory()
    if not isinstance(model, nn.Module):
        raise ExplainError(f"{module}:{name} gave {type(model).__name__}; it has to return a torch.nn.Module.")
    return model
