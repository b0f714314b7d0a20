"""Which tensor of a model's output holds the scores of its classes.

It is one tensor (N, classes), and how it is told depends on what the model gives:

* **a tensor** is it.
* **a mapping, named tuple or dataclass**: the one called ``logits``, or the only one that fits.
* **a plain tuple or list**: the one with as many columns as there are names. Without names the first of a tuple, as in
  (logits, auxiliary logits); but a single column beside more is a value, one from which another is computed is
  features, and one that is a softmax or sigmoid of another is no second answer.

Boxes, hidden states, embeddings and rows of length 1 are never class scores. Where that leaves none or several, the
error lists what there is and shows the function to write.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.tasks.graph import computed_from, operation
from mmcam.tasks.names import as_many

Find = Callable[[Any], Tensor]
"""A model's output → its class scores (N, classes)."""

SQUASHING = ("Softmax", "Sigmoid", "LogSoftmax")
"""Operations, by their names in autograd, that make probabilities of scores."""

_NO_CLASSES = (
    "box",
    "embed",
    "feature",
    "feats",
    "hidden",
    "pooler",
    "pooled",
    "attention",
    "mask",
    "keypoint",
    "latent",
)
"""What the names of tensors that are no class scores hold."""

_LISTED = 8
"""Tensors that a message lists."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A tensor of an output.

    Attributes:
        path: how it is reached, as code: ``["out"]``, ``.logits``, ``[0]``.
        names: the keys and fields on the way.
        depth: how many steps that takes.
        tensor: itself.
    """

    path: str
    names: tuple[str, ...]
    depth: int
    tensor: Tensor

    def __str__(self) -> str:
        kind = "" if self.tensor.is_floating_point() else f" of {self.tensor.dtype}".replace("torch.", "")
        return f"out{self.path} {tuple(self.tensor.shape)}{kind}"


def finder(names: Sequence[str] | None = None, what: str = "class") -> Find:
    """Finds the class scores in a model's outputs, at the same place in each.

    Args:
        names: of the classes; where there are some, the scores have as many columns, or one for two names.
        what: one is called in messages.

    Returns:
        Output → (N, classes); raises ExplainError where none or several tensors may be meant.
    """
    known: list[str] = []

    def find(output: Any) -> Tensor:
        if isinstance(output, Tensor):
            found = Part("", (), 0, output)
        elif known:  # the first output decides: a later one may come without the graph that told
            found = next((part for part in parts(output) if part.path == known[0]), None) or _find(output, names)
        else:
            found = _find(output, names)
        if not known:
            _check(found, names, what)
            known.append(found.path)
        return found.tensor

    return find


def parts(output: Any, path: str = "", names: tuple[str, ...] = (), depth: int = 0) -> Iterator[Part]:
    """The tensors of an output, nested in tuples, lists, mappings, dataclasses and other plain objects."""
    if isinstance(output, Tensor):
        yield Part(path, names, depth, output)
    elif depth < 4:
        for step, name, value in _entries(output):
            yield from parts(value, path + step, (*names, name), depth + 1)


def _entries(output: Any) -> Iterator[tuple[str, str, Any]]:
    """(the step as code, its name, the value) of all that a structure holds."""
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        yield from ((f".{name}", name, getattr(output, name)) for name in output._fields)
    elif isinstance(output, (tuple, list)):
        yield from ((f"[{i}]", "", value) for i, value in enumerate(output))
    elif isinstance(output, Mapping):
        attributes = dataclasses.is_dataclass(output)  # as transformers' outputs, which are both
        yield from ((f".{k}" if attributes else f"[{k!r}]", str(k), value) for k, value in output.items())
    elif hasattr(output, "__dict__") and not isinstance(output, type):
        fields = dict(vars(output))
        if isinstance(logits := getattr(output, "logits", None), Tensor):  # a property, too
            fields["logits"] = logits
        yield from ((f".{name}", name, value) for name, value in fields.items() if not name.startswith("_"))


def _find(output: Any, names: Sequence[str] | None) -> Part:
    """The one part that is meant."""
    every = list(parts(output))
    called = [part for part in every if part.names and part.names[-1] == "logits"]
    if called:
        nearest = min(part.depth for part in called)
        candidates = [part for part in called if part.depth == nearest]
    else:
        candidates = [] if _one_a_picture(output) else [part for part in every if _fits(part, every)]
        nearest = min((part.depth for part in candidates), default=0)
        candidates = [part for part in candidates if part.depth == nearest]
        candidates = [part for part in candidates if not _is_auxiliary(part)] or candidates
        if names is not None and len(candidates) > 1:
            wide = [part for part in candidates if part.tensor.shape[1] == len(names)]
            one = [part for part in candidates if part.tensor.shape[1] == 1 and len(names) == 2]
            candidates = wide or one or candidates
            if not wide and not one:
                raise _unclear(f"There are {len(names)} names, and no output has as many columns", every)
    plain = isinstance(output, (tuple, list)) and not hasattr(output, "_fields")
    if len(candidates) > 1 and plain and nearest == 1:
        candidates = _of_several(candidates, every, first=names is None and isinstance(output, tuple))
    if not candidates:
        raise _unclear("This output holds no class scores (N, classes)", every)
    if len(candidates) > 1:
        raise _unclear("Several tensors of this output may hold the class scores", every)
    return candidates[0]


