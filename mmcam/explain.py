"""From a question a person asks to an Explanation: one task and one method meet here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcam import layers, methods
from mmcam.engine import ExplainError, Forward, Target, as_found, find_module, unwrap
from mmcam.explanation import CaptionExplanation, Explanation
from mmcam.image import Batch, Geometry, Preprocess, prepare, preprocess_of
from mmcam.methods import Maps, Question
from mmcam.methods.fusion import fuse
from mmcam.tasks import captioning, classification, vqa

ClassTarget = int | str | Target
"""A class by index or name, or any function from the model's output to N scores."""


def attribute(
    model: nn.Module,
    x: Tensor,
    targets: Sequence[int | Tensor | Target],
    *,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    call: int | None = None,
    **options: Any,
) -> Tensor:
    """Maps of any scalars of any module, for researchers: no picture handling, nothing leaves the device.

    Args:
        model: any module; left as found.
        x: (N, C, H, W) on the model's device.
        targets: T of them: a class index for all pictures, a LongTensor (N,) with one a picture, or a function from
            the model's output to (N,) scores.
        layer: dotted name, or several whose maps are fused (see `mmcam.methods.fusion.fuse`); default the last spatial
            layer before pooling.
        method: a name of ``mmcam.METHODS``.
        call: which run of a layer that runs several times in one forward, from 0.
        options: of the method, e.g. ``n=`` and ``sigma=`` of "smoothgrad"; ``mmcam methods`` lists them.

    Returns:
        (T, N, h, w) at the layer's resolution, or (T, N, C, H, W) for pixel methods; un-normalised.

    Raises:
        ExplainError: unknown layer, class or shape; a target that does not depend on the layer.

    Example:
        >>> net = torchvision.models.resnet18(weights=None)
        >>> mmcam.attribute(net, torch.rand(2, 3, 224, 224), [281, 207]).shape
        torch.Size([2, 2, 7, 7])
    """
    if not isinstance(targets, Sequence) or not targets:
        raise ExplainError("The targets are a list of at least one: class indices, LongTensors (N,) or functions.")
    if x.ndim != 4:
        raise ExplainError(f"The pictures are one tensor (N,C,H,W); this one is {tuple(x.shape)}.")
    module = unwrap(model)
    functions = [t if callable(t) and not isinstance(t, Tensor) else classification.index_target(t) for t in targets]
    maps, _ = _compute(module, lambda pictures, copies: module(pictures), x, functions, layer, method, options, call)
    return maps.values


