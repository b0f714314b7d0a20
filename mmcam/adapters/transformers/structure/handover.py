"""Where a model of pictures and words hands over to its language model, seen by running it.

All of these models are called alike inside: something makes vectors of the picture, and a language model is called with
them by name, as ``inputs_embeds`` among those of the words, or beside them. So the pass can be broken off there, what
is handed over read, and the pass repeated with something else in its place; what family a model is of does not matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.engine.modules import find_module
from mmcam.engine.outputs import tensors_in
from mmcam.engine.tap import Reached
from mmcam.errors import ExplainError

Call = dict[str, Any]
"""What a language model is called with, by name; what it is given by place has the place's number as a name."""


@dataclass(frozen=True)
class Handover:
    """The two parts of a model.

    Attributes:
        language: dotted name of the language model.
        tower: of the encoder of pictures.
    """

    language: str
    tower: str


def find_handover(model: nn.Module, run: Callable[[], Any]) -> Handover:
    """The parts of a model, from one pass.

    Args:
        model: inside `mmcam.engine.as_found.as_found`.
        run: runs it on a picture and words.

    Raises:
        ExplainError: no part of it is called as a language model is.
    """
    names = {module: name for name, module in model.named_modules() if name}
    entered: list[nn.Module] = []
    reading: list[nn.Module] = []  # the outermost modules that were given embeddings
    open_ = 0

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        nonlocal open_
        if any(t.is_floating_point() for t in tensors_in((args, dict(kwargs)))):
            entered.append(module)
        if _reads(module, kwargs):
            if not open_:
                reading.append(module)
            open_ += 1

    def leave(module: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        nonlocal open_
        open_ -= _reads(module, kwargs)

    with contextlib.ExitStack() as stack:
        for module in names:
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
        run()
    if not reading:
        raise ExplainError(
            f"{type(model).__name__} calls no language model with a picture's vectors ({', '.join(GIVEN)}), "
            "which are what is explained."
        )
    language = names[reading[-1]]
    for module in entered:
        around = language == names[module] or language.startswith(f"{names[module]}.")
        if not (around or isinstance(module, nn.Embedding) or names[module].startswith(f"{language}.")):
            return Handover(language, names[module])
    raise ExplainError(
        f"{type(model).__name__} runs nothing before its language model; there is no encoder to explain."
    )


GIVEN = ("inputs_embeds", "cross_attention_states", "image_embeds")
"""By what names language models take vectors: among those of the words, for cross-attention, or beside the words."""


def _reads(module: nn.Module, kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(given := kwargs.get(name), Tensor) and given.ndim == 3 for name in GIVEN)


def handed_over(model: nn.Module, language: str, run: Callable[[], Any]) -> Call:
    """What a language model is called with; the pass is broken off there.

    Args:
        model: inside `mmcam.engine.as_found.as_found`.
        language: dotted name.
        run: runs the model.

    Raises:
        ExplainError: it is not called.
    """
    found: list[Call] = []

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        found.append({**{str(place): value for place, value in enumerate(args)}, **kwargs})
        raise Reached

    handle = find_module(model, language).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with contextlib.suppress(Reached):
            run()
    finally:
        handle.remove()
    if not found:
        raise ExplainError(f"{type(model).__name__} does not call its language model {language!r} for this prompt.")
    return found[0]


@contextlib.contextmanager
def given_instead(model: nn.Module, language: str, change: Callable[[Call], Call]) -> Iterator[None]:
    """Inside, a language model is called with something else; what comes before it is not recorded.

    Args:
        model: inside `mmcam.engine.as_found.as_found`.
        language: dotted name.
        change: from what it would be called with to what it is called with.
    """
    recording = torch.is_grad_enabled()

    def put(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        torch.set_grad_enabled(recording)
        new = change({**{str(place): value for place, value in enumerate(args)}, **kwargs})
        return tuple(new.pop(str(place)) for place in range(len(args))), new

    handle = find_module(model, language).register_forward_pre_hook(put, with_kwargs=True)
    try:
        torch.set_grad_enabled(False)
        yield
    finally:
        handle.remove()
        torch.set_grad_enabled(recording)


class Memo:
    """What a model's encoder gave, handed out again instead of a second run.

    A model of transformers says ``get_image_features`` for all that it does with a picture; where it has none, or does
    not call it, it is the encoder's own run that is remembered.
    """

    def __init__(self, model: nn.Module, tower: str) -> None:
        self._owners = [m for m in model.modules() if callable(getattr(m, "get_image_features", None))]
        self._tower = find_module(model, tower)
        self._kept: dict[tuple[nn.Module, str], list[Any]] = {}

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Inside, what is given is noted."""
        self._kept = {}
        with self._instead(self._note):
            yield

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Inside, it is handed out, in the order of the calls."""
        outputs = {key: iter(own) for key, own in self._kept.items()}

        def given(key: tuple[nn.Module, str], original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            known = next(outputs.get(key, iter(())), None)
            return original(*args, **kwargs) if known is None else known

        with self._instead(given):
            yield

    def _note(self, key: tuple[nn.Module, str], original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        self._kept.setdefault(key, []).append(output)
        return output

    @contextlib.contextmanager
    def _instead(self, way: Callable[..., Any]) -> Iterator[None]:
        keys = [(owner, "get_image_features") for owner in self._owners] + [(self._tower, "forward")]
        before = {key: vars(key[0]).get(key[1]) for key in keys}
        try:
            for owner, name in keys:
                vars(owner)[name] = _bound(way, (owner, name), getattr(owner, name))
            yield
        finally:
            for (owner, name), found in before.items():
                if found is None:
                    vars(owner).pop(name, None)
                else:
                    vars(owner)[name] = found


def _bound(way: Callable[..., Any], key: tuple[nn.Module, str], original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: way(key, original, *args, **kwargs)