def _of_several(candidates: list[Part], every: list[Part], first: bool) -> list[Part]:
    """Those of a plain tuple's or list's tensors that may be the class scores: the first, if their order may decide."""
    widest = max(part.tensor.shape[1] for part in candidates)
    candidates = [part for part in candidates if part.tensor.shape[1] > 1 or widest == 1]
    if len(candidates) == 1:
        return candidates
    if not all(part.tensor.requires_grad for part in candidates):
        raise _unclear(
            "Several tensors of this output may hold the class scores, and a method without gradients cannot see which "
            "is computed from which",
            every,
        )
    dropped: list[Part] = []
    for part in candidates:
        for other in candidates:
            if part is not other and computed_from(other.tensor, part.tensor):
                if operation(other.tensor) in SQUASHING:
                    dropped.append(other)  # probabilities of the scores
                elif part.tensor.shape[1] != other.tensor.shape[1]:
                    dropped.append(part)  # features
                else:
                    return candidates
    left = [part for part in candidates if not any(part is other for other in dropped)]
    return left[:1] if first else left


def _fits(part: Part, every: list[Part]) -> bool:
    """A part could be class scores: by its shape, its name, its length and its neighbours."""
    tensor, name = part.tensor, part.names[-1].casefold() if part.names else ""
    if tensor.ndim != 2 or not tensor.is_floating_point() or not tensor.shape[1]:
        return False
    if any(word in name for word in _NO_CLASSES) or of_length_1(tensor):
        return False
    labels = [p.tensor for p in every if p.tensor.shape == tensor.shape[:1] and not p.tensor.is_floating_point()]
    # Four columns beside whole numbers are boxes with their labels, unless the labels are the highest of the four.
    return tensor.shape[1] != 4 or all(torch.equal(label, tensor.argmax(1)) for label in labels)


def _one_a_picture(output: Any) -> bool:
    """A detector's output: a list of a mapping for each picture, whose rows are its findings."""
    return isinstance(output, (tuple, list)) and any(isinstance(entry, Mapping) for entry in output[:1])


def of_length_1(tensor: Tensor) -> bool:
    """Rows that were divided by their length are embeddings; probabilities of one sure class have length 1, too.

    Where the graph is seen, it has to show a division or a product: scores may have that length by chance.
    """
    made = operation(tensor)
    if tensor.shape[1] < 2 or made not in ("", "Div", "Mul"):
        return False
    rows = tensor.detach().float()
    near = 8 * torch.finfo(tensor.dtype).eps
    unit = ((rows.norm(dim=1) - 1).abs() < near).all()
    return bool(unit) and not bool(((rows >= 0).all(1) & ((rows.sum(1) - 1).abs() < near)).all())


def _check(part: Part, names: Sequence[str] | None, what: str) -> None:
    """Raise ExplainError unless what was found is class scores, and as many as there are names."""
    tensor = part.tensor
    if tensor.ndim != 2 or not tensor.is_floating_point():
        where = f" in out{part.path}" if part.path else ""
        form = f"shape {tuple(tensor.shape)}" + ("" if tensor.is_floating_point() else f" of {tensor.dtype}")
        raise ExplainError(
            f"A classifier gives logits (N, classes); this model gives {form}{where}; "
            f"pass a function output → (N,) as target, e.g. {remedy(part)}."
        )
    if names is not None:
        if (tensor.shape[1], len(names)) != (1, 2):
            as_many(names, tensor.shape[1], what)
    elif of_length_1(tensor):
        raise ExplainError(
            f"The rows of this model's output {tuple(tensor.shape)} have length 1, as embeddings have, and their "
            "coordinates are no classes; compare them in a function, e.g. target=lambda out: "
            f"torch.cosine_similarity(out{part.path}, other), or pass names= if they are classes."
        )


def remedy(part: Part) -> str:
    """A target function for a tensor of an output, as code."""
    code, tensor = f"out{part.path}", part.tensor
    if any("box" in name.casefold() for name in part.names) or tensor.ndim > 4:
        return f"target=lambda out: {code}.flatten(1).amax(1)"
    if tensor.ndim < 2:
        return f"target=lambda out: {code}"
    if tensor.ndim == 3:
        return f"target=lambda out: {code}[..., {min(3, tensor.shape[-1] - 1)}].amax(1)"
    column = min(3, tensor.shape[1] - 1)
    return f"target=lambda out: {code}[:, {column}]" + (".mean((1, 2))" if tensor.ndim == 4 else "")


def _unclear(problem: str, every: list[Part]) -> ExplainError:
    """The error that lists the tensors of an output and shows the function to write."""
    if not every:
        return ExplainError(
            f"{problem}, nor any tensor; wrap the model in a module that returns its logits (N, classes)."
        )
    listed = ", ".join(map(str, every[:_LISTED])) + (", …" if len(every) > _LISTED else "")
    scores = [part for part in every if part.names and part.names[-1] in ("scores", "logits", "pred_logits")]
    floats = [part for part in every if part.tensor.is_floating_point() and not _is_box(part)]
    best = (scores or [part for part in floats if part.tensor.ndim == 2][-1:] or floats or every)[0]
    code = remedy(best)
    if best.path.startswith("[0][") or (best.path.startswith("[0].") and best.tensor.ndim < 2):  # of each picture
        code = f"target=lambda out: torch.stack([found{best.path[3:]}[0] for found in out])"
    boxes = "; boxes are no class scores" if any(map(_is_box, every)) else ""
    return ExplainError(f"{problem}: it gives {listed}{boxes}; pass a function output → (N,) as target, e.g. {code}.")


def _is_auxiliary(part: Part) -> bool:
    """Called so by the model: a head that only helped in training."""
    return any(name.lower().startswith("aux") for name in part.names)


def _is_box(part: Part) -> bool:
    return any("box" in name.casefold() for name in part.names)
