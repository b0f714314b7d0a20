"""The models that installed packages offer, found through an entry-point group, since mmcam knows no model by name.

A package offers models by a module that is a `Models`, named in its pyproject.toml:

```toml
[project.entry-points."mmcam.models"]
mine = "my_package.my_module"
```

The bundled models are one such package. A name is looked up in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch

from mmcam.errors import ExplainError
from mmcam.files import is_file, read_json
from mmcam.models import finetuned
from mmcam.neurons.dissection import Dissection

GROUP = "mmcam.models"


class Models(Protocol):
    """What a module of the entry-point group is."""

    @property
    def DEFAULTS(self) -> Mapping[str, str]:  # noqa: N802 - a constant of the module
        """The name of the model that answers where none is named, by task: "class", "caption" or "answer".

        With "vignette-" before it, a task is about drawn scenes (`mmcam.datasets.vignettes`).
        """

    def names(self) -> Sequence[str]:
        """The models it offers."""

    def load(self, name: str, *, device: str | torch.device = ..., folder: Path = ...) -> Any:
        """One of them in eval mode; from a run's folder if one is given. A ValueError says what is wrong with it."""

    def task(self, name: str) -> str:
        """What one of them does, without loading it: "class", "caption" or "answer"."""

    def builds(self, card: Mapping[str, Any]) -> bool:
        """Whether the card of a run, FOLDER/FOLDER.json, describes one that it can load."""

    def dissection(self, name: str) -> Dissection:
        """What the units of one of them detect. A ValueError says that nobody has looked."""


def names() -> tuple[str, ...]:
    """The names that `load` knows, in alphabetical order."""
    return tuple(sorted(name for models in _offered() for name in models.names()))


def load(name: str | PathLike[str], *, device: str | torch.device = "cpu") -> Any:
    """A model that an installed package offers, in eval mode.

    Args:
        name: one of `names`, or the folder of a run that a training script or `mmcam finetune` wrote.
        device: where to put it.

    Returns:
        A ``torch.nn.Module``; its class is its package's own.

    Raises:
        ExplainError: no such model or device, or weights that are not those of its card.
    """
    check_device(device)
    folder = Path(name)
    card = folder / f"{folder.name}.json"
    try:
        if is_file(card):
            return _builder(card).load(folder.name, device=device, folder=folder)
        models = _offering(str(name))
        if models is None:
            raise ExplainError(f"There is no bundled model {str(name)!r}; there are {', '.join(names())}.")
        return models.load(str(name), device=device)
    except ExplainError:
        raise
    except ValueError as error:
        raise ExplainError(str(error)) from error


def dissection(name: str) -> Dissection:
    """What the units of a model's default layer detect: the dissection that comes with it.

    Args:
        name: one of `names`.

    Raises:
        ExplainError: none does.
    """
    models = _offering(name)
    try:
        if models is not None:
            return models.dissection(name)
        reason = None
    except ValueError as error:
        reason = error
    raise ExplainError(
        f"No dissection comes with {name!r}; make one with `mmcam dissect {name}` and pass it with --names."
    ) from reason


def task(name: str) -> str:
    """What a model does, without loading it: "class", "caption" or "answer".

    Args:
        name: one of `names`.

    Raises:
        ExplainError: there is no such model.
    """
    models = _offering(name)
    if models is None:
        raise ExplainError(f"There is no bundled model {name!r}; there are {', '.join(names())}.")
    return models.task(name)


def default(task: str) -> str:
    """The name of the model that answers where none is named.

    Args:
        task: "class", "caption" or "answer", or one of these with "vignette-" before it, for drawn scenes.

    Raises:
        ExplainError: no installed package offers one.
    """
    for models in _offered():
        if task in models.DEFAULTS:
            return models.DEFAULTS[task]
    raise ExplainError(f"No installed package has a model for the task {task!r}; name one.")


_BACKENDS: Mapping[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "xpu": torch.xpu.is_available,
}


def check_device(device: str | torch.device) -> None:
    """Nothing where torch knows the device.

    Raises:
        ExplainError: it does not.
    """
    try:
        kind = torch.device(device).type
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # unknown, not built in, or not there
        if str(device).partition(":")[0] not in _BACKENDS:
            raise ExplainError(f"There is no device {str(device)!r}; cpu or cuda would do.") from error
        there = [name for name, is_there in _BACKENDS.items() if is_there()]
        raise ExplainError(f"This machine has no {str(device)!r}; {' or '.join(['cpu', *there])} would do.") from error
    if kind == "meta":
        raise ExplainError("The device 'meta' computes nothing; cpu or cuda would do.")


def _offered() -> list[Models]:
    """The modules of the group.

    Raises:
        ExplainError: there is none, or one cannot be imported.
    """
    found = []
    for point in entry_points(group=GROUP):
        try:
            found.append(point.load())
        except Exception as error:  # whatever a broken package raises
            raise ExplainError(
                f"The models of {point.value!r} cannot be imported ({error}); install that package anew, or remove it."
            ) from error
    if not found:
        raise ExplainError(
            "No installed package offers models; install mmcam, which brings the bundled ones, with pip (in a checkout "
            "of the repository: pip install -e .)."
        )
    return found


def _offering(name: str) -> Models | None:
    """Who has a model of this name, if anybody.

    Raises:
        ExplainError: several have.
    """
    having = [models for models in _offered() if name in models.names()]
    if len(having) > 1:
        raise ExplainError(f"{len(having)} installed packages offer a model {name!r}; remove all but one of them.")
    return having[0] if having else None


def _builder(card: Path) -> Models:
    """Who can load the run of this card.

    Raises:
        ExplainError: nobody can.
    """
    described = read_json(card)
    if not isinstance(described, dict) or not isinstance(described.get("model"), str):
        raise ExplainError(f"{card} is no card of a run: it does not say which model it is of.")
    if finetuned.builds(described):
        return finetuned
    for models in _offered():
        if models.builds(described):
            return models
    raise ExplainError(f"No installed package builds the model {described['model']!r} that {card} describes.")
