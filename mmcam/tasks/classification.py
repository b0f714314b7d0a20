"""Classification: any module from pictures (N,C,H,W) to logits (N, classes), single- or multi-label."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcam.adapters.timm import timm_classes
from mmcam.engine.outputs import Target, first_tensor
from mmcam.errors import ExplainError
from mmcam.tasks.anything import has_forward


def logits_of(output: Any) -> Tensor:
    """The logits (N, classes) in a model's output: the tensor itself, ``.logits``, or the first tensor of a tuple.

    Raises:
        ExplainError: there is none of that shape.
    """
    logits = getattr(output, "logits", None)
    logits = logits if isinstance(logits, Tensor) else first_tensor(output)
    if logits is None or logits.ndim != 2:
        form = "no tensor" if logits is None else f"shape {tuple(logits.shape)}"
        raise ExplainError(
            f"A classifier gives logits (N, classes); this model gives {form}. Pass a function output → (N,) as target."
        )
    return logits


_INSTEAD = {
    "similarity": "explain_similarity(model, picture, text)",
    "answer_scores": "explain_answer(model, picture, question)",
    "asked": "explain_answer(model, picture, question)",
    "token_log_probs": "explain_caption(model, picture)",
}
"""What explains a model that offers a method of another task."""


def check_classifier(model: nn.Module, targets: Iterable[Any]) -> None:
    """Raise ExplainError if a model has no classes, unless every target is a function of its output.

    A model of pictures and texts gives an embedding: its coordinates look like logits and mean nothing. A captioner or
    VQA model may have no output for a picture alone.
    """
    name, call = type(model).__name__, next((call for way, call in _INSTEAD.items() if hasattr(model, way)), "")
    if call and not has_forward(model):
        raise ExplainError(f"{name} has no classes; use mmcam.{call}.")
    if hasattr(model, "similarity") and not all(callable(target) for target in targets):
        raise ExplainError(
            f"{name} compares pictures with texts and has no classes, only the coordinates of an embedding; use "
            f"mmcam.{call}, or pass a function of the embeddings (N,D) as target."
        )


def index_target(index: int | Tensor) -> Target:
    """The logit of one class for all pictures, or of one class a picture (LongTensor (N,)).

    The target raises ExplainError for an index the model has no class for.
    """

    def score(output: Any) -> Tensor:
        logits = logits_of(output)
        pictures, classes = logits.shape
        indices = torch.as_tensor(index, device=logits.device)
        if indices.ndim and indices.shape != (pictures,):
            raise ExplainError(f"There are {indices.numel()} classes for {pictures} pictures; give one a picture.")
        indices = indices.expand(pictures)
        unknown = indices[(indices < -classes) | (indices >= classes)]
        if len(unknown):
            raise ExplainError(f"There is no class {int(unknown[0])}: the model has classes 0…{classes - 1}.")
        return logits.gather(1, (indices % classes)[:, None])[:, 0]

    return score


def both_are(what: str, name: str) -> ExplainError:
    """The error for a contrast that is what is explained itself."""
    return ExplainError(f"The {what} and its contrast are both {name!r}; choose two.")


def predicted_target(chosen: list[Tensor]) -> Target:
    """The highest logit of each picture; the classes it fell on, (N,), are put into `chosen`.

    The first output decides: a method that changes the pictures afterwards asks about the class it began with.
    """

    def score(output: Any) -> Tensor:
        if not chosen:
            chosen.append(logits_of(output).argmax(dim=1))
        return index_target(chosen[0])(output)

    return score


def class_names(model: nn.Module, names: Sequence[str] | None) -> Sequence[str] | None:
    """The names of a model's classes, in order: as given, the model's own ``classes``, its ``config.id2label``, or
    ImageNet's for a classifier of torchvision or timm with as many outputs; None where nothing says.
    """
    if names is not None:
        return names
    if isinstance(own := getattr(model, "classes", None), Sequence):
        return own
    labels = getattr(getattr(model, "config", None), "id2label", None)
    if labels:
        return [labels[i] for i in range(len(labels))]
    if type(model).__module__.startswith("torchvision.models.") and _outputs(model) == 1000:
        from torchvision.models import ResNet50_Weights

        return ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
    return timm_classes(model)


def class_index(name: str, names: Sequence[str] | None) -> int:
    """The index of a class by its name, whatever the case; ``"cat, tiger cat"`` is also found as ``"cat"``.

    Raises:
        ExplainError: unknown or ambiguous; the message lists the closest names.
    """
    if names is None:
        raise ExplainError(f"The classes of this model have no names, so {name!r} cannot be found; pass names=[…].")
    return nearest(name, names, "class")


def nearest(wanted: str, known: Sequence[str], what: str) -> int:
    """Index of a string among known ones: exact, then without case, then one of its comma-separated synonyms.

    Raises:
        ExplainError: not there; the message lists the closest.
    """
    folded = wanted.strip().casefold()
    forms: list[Callable[[str], list[str]]] = [
        lambda text: [folded] if text == wanted else [],
        lambda text: [text.casefold()],
        lambda text: [part.strip().casefold() for part in text.split(",")],
    ]
    for form in forms:
        hits = [i for i, text in enumerate(known) if folded in form(text)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise ExplainError(f"There are {len(hits)} {what}es named {wanted!r}: {hits}; pass the index.")
    near = difflib.get_close_matches(folded, [text.casefold() for text in known], n=4, cutoff=0.5)
    near += [text for text in known if folded in text.casefold() and text.casefold() not in near]
    hint = f"the closest are {', '.join(near[:4])}." if near else f"there are {', '.join(list(known)[:8])} …"
    raise ExplainError(f"There is no {what} {wanted!r}; {hint}")


def _outputs(model: nn.Module) -> int | None:
    widths = [m.out_features if isinstance(m, nn.Linear) else m.out_channels
              for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]  # fmt: skip
    return widths[-1] if widths else None
