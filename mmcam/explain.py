"""From a question a person asks to an Explanation: one task and one method meet here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.compute import compute, explanation, one_each, quoted
from mmcam.engine.modules import unwrap
from mmcam.engine.outputs import Target
from mmcam.errors import ExplainError
from mmcam.explanation import CaptionExplanation, Explanation, QuestionExplanation
from mmcam.image import Batch
from mmcam.preparation import batch_of
from mmcam.tasks import captioning, classification, similarity, vqa

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
    maps, _ = compute(module, lambda pictures, copies: module(pictures), x, functions, layer, method, options, call)
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
        names: the class names in order; default what the model, torchvision or timm says.
        preprocess: `mmcam.Preprocess` or torchvision's ``weights.transforms()``; default the model's ``preprocess``,
            or timm's for its networks, else ImageNet's resize to 256, crop to 224.

    Returns:
        An Explanation; a list where a list of pictures or of targets was given, nested if both.

    Raises:
        ExplainError: unknown class (with close matches) or layer; not one target a picture; a model without classes; a
            contrast that is the target itself.
        PictureError: a picture that cannot be used.
    """
    module = unwrap(model)
    batch = batch_of(module, images, preprocess)
    target = target.tolist() if isinstance(target, (Tensor, np.ndarray, np.generic)) else target
    known = classification.class_names(module, names)
    asked, several = _per_picture(target, batch)
    classification.check_classifier(module, [wanted for row in asked for wanted in row])
    resolved = [[_class(t, known) for t in row] for row in asked]
    against = None if contrast is None else _class(contrast, known)
    width = max(map(len, resolved))
    chosen: list[Tensor] = []
    columns = [[row[min(t, len(row) - 1)] for row in resolved] for t in range(width)]
    targets = [_class_column(column, against, chosen, known) for column in columns]
    maps, where = compute(
        module, lambda pictures, copies: module(pictures), batch.x, targets, layer, method, options, call
    )

    def name(t: int, n: int) -> str:
        wanted = columns[t][n]
        if callable(wanted):
            return getattr(wanted, "__name__", "score").replace("<lambda>", "score")
        return _name(int(chosen[0][n]) if wanted is None else wanted, known)

    other = None if against is None else _name(against, known)

    def one(t: int, n: int) -> Explanation:
        named, function = name(t, n), callable(columns[t][n])
        title = named if other is None else f"{named} rather than {other}"
        claim = f"{quoted(named, other)} is as high as it is" if function else f"It says {quoted(named, other)}"
        return explanation(maps, t, n, title, where, method, module, batch, options, claim)

    made = [[one(t, n) for t in range(len(row))] for n, row in enumerate(resolved)]
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
    beam: int | None = None,
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
        beam: explain the best so many captions of a beam search, all words of each; needs a captioner with `beams`.
        layer, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation of the word, or a CaptionExplanation if `word` is None; a list of them for a list of pictures.
        With `beam=`, a list of CaptionExplanations for each picture, the likeliest first. All words of a caption share
        one pass through the encoder.

    Raises:
        ExplainError: a word that is not in the caption (the message shows the caption and its nearest words); a
            contrast that is the word itself.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    captioning.check_captioner(module)
    if word is None and (contrast is not None or position is not None):
        raise ExplainError("contrast= and position= belong to one word; name it with word=.")
    batch = batch_of(module, images, preprocess)
    if beam is not None:
        if word is not None or caption is not None:
            raise ExplainError("beam= explains every word of the captions it finds; leave word= and caption= out.")
        found = captioning.beam_tokens(module, batch.x, beam)
        owners = [n for n, own in enumerate(found) for _ in own]
        rows, several = [tokens for own in found for tokens in own], batch.single
        batch = Batch(
            batch.x[owners], [batch.pictures[n] for n in owners], [batch.geometries[n] for n in owners], False
        )
    else:
        given = None if caption is None else one_each(caption, batch, "caption")
        rows = captioning.caption_tokens(module, batch.x, given)
    spans: list[list[range]] = []
    other: list[list[int]] = []
    other_spans: list[range] = []
    for n, row in enumerate(rows):
        words = [text for text, _ in module.words(row)]
        if word is _WHOLE:
            spans.append([range(len(words))])
            try:
                other.append(list(module.encode(contrast)))
            except ValueError as error:
                raise ExplainError(str(error)) from error
            rivals = [text for text, _ in module.words(other[-1])]
            if rivals == words:
                raise classification.both_are("answer", " ".join(words))
            other_spans.append(range(len(rivals)))
            continue
        if word is None:
            spans.append([range(i, i + 1) for i in range(len(words))] + [range(len(words))])
            continue
        span = captioning.find_span(words, word, position)
        if span is None and position is not None and isinstance(word, str):
            at = captioning.find_span(words, position)
            assert at is not None
            rows[n], span = captioning.put(module, row, at, word)
        if span is None:
            raise captioning.word_missing(words, str(word))
        spans.append([span])
        if contrast is not None:
            swapped, swapped_span = captioning.put(module, rows[n], span, contrast)
            if swapped == list(rows[n]):
                raise classification.both_are("phrase" if len(span) > 1 else "word", contrast)
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

    def attention() -> dict[str, Tensor]:
        return captioning.word_attention(module.attention(batch.x.clone(), tokens[: len(rows)]), masks)

    own = attention if hasattr(module, "attention") else None
    maps, where = compute(
        module, forward, batch.x, targets, layer, method, options, call, fan, language=True, attention=own
    )
    results = []
    for n in range(len(rows)):
        words = [text for text, _ in texts[n]]
        sentence = " ".join(words)
        made = []
        for t, span in enumerate(spans[n]):
            said = " ".join(words[span.start : span.stop])
            title = f"{said} rather than {contrast}" if contrast is not None else said
            claim = f"It says {quoted(said, contrast)}" + (f" in “{sentence}”" if said != sentence else "")
            made.append(explanation(maps, t, n, title, where, method, module, batch, options, claim, sentence))
        results.append(CaptionExplanation(sentence, tuple(made[:-1]), made[-1]) if word is None else made[0])
    if beam is not None:
        grouped = [[results[i] for i, owner in enumerate(owners) if owner == n] for n in range(len(found))]
        return grouped[0] if several else grouped
    return results[0] if batch.single else results


