"""The registry: every method by its name, with what it needs, what it costs and where it comes from."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer
from mmcam.engine.shown import HeadAttention, TokenActivations
from mmcam.errors import ExplainError

Family = Literal["cam", "pixels", "excitation", "perturbation", "attention", "tokens"]
Fusion = Literal["max", "product"]
"""How the maps of several layers become one (see `mmcam.methods.fusion.fuse`)."""


@dataclass(frozen=True)
class Maps:
    """What a method gives for T targets and N pictures.

    Attributes:
        values: cams (T,N,h,w) at the layer's resolution or the input's, or pixel maps (T,N,C,H,W).
        scores: (T,N), of the pictures as they are.
        weights: α (T,N,K) where the method weighs channels, else None.
        activations: A (N,K,h,w), what the weights weigh; None where there are none.
        positive: of several layers' fused maps, whether that of each layer is positive anywhere (layers,T,N).
    """

    values: Tensor
    scores: Tensor
    weights: Tensor | None = None
    activations: Tensor | None = None
    positive: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Question(Computation):
    """What a method may look at: a model, how to run it, its pictures and the targets (see `Computation`).

    Attributes:
        where: gives the layer; called only by methods that read one, so the others work on models without.
        others: give further layers, whose maps are fused with that of the first.
        fuse: how.
        language: a language side follows the part of the model that sees the picture.
        attention: the model's own attention for the targets, (T,N,h,w) by the name of its level, the last level last;
            None where the model has none or the task does not ask it.
        token_activations: of each picture how high the tokens of its text score at its places, and which of the text's
            last tokens each target is about (T,L); None where the model does not tell.
        head_attention: the same of what each attention head pays these places.
    """

    where: Callable[[], Layer]
    others: Sequence[Callable[[], Layer]] = ()
    fuse: Fusion = "max"
    language: bool = False
    attention: Callable[[], Mapping[str, Tensor]] | None = None
    token_activations: Callable[[], Sequence[tuple[TokenActivations, Tensor]]] | None = None
    head_attention: Callable[[], Sequence[tuple[HeadAttention, Tensor]]] | None = None

    @property
    def layer(self) -> Layer:
        """Where activations are read."""
        return self.where()

    @property
    def layers(self) -> list[Layer]:
        """The layer, and the others."""
        return [self.where(), *(other() for other in self.others)]


@dataclass(frozen=True)
class Method:
    """A named method.

    Attributes:
        compute: from the question and the options to its maps.
        source: paper and equation.
        family: where it is described, and what its maps are like: "pixels" are over the input's pixels and channels.
        cost: what it runs, for any number of targets of a batch unless it says otherwise.
        needs: what the model has to have; "" if nothing.
        options: names and defaults of its own options.
        more: further options are handed to the method it builds on.
        several: it reads all layers of a question in one pass and fuses their maps itself.
    """

    name: str
    compute: Callable[..., Maps]
    source: str
    family: Family = "cam"
    cost: str = ""
    needs: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    more: bool = False
    several: bool = False

    @property
    def pixels(self) -> bool:
        """The maps are over the input's pixels and channels, (T,N,C,H,W), not cams (T,N,h,w)."""
        return self.family == "pixels"

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ExplainError for an option the method does not have, with those it has, or a value of another type."""
        for name, value in options.items():
            default = self.options.get(name)
            wanted = (int, float) if isinstance(default, float) else type(default)
            if default is not None and (not isinstance(value, wanted) or type(value) is bool is not type(default)):
                kind = type(default).__name__
                raise ExplainError(f"Option {name}={value!r} of method {self.name!r} has to be of type {kind}.")
        others = {option for method in METHODS.values() for option in method.options} if self.more else set()
        for name in sorted(options.keys() - self.options.keys() - others):
            near = _closest(name, self.options)
            if near or not self.more:
                has = f"its options are {', '.join(self.options)}" if self.options else "it has none"
                hint = f"; did you mean {near!r}?" if near else "."
                raise ExplainError(f"Method {self.name!r} has no option {name!r}; {has}{hint}")

    def __call__(self, question: Question, **options: Any) -> Maps:
        """The method's maps; raises ExplainError for an option it does not have."""
        self.check(options)
        return self.compute(question, **options)


METHODS: dict[str, Method] = {}


def register(
    name: str,
    source: str,
    *,
    family: Family = "cam",
    cost: str = "",
    needs: str = "",
    options: Mapping[str, Any] | None = None,
    several: bool = False,
) -> Callable[[Callable[..., Maps]], Callable[..., Maps]]:
    """Make a function ``(question, *, options…) -> Maps`` available as ``method=name`` in every explain function.

    Args:
        name, source, family, cost, needs, several: as in `Method`.
        options: names and defaults; by default the keyword-only parameters of the function.

    Raises:
        ValueError: the name is taken.
    """

    def add(compute: Callable[..., Maps]) -> Callable[..., Maps]:
        if name in METHODS:
            raise ValueError(f"There is a method {name!r} already; register this one under another name.")
        parameters = inspect.signature(compute).parameters.values()
        more = options is None and any(p.kind is p.VAR_KEYWORD for p in parameters)
        own = keyword_options(compute) if options is None else dict(options)
        METHODS[name] = Method(name, compute, source, family, cost, needs, own, more, several)
        return compute

    return add


def keyword_options(function: Callable[..., Any]) -> dict[str, Any]:
    """Names and defaults of a function's keyword-only parameters."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}


def get(name: str) -> Method:
    """The method of a name.

    Raises:
        ExplainError: there is none; the message lists all and the closest.
    """
    if not isinstance(name, str):
        raise ExplainError(f"A method is named by a text, as 'gradcam', and not by a {type(name).__name__}.")
    if name not in METHODS:
        near = _closest(name, METHODS)
        hint = f"did you mean {near!r}? " if near else ""
        shown = repr(name if len(name) <= 60 else f"{name[:50]}…")
        raise ExplainError(f"There is no method {shown}; {hint}There are: {', '.join(sorted(METHODS))}.")
    return METHODS[name]


def _closest(name: str, names: Iterable[str]) -> str:
    """The name that is meant: the same letters in another case and with other marks, one of the words, or one alike."""
    plain = {_plain(other): other for other in names}
    meant = _plain(name[:60])
    near = [word for word in (meant, *map(_plain, name[:60].split("_"))) if word in plain]
    near = near or difflib.get_close_matches(meant, plain, n=1)
    return plain[near[0]] if near else ""


def _plain(name: str) -> str:
    """Small letters and digits alone; "++" may be written "pp" or "plusplus"."""
    return re.sub(r"[^a-z0-9+]", "", name.lower().replace("plusplus", "++")).replace("++", "pp")
