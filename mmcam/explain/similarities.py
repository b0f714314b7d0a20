"""Which part of a picture made it fit a text?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.explain.chunks import Errors, Way, explain_each, in_groups, per_owner
from mmcam.explain.explained import How, Layers, as_list, explanations
from mmcam.explanation import Explanation, Explanations
from mmcam.image import Batch
from mmcam.looked import Pictured, opened
from mmcam.methods.registry import Fusion
from mmcam.tasks import similarity
from mmcam.tasks.asked import checked_text, one_text, several
from mmcam.tasks.targets import is_list


@overload
def explain_similarity(
    model: nn.Module,
    images: Pictured,
    text: str,
    *,
    contrast: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanation: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Pictured,
    text: Sequence[str],
    *,
    contrast: str | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Sequence[Pictured],
    text: str | Sequence[str],
    *,
    contrast: str | Sequence[str] | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Sequence[Pictured],
    text: Sequence[Sequence[str]],
    *,
    contrast: str | Sequence[str] | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Explanations[Explanations[Explanation]]: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Iterable[Any],
    text: str | Iterable[str],
    *,
    contrast: str | Iterable[str] | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["raise"] = "raise",
    **options: Any,
) -> Iterator[Explanation]: ...
@overload
def explain_similarity(
    model: nn.Module,
    images: Iterable[Any],
    text: Any,
    *,
    contrast: Any = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Literal["skip"],
    **options: Any,
) -> Any: ...
def explain_similarity(
    model: Any,
    images: Any,
    text: Any,
    *,
    contrast: Any = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    batch_size: int | None = None,
    errors: Errors = "raise",
    **options: Any,
) -> Any:
    """Which part of a picture made it fit a text.

    Args:
        model: compares pictures and texts (see `mmcam.SimilarityModel`), e.g. a wrapped CLIP.
        images: a picture, a list or a stream of them, as in `explain_class`.
        text: for one picture a text, or a list of several; for several pictures one for all, or a list with one entry a
            picture, each a text or a list of them.
        contrast: another text; the score becomes the difference, "why rather this than that".
        layer, fuse, method, call, options: as in `attribute`.
        preprocess, batch_size, errors: as in `explain_class`.

    Returns:
        An Explanation; a list of them for a list of pictures or of texts, nested if both; an iterator for a stream.

    Raises:
        ExplainError: no such model; not one text a picture; a contrast that is the text itself.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    similarity.check_similarity(module)
    how = How(layer, method, call, options, fuse)

    def explain(batch: Batch, texts: Sequence[Any], contrasts: Sequence[Any]) -> list[Any]:
        rows = [[checked_text(one, "text") for one in several(entry, "text")] for entry in texts]
        owners = [n for n, row in enumerate(rows) for _ in row]
        flat = [one for row in rows for one in row]
        others = None if contrast is None else [one_text(contrasts[n], "text") for n in owners]

        def of(some: Batch, members: list[int]) -> list[Explanation]:
            own = None if others is None else [others[n] for n in members]
            asked = similarity.ask(module, some, [flat[n] for n in members], own)
            return [row[0] for row in explanations(asked, how).rows]

        made = in_groups(module, batch.rows(owners), [(1 if others is None else 2, None)] * len(flat), of)
        each = per_owner(made, owners, len(rows))
        return [as_list(row) if is_list(entry) else row[0] for row, entry in zip(each, texts, strict=True)]

    way = Way(lambda picture: opened(module, picture, preprocess), explain, batch_size, errors)
    return explain_each(images, {"text": text, "contrast": contrast}, way)
