"""The models that can be asked: loaded once, when they are first asked, and asked by one visitor at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from mmcam.errors import ExplainError
from mmcam.models import default, dissection, names, task
from mmcam.models.specification import load_model
from mmcam.neurons.dissection import Dissection
from mmcam.tasks.captioning import Captioner

TASKS = ("class", "caption", "answer")
"""What models can be asked."""

DRAWN = "vignette-"
"""How the names of bundled models begin that know drawn scenes only."""


@dataclass
class Model:
    """One model.

    Attributes:
        name: as it is chosen.
        tasks: what it can be asked: "class", "caption", "answer".
        weights: the file that was named for it.
        device: where it runs.
        bundled: it ships.
        lock: held by who asks it.
        known: what was found out about it.
    """

    name: str
    tasks: tuple[str, ...]
    weights: Path | None = None
    device: str = "cpu"
    bundled: bool = True
    lock: RLock = field(default_factory=RLock, repr=False)
    known: dict[str, Any] = field(default_factory=dict, repr=False)
    _loaded: tuple[Any, Any] | None = field(default=None, repr=False)
    _units: list[Dissection | None] = field(default_factory=list, repr=False)

    @property
    def module(self) -> Any:
        """The model itself."""
        return self._load()[0]

    @property
    def preprocess(self) -> Any:
        """How its pictures are made, if the model does not say."""
        return self._load()[1]

    @property
    def units(self) -> Dissection | None:
        """What its units detect, if a dissection ships."""
        with self.lock:
            if not self._units:
                try:
                    self._units.append(dissection(self.name) if self.bundled else None)
                except ExplainError:  # nobody has looked
                    self._units.append(None)
            return self._units[0]

    def _load(self) -> tuple[Any, Any]:
        with self.lock:
            if self._loaded is None:
                self._loaded = load_model(self.name, self.weights, self.device)
            return self._loaded


class Studio:
    """All models by name.

    Args:
        more: specifications of further ones, as `mmcam.models.specification.load_model` takes them.
        weights: state dicts of those that take one (`takes_weights`), in their order; of none or of all.
        device: where all run.

    Raises:
        ExplainError: one of the further ones cannot be loaded, or does nothing the pages are about.
    """

    def __init__(self, more: Sequence[str] = (), weights: Sequence[Path] = (), device: str = "cpu") -> None:
        twice = next((spec for spec in more if list(more).count(spec) > 1), None)
        if twice is not None:
            raise ExplainError(f"{twice} is named twice, and the page tells models by their names; name it once.")
        taking = [spec for spec in more if takes_weights(spec)]
        if weights and len(weights) != len(taking):
            raise ExplainError(
                f"There are {len(taking)} models that take weights, and {len(weights)} files of them; give one a model."
            )
        files = dict(zip(taking, weights, strict=False))
        found = [Model(name, (task(name),), device=device) for name in names()]
        for place, spec in enumerate(more):
            model = Model(spec, (), files.get(spec), device, bundled=False)
            model.tasks = _tasks(spec, model.module)
            found.insert(place, model)
        self.models = {model.name: model for model in found}
        self._defaults = {kind: default(kind) for each in TASKS for kind in (each, f"{DRAWN}{each}")}

    def of(self, of_task: str) -> list[str]:
        """The names of those that can be asked a task; those of the command line first, then the default ones."""
        own = [model for model in self.models.values() if of_task in model.tasks]
        usual = {self._defaults[of_task]: 0, self._defaults[f"{DRAWN}{of_task}"]: 1}
        return [model.name for model in sorted(own, key=lambda one: (one.bundled, usual.get(one.name, 2)))]

    def bundled(self) -> list[str]:
        """The names of those that ship, whose units mostly have names."""
        return [name for of_task in TASKS for name in self.of(of_task) if self.models[name].bundled]

    def usual(self, of_task: str, drawn: bool) -> str:
        """The model that is asked where none is named: one of the command line, else the one for such pictures.

        Args:
            of_task: or a page; the page of neurons has those that ship, and of them a classifier first.
            drawn: the picture is a vignette.
        """
        own = [name for name in self.of(of_task) if not self.models[name].bundled] if of_task in TASKS else []
        of_task = of_task if of_task in TASKS else "class"
        return own[0] if own else self._defaults[f"{DRAWN}{of_task}" if drawn else of_task]

    def __getitem__(self, name: str) -> Model:
        if name not in self.models:
            raise ExplainError(f"There is no model {name[:60]!r} here; there are {', '.join(self.models)}.")
        return self.models[name]


def takes_weights(spec: str) -> bool:
    """Whether a model takes a state dict: bundled ones, folders and models of the hub bring their own."""
    kind, _, name = spec.partition(":")
    return bool(name) and kind != "hf"


def _tasks(spec: str, module: Any) -> tuple[str, ...]:
    """What a model can be asked."""
    answers = hasattr(module, "answer_scores") or hasattr(module, "asked")
    both = {"caption": isinstance(module, Captioner), "answer": answers}
    if hasattr(module, "similarity") and not any(both.values()):
        raise ExplainError(
            f"{spec} compares pictures and texts, which no page is about; explain it with mmcam explain --similar-to."
        )
    return tuple(name for name, can in both.items() if can) or ("class",)