@torch.inference_mode(False)  # tensors made in inference mode cannot be recorded
def explain_class(
    model: nn.Module,
    images: Any,
    target: ClassTarget | Sequence[Any] | None = None,
    *,
    contrast: int | str | None = None,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    names: Sequence[str] | None = None,
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture spoke for a class.

    Args:
        model: any module from pictures to logits, single- or multi-label.
        images: a path, PIL picture, array, tensor (see `mmcam.image.prepare`), or a list of them.
        target: a class by index or name, or a function output → (N,); default the highest logit. For one picture, a
            list asks for several classes; for a list of pictures, a list holds one entry a picture, each a target or
            a list of them.
        contrast: a second class; the score becomes the difference, "why this rather than that".
        layer, method, call, options: as in `attribute`.
        names: the class names in order; default what the model or torchvision says.
        preprocess: `mmcam.Preprocess` or torchvision's ``weights.transforms()``; default the model's ``preprocess``,
            else ImageNet's resize to 256, crop to 224.

    Returns:
        An Explanation; a list where a list of pictures or of targets was given, nested if both.

    Raises:
        ExplainError: unknown class (with close matches) or layer; not one target a picture.
        PictureError: a picture that cannot be used.
    """
    module = unwrap(model)
    batch = _batch(module, images, preprocess)
    target = target.tolist() if isinstance(target, (Tensor, np.ndarray, np.generic)) else target
    known = classification.class_names(module, names)
    asked, several = _per_picture(target, batch)
    resolved = [[_class(t, known) for t in row] for row in asked]
    against = None if contrast is None else _class(contrast, known)
    width = max(map(len, resolved))
    chosen: list[Tensor] = []
    columns = [[row[min(t, len(row) - 1)] for row in resolved] for t in range(width)]
    targets = [_class_column(column, against, chosen) for column in columns]
    maps, where = _compute(
        module, lambda pictures, copies: module(pictures), batch.x, targets, layer, method, options, call
    )

    def title(t: int, n: int) -> str:
        wanted = columns[t][n]
        if callable(wanted):
            return getattr(wanted, "__name__", "score").replace("<lambda>", "score")
        index = int(chosen[0][n]) if wanted is None else wanted
        name = _name(index, known)
        return name if against is None else f"{name} rather than {_name(against, known)}"

    made = [
        [_explanation(maps, t, n, title(t, n), where, method, module, batch) for t in range(len(row))]
        for n, row in enumerate(resolved)
    ]
    results = [row if many else row[0] for row, many in zip(made, several, strict=True)]
    return results[0] if batch.single else results


@torch.inference_mode(False)
def explain_caption(
    model: Any,
    images: Any,
    word: str | int | None = None,
    *,
    caption: str | Sequence[str] | None = None,
    contrast: str | None = None,
    position: int | None = None,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made a captioner say a word, or each word.

    The score is the sum of the teacher-forced log-probabilities of the word's tokens; the end token is left out.

    Args:
        model: a captioner (see `mmcam.Captioner`).
        images: a picture or a list of them (see `mmcam.image.prepare`).
        word: a word ("dogs" finds "dog"), a phrase of neighbouring words, a position, or None for every word.
        caption: the caption to explain, one for all pictures or one each; default the one the model generates.
        contrast: a word or phrase the model might have said there instead; the score becomes the difference of both.
        position: which occurrence of `word`; or where to score a word that the caption does not hold, in place of the
            word standing there.
        layer, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation of the word, or a CaptionExplanation if `word` is None; a list of them for a list of pictures.
        All words of a caption share one pass through the encoder.

    Raises:
        ExplainError: a word that is not in the caption (the message shows the caption and its nearest words).
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    captioning.check_captioner(module)
    if word is None and (contrast is not None or position is not None):
        raise ExplainError("contrast= and position= belong to one word; name it with word=.")
    batch = _batch(module, images, preprocess)
    rows = _caption_tokens(module, batch, caption)
    spans: list[list[range]] = []
    other: list[list[int]] = []
    other_spans: list[range] = []
    for n, row in enumerate(rows):
        words = [text for text, _ in module.words(row)]
        if word is None:
            spans.append([range(i, i + 1) for i in range(len(words))] + [range(len(words))])
            continue
        span = captioning.find_span(words, word, position)
        if span is None and position is not None and isinstance(word, str):
            at = captioning.find_span(words, position)
            assert at is not None
            rows[n], span = _put(module, row, at, word)
        if span is None:
            raise captioning.word_missing(words, str(word))
        spans.append([span])
        if contrast is not None:
            swapped, swapped_span = _put(module, rows[n], span, contrast)
            other.append(swapped)
            other_spans.append(swapped_span)

    device = batch.x.device
    versions = rows + other  # the second half, if any, is what might have been said instead
    tokens = captioning.pad(versions, device)
    fan = 2 if other else 1
    texts = [module.words(row) for row in versions]
    width = max(map(len, spans))

    def mask(span: range, n: int) -> Tensor:
        chosen = torch.zeros(tokens.shape[1], device=device)
        chosen[[p for _, places in texts[n][span.start : span.stop] for p in places]] = 1
        return chosen

    masks = [torch.stack([mask(own[min(t, len(own) - 1)], n) for n, own in enumerate(spans)]) for t in range(width)]
    minus = torch.stack([mask(span, len(rows) + n) for n, span in enumerate(other_spans)]) if other else None
    targets = [captioning.log_prob_target(m, minus) for m in masks]

    def forward(x: Tensor, copies: int) -> Tensor:
        # Row order: version, copy, picture, as the engine repeats the encoder's rows.
        repeated = tokens.unflatten(0, (fan, -1))[:, None].expand(-1, copies, -1, -1).reshape(-1, tokens.shape[1])
        return module.token_log_probs(x, repeated)

    maps, where = _compute(module, forward, batch.x, targets, layer, method, options, call, fan, language=True)
    results = []
    for n in range(len(rows)):
        words = [text for text, _ in texts[n]]
        sentence = " ".join(words)
        made = []
        for t, span in enumerate(spans[n]):
            title = " ".join(words[span.start : span.stop])
            title = f"{title} rather than {contrast}" if contrast is not None else title
            made.append(_explanation(maps, t, n, title, where, method, module, batch, context=sentence))
        results.append(CaptionExplanation(sentence, tuple(made[:-1]), made[-1]) if word is None else made[0])
    return results[0] if batch.single else results


@torch.inference_mode(False)
def explain_answer(
    model: Any,
    images: Any,
    question: str | Sequence[str],
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made a model answer a question so.

    Args:
        model: a VQA model (see `mmcam.VQAModel`).
        images: a picture or a list of them (see `mmcam.image.prepare`).
        question: one for all pictures, or one each.
        answer: one of ``model.answers`` or its index; default the model's own answer.
        contrast: a second answer; the score becomes the difference, "why this rather than that".
        layer, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation, or a list of them for a list of pictures.

    Raises:
        ExplainError: an answer the model does not know (with close matches); not one question a picture.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    vqa.check_vqa(module)
    batch = _batch(module, images, preprocess)
    questions = _one_each(question, batch, "question")
    index = None if answer is None else _class(answer, module.answers, "answer")
    against = None if contrast is None else _class(contrast, module.answers, "answer")
    chosen: list[Tensor] = []
    target = _class_column([index] * len(questions), against, chosen)

    def forward(x: Tensor, copies: int) -> Tensor:
        return module.answer_scores(x, questions * copies)

    maps, where = _compute(module, forward, batch.x, [target], layer, method, options, call, language=True)
    results = []
    for n, asked in enumerate(questions):
        title = module.answers[int(chosen[0][n]) if index is None else index]
        title = title if against is None else f"{title} rather than {module.answers[against]}"
        results.append(_explanation(maps, 0, n, title, where, method, module, batch, context=asked))
    return results[0] if batch.single else results


def _compute(
    module: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    layer: str | Sequence[str] | None,
    method: str,
    options: Mapping[str, Any],
    call: int | None,
    fan: int = 1,
    language: bool = False,
) -> tuple[Maps, str]:
    """The method's maps and the layer they were computed at, "pixels" for a method that reads none."""
    how = methods.get(method)
    read: list[str] = []

    def where(name: str | None) -> str:
        if name is None:
            # A fan of text versions needs as many rows behind the encoder, so the trace sees the whole batch repeated.
            name = layers.find_layer(module, lambda pictures: forward(pictures.repeat(fan, 1, 1, 1), 1), x)
        if name not in read:
            read.append(name)
        return name

    names = [layer] if layer is None or isinstance(layer, str) else list(layer)
    if not names:
        raise ExplainError("The list of layers is empty; name at least one.")
    for name in names:
        if name is not None:
            find_module(module, name)
    maps = [
        how(Question(module, forward, x, targets, partial(where, name), call, fan, language=language), **options)
        for name in names
    ]
    if len(maps) > 1 and not read:
        raise ExplainError(f"Method {method!r} reads no layer, so there is nothing to fuse; leave layer= out.")
    return (maps[0] if len(maps) == 1 else fuse(maps)), " + ".join(read) or "pixels"


def _explanation(
    maps: Maps,
    t: int,
    n: int,
    title: str,
    layer: str,
    method: str,
    module: nn.Module,
    batch: Batch,
    context: str = "",
) -> Explanation:
    values = maps.values[t, n]
    weights = None if maps.weights is None else maps.weights[t, n]
    return Explanation(
        target=title,
        score=float(maps.scores[t, n]),
        values=values,
        weights=weights,
        layer=layer,
        method=method,
        model=type(module).__name__,
        image=batch.pictures[n],
        geometry=batch.geometries[n],
        context=context,
        note=_note(values, batch.geometries[n], layer, title),
    )


def _note(values: Tensor, geometry: Geometry, layer: str, title: str) -> str:
    """Why a map points nowhere; "" where it does."""
    if not torch.isfinite(values).all():
        return f"The map of {title!r} holds values that are not finite: the score or its gradient overflows."
    cam = values if values.ndim == 2 else values.abs().amax(0)
    if not (cam > 0).any():
        return f"The map is empty: at {layer} nothing in the picture raises the score of {title!r}."
    # Only padding, or a picture smaller than its map, can hide what is positive.
    hiding = max(geometry.offset) > 0 or min(geometry.original) < max(cam.shape)
    if hiding and not (geometry.to_original(cam) > 0).any():
        return f"The map of {title!r} is empty over the picture: it is positive on the padding or between pixels only."
    return ""


def _batch(module: nn.Module, images: Any, preprocess: Any) -> Batch:
    if preprocess is None:
        preprocess = getattr(module, "preprocess", None)
    made = Preprocess(resize=256) if preprocess is None else preprocess_of(preprocess)
    parameter = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    return prepare(images, made, parameter.device, parameter.dtype)


def _per_picture(target: Any, batch: Batch) -> tuple[list[list[Any]], list[bool]]:
    """The targets of each picture, and whether they were given as a list."""
    listed = isinstance(target, Sequence) and not isinstance(target, str)
    if batch.single:
        rows = [list(target) if listed else [target]]
        several = [listed]
    else:
        each = list(target) if listed else [target] * len(batch.pictures)
        if len(each) != len(batch.pictures):
            raise ExplainError(f"There are {len(batch.pictures)} pictures and {len(each)} targets; give one a picture.")
        several = [isinstance(t, Sequence) and not isinstance(t, str) for t in each]
        rows = [list(t) if many else [t] for t, many in zip(each, several, strict=True)]
    if not all(rows):
        raise ExplainError("There is no target in the list; pass at least one.")
    return rows, several


def _one_each(texts: str | Sequence[str], batch: Batch, what: str) -> list[str]:
    each = [texts] * len(batch.pictures) if isinstance(texts, str) else list(texts)
    if len(each) != len(batch.pictures):
        raise ExplainError(f"There are {len(batch.pictures)} pictures and {len(each)} {what}s; give one a picture.")
    return each


def _class(target: Any, names: Sequence[str] | None, what: str = "class") -> Any:
    """A target as an index, a function, or None for the prediction."""
    if isinstance(target, str):
        return (
            classification.class_index(target, names)
            if what == "class"
            else classification.nearest(target, names or (), what)
        )
    if what == "answer" and isinstance(target, int) and not -len(names or ()) <= target < len(names or ()):
        raise ExplainError(f"There is no answer {target}: the model has answers 0…{len(names or ()) - 1}.")
    return target


def _name(index: int, names: Sequence[str] | None) -> str:
    return names[index] if names is not None and index < len(names) else f"class {index}"


def _class_column(column: Sequence[Any], against: int | None, chosen: list[Tensor]) -> Target:
    """One target for N pictures whose classes may differ: indices, predictions (None) or functions."""
    if all(isinstance(wanted, int) for wanted in column):
        score = classification.index_target(torch.tensor(column))
    else:
        functions = [
            wanted
            if callable(wanted)
            else classification.predicted_target(chosen)
            if wanted is None
            else classification.index_target(wanted)
            for wanted in column
        ]

        def score(output: Any) -> Tensor:
            return torch.stack([function(output)[n] for n, function in enumerate(functions)])

    if against is None:
        return score
    return lambda output: score(output) - classification.index_target(against)(output)


def _caption_tokens(module: Any, batch: Batch, caption: str | Sequence[str] | None) -> list[list[int]]:
    if caption is None:
        with as_found(module):
            rows = [list(row) for row in module.generate(batch.x)]
    else:
        try:
            rows = [list(module.encode(text)) for text in _one_each(caption, batch, "caption")]
        except ValueError as error:
            raise ExplainError(str(error)) from error
    if not all(rows):
        raise ExplainError("The caption is empty, so there is no word to explain; pass one with caption=.")
    return rows


def _put(module: Any, row: Sequence[int], span: range, phrase: str) -> tuple[list[int], range]:
    """The tokens with another phrase in place of a span of words, and where that phrase stands now."""
    places = module.words(row)
    try:
        new = list(module.encode(phrase))
    except ValueError as error:
        raise ExplainError(str(error)) from error
    start, stop = places[span.start][1][0], places[span.stop - 1][1][-1] + 1
    tokens = [*row[:start], *new, *row[stop:]]
    return tokens, range(span.start, span.start + len(module.words(new)))