@torch.inference_mode(False)
def explain_answer(
    model: Any,
    images: Any,
    question: str | Sequence[str],
    answer: str | int | None = None,
    *,
    contrast: str | int | None = None,
    by_word: bool = False,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made a model answer a question so.

    With `by_word=`, also what each word of the question had to do with it: the score of a word is what the answer's
    score loses when the word is blanked, and its map is that difference's, so it shows where the picture met the word.
    Blanked means replaced by the model's ``blank_word``, or left out where it has none.

    Args:
        model: a VQA model (see `mmcam.VQAModel`), or one that writes its answers: a `mmcam.Captioner` with a context
            manager ``asked(questions)``, inside which its captions are its answers.
        images: a picture or a list of them (see `mmcam.image.prepare`).
        question: one for all pictures, or one each.
        answer: one of ``model.answers`` or its index, or any text if the model writes its answers; default its own.
        contrast: a second answer; the score becomes the difference, "why this rather than that".
        by_word: explain the words of the question, too.
        layer, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation, or with `by_word=` a QuestionExplanation; a list of them for a list of pictures. All words of a
        question share one pass through the encoder.

    Raises:
        ExplainError: an answer the model does not know (with close matches); a contrast that is the answer itself; not
            one question a picture; `by_word=` of a question of which the model can read nothing when a word is blanked.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    if hasattr(module, "asked"):
        if by_word:
            raise ExplainError(f"{type(module).__name__} writes its answers; by_word= needs one with a list of them.")
        shared = {"layer": layer, "method": method, "preprocess": preprocess, "call": call, **options}
        return _written_answer(module, images, question, answer, contrast, shared)
    vqa.check_vqa(module)
    batch = batch_of(module, images, preprocess)
    questions = one_each(question, batch, "question")
    index = None if answer is None else _class(answer, module.answers, "answer")
    against = None if contrast is None else _class(contrast, module.answers, "answer")
    chosen: list[Tensor] = []
    whole = _class_column([index] * len(questions), against, chosen, module.answers, "answer")
    blanked = [vqa.blanked(asked, getattr(module, "blank_word", "")) if by_word else [] for asked in questions]
    # Versions of the questions: as they are, then one for each place of a word; the short ones are filled up with
    # themselves, which makes no difference, so nothing comes of it.
    longest = max(map(len, blanked))
    versions = [questions] + [
        [own[i][1] if i < len(own) else asked for own, asked in zip(blanked, questions, strict=True)]
        for i in range(longest)
    ]
    targets: list[Target] = [lambda output: whole(output[: len(questions)])]
    targets += [vqa.difference_target(whole, len(questions), i + 1) for i in range(longest)]

    def forward(x: Tensor, copies: int) -> Tensor:
        # Row order: version, copy, picture, as the engine repeats the encoder's rows.
        return module.answer_scores(x, [asked for version in versions for asked in version * copies])

    def attention() -> dict[str, Tensor]:
        if against is not None:
            raise ExplainError("Attention knows no contrast: it is the same for both; leave contrast= out.")
        return {level: maps[None] for level, maps in module.attention(batch.x.clone(), questions).items()}

    own = attention if hasattr(module, "attention") else None
    try:
        maps, where = compute(
            module, forward, batch.x, targets, layer, method, options, call, len(versions), language=True, attention=own
        )
    except ExplainError:
        raise
    except ValueError as error:  # not in `forward`, where it may mean other numbers of rows, which are tried next
        raise vqa.unreadable(module, batch.x, questions, blanked, error) from error
    results: list[Any] = []
    for n, asked in enumerate(questions):
        found = module.answers[int(chosen[0][n]) if index is None else index]
        other = None if against is None else module.answers[against]
        title, both = (found if other is None else f"{found} rather than {other}"), quoted(found, other)
        claim = f"It answers {both} to “{asked}”"
        exp = explanation(maps, 0, n, title, where, method, module, batch, options, claim, asked)
        words = []
        for i, (word, _) in enumerate(blanked[n], start=1):
            # A word without which the score is higher speaks against the answer, by what lowers the difference.
            sense = 1 if float(maps.scores[i, n]) >= 0 else -1
            claim = f"The word “{word}” of “{asked}” speaks {'for' if sense > 0 else 'against'} {both}"
            context = f"{asked} — {title}"
            words.append(explanation(maps, i, n, word, where, method, module, batch, options, claim, context, sense))
        results.append(QuestionExplanation(asked, tuple(words), exp) if by_word else exp)
    return results[0] if batch.single else results


_WHOLE: Any = object()
"""The word that is the whole caption, against another whole one."""


def _written_answer(
    module: Any, images: Any, question: str | Sequence[str], answer: Any, contrast: Any, shared: dict[str, Any]
) -> Any:
    """The answer of a model that writes it, word by word: explained like a caption, all its words together."""
    if not all(text is None or isinstance(text, str) for text in (answer, contrast)):
        raise ExplainError(f"{type(module).__name__} writes its answers: give answer= and contrast= as texts.")
    batch = batch_of(module, images, shared["preprocess"])
    questions = one_each(question, batch, "question")
    with module.asked(questions):
        if contrast is None:
            made = explain_caption(module, images, caption=answer, **shared)
            wholes = [made.whole] if batch.single else [caption.whole for caption in made]
        else:
            made = explain_caption(module, images, _WHOLE, caption=answer, contrast=contrast, **shared)
            wholes = [made] if batch.single else made
    results = []
    for exp, asked in zip(wholes, questions, strict=True):
        found = exp.context or exp.target
        title = found if contrast is None else f"{found} rather than {contrast}"
        claim = f"It answers {quoted(found, contrast)} to “{asked}”"
        results.append(replace(exp, target=title, context=asked, claim=claim))
    return results[0] if batch.single else results


@torch.inference_mode(False)
def explain_similarity(
    model: Any,
    images: Any,
    text: str | Sequence[str],
    *,
    contrast: str | Sequence[str] | None = None,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of a picture made it fit a text.

    Args:
        model: compares pictures and texts (see `mmcam.SimilarityModel`), e.g. a wrapped CLIP.
        images: a picture or a list of them (see `mmcam.image.prepare`).
        text: one for all pictures, or one each.
        contrast: another text; the score becomes the difference, "why rather this than that".
        layer, method, call, options: as in `attribute`.
        preprocess: as in `explain_class`.

    Returns:
        An Explanation; a list of them for a list of pictures.

    Raises:
        ExplainError: no such model; not one text a picture; a contrast that is the text itself.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    similarity.check_similarity(module)
    batch = batch_of(module, images, preprocess)
    texts = one_each(text, batch, "text")
    others = None if contrast is None else one_each(contrast, batch, "text")
    versions = [texts] if others is None else [texts, others]
    for said, other in zip(*versions, strict=True) if others is not None else ():
        if said.split() == other.split():
            raise classification.both_are("text", said)
    n = len(texts)

    def score(output: Any) -> Tensor:
        return output if others is None else output[:n] - output[n:]

    def forward(x: Tensor, copies: int) -> Tensor:
        # Row order: version, copy, picture, as the engine repeats the encoder's rows.
        return module.similarity(x, [said for version in versions for said in version * copies])

    maps, where = compute(module, forward, batch.x, [score], layer, method, options, call, len(versions), language=True)
    results = []
    for i, said in enumerate(texts):
        other = None if others is None else others[i]
        title = said if other is None else f"{said} rather than {other}"
        claim = f"The picture fits {quoted(said, other)}"
        results.append(explanation(maps, 0, i, title, where, method, module, batch, options, claim))
    return results[0] if batch.single else results


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


def _class_column(
    column: Sequence[Any],
    against: int | None,
    chosen: list[Tensor],
    known: Sequence[str] | None,
    what: str = "class",
) -> Target:
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

    def difference(output: Any) -> Tensor:
        ours, other = score(output), classification.index_target(against)(output)
        classes = classification.logits_of(output).shape[1]
        indices = [chosen[0][n] if wanted is None else wanted for n, wanted in enumerate(column)]
        if any(not callable(index) and int(index) % classes == against % classes for index in indices):
            raise classification.both_are(what, _name(against % classes, known))
        return ours - other

    return difference
