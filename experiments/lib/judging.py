"""Every map of the bundled models on vignettes, judged once: what is asked, said, right, and where the maximum fell.

The tables of `vignette_pointing`, `wrong_words`, `grounding_flags` and `own_attention` are made of these records. They
are kept under runs/judged, a file for each model, and read again by whoever needs them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import mmcam
import models
from experiments.lib.records import add, read
from experiments.lib.text_prior import Kind, alike, expected, peak_on, text_prior
from mmcam.datasets import vignettes
from mmcam.datasets.vignettes.captions import check
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, NOUNS
from mmcam.evaluation.agreement import rank_correlation
from mmcam.evaluation.pointing import centre, chance, inside
from mmcam.evaluation.uncertainty import mean

JUDGED = Path("runs/judged")
BLANKS = 8  # pictures of the validation split that stand for no picture

KINDS = {
    "class": ("vignette-classifier",),
    "caption": ("vignette-captioner", "vignette-show-attend-tell", "vignette-transformer-captioner"),
    "answer": ("vignette-vqa", "vignette-san", "vignette-hiecoatt-parallel", "vignette-hiecoatt-alternating"),
}
"""The bundled models by what they do, the one without attention first."""


@dataclass(frozen=True)
class Judged:
    """One map of one target.

    Attributes:
        task: "class", "word" (of a generated caption), "given word" (of a written one), "answer", "question word".
        category: of the word, or type of the question.
        said: the class, word or answer.
        right: it is true of the picture.
        hit, centre, chance: whether the map's maximum lies on what the target is about, without tolerance; whether the
            picture's centre does; how likely a random pixel does. None where the target is about nothing there.
        fell: where the maximum is: on a thing "meant", on one that is "alike" (what was said is true of it), on
            "another" thing, on "none", or the map is "empty".
        score: the target's value.
        drop: what a word's log-probability loses without the picture; None for other targets.
        own_hit, own_agrees: of the model's own attention: `hit`, and its rank correlation with the map.
        prior: as `hit`, of the place where things of this word or question usually are (`experiments.lib.text_prior`).
    """

    picture: int
    task: str
    category: str
    said: str
    right: bool
    hit: bool | None
    centre: bool | None
    chance: float | None
    fell: str
    score: float
    drop: float | None = None
    own_hit: bool | None = None
    own_agrees: float | None = None
    prior: bool | None = None


def judged(name: str, pictures: int, split: str = "test", method: str = "gradcam") -> list[Judged]:
    """The records of a bundled model over the first pictures of a split, made or read."""
    fields = len(dataclasses.fields(Judged))  # records with fewer were made before there were all of them
    weights = json.loads((models.WEIGHTS / f"{name}.json").read_text())["sha256"][:8]  # other weights, other maps
    path = JUDGED / f"{name}-{weights}-{split}-{method}-{fields}.jsonl"
    done = {line["picture"]: line["judged"] for line in read(path)}
    missing = [i for i in range(pictures) if i not in done]
    if missing:
        model = models.load(name)
        task = next(task for task, names in KINDS.items() if name in names)
        judge = {"class": classes, "caption": captions, "answer": answers}[task]
        for i in track(missing, name):
            scene = vignettes.draw(vignettes.seed(split, i))
            done[i] = [asdict(record) for record in judge(model, i, scene, method)]
            add(path, [{"picture": i, "judged": done[i]}])
    return [Judged(**record) for i in range(pictures) for record in done[i]]


def classes(model: Any, i: int, scene: vignettes.Vignette, method: str) -> Iterator[Judged]:
    """Each kind in the picture."""
    kinds = sorted({thing.kind for thing in scene.truth.things})
    for kind, exp in zip(kinds, mmcam.explain_class(model, scene.image, kinds, method=method), strict=True):
        meant = {j for j, thing in enumerate(scene.truth.things) if thing.kind == kind}
        yield record(i, "class", "object", kind, True, exp, scene, meant, set())


def captions(model: Any, i: int, scene: vignettes.Vignette, method: str) -> Iterator[Judged]:
    """Each content word of the generated caption, true or not, and of one that was written of the picture.

    Written is one with a relation, if there is any: models hardly say relations of their own accord.
    """
    yield from words(model, i, scene, method, None)
    written = [caption.text for caption in scene.captions]
    related = [text for text in written if any(w.category == "relation" for w in check(text, scene.truth))]
    yield from words(model, i, scene, method, related[0] if related else written[i % len(written)])


def words(model: Any, i: int, scene: vignettes.Vignette, method: str, given: str | None) -> Iterator[Judged]:
    """Each content word of a caption, the generated one by default."""
    caption = mmcam.explain_caption(model, scene.image, caption=given, method=method)
    attends = hasattr(model, "attention")
    own = mmcam.explain_caption(model, scene.image, caption=caption.caption, method="attention") if attends else None
    drops = [word.drop for word in mmcam.grounding(model, scene.image, caption.caption, blank=blanks())]
    checked = check(caption.caption, scene.truth)
    for word in checked:
        meant = set(word.things) if word.correct else meant_by(word, checked)
        yield record(
            i, "word" if given is None else "given word", word.category, word.word, word.correct,
            caption[word.position], scene, meant, alike(word.word, scene), drops[word.position],
            own[word.position] if own else None,
        )  # fmt: skip


@cache
def blanks() -> list[np.ndarray]:
    """The pixels of the pictures that stand for none."""
    return [vignettes.image(vignettes.seed("val", j)) for j in range(BLANKS)]


def answers(model: Any, i: int, scene: vignettes.Vignette, method: str) -> Iterator[Judged]:
    """Each question about things or the scene, answered rightly or not, and the words of one that name things."""
    asked = [question for question in scene.questions if question.things or question.type == "scene"]
    if not asked:
        return
    pictures, texts = [scene.image] * len(asked), [question.text for question in asked]
    maps = mmcam.explain_answer(model, pictures, texts, method=method)
    attends = hasattr(model, "attention")
    own = mmcam.explain_answer(model, pictures, texts, method="attention") if attends else [None] * len(asked)
    for question, exp, attention in zip(asked, maps, own, strict=True):
        right = exp.target == question.answer
        yield record(
            i, "answer", question.type, exp.target, right, exp, scene, set(question.things),
            alike(exp.target, scene), own=attention, text=question.text,
        )  # fmt: skip
    if method != "gradcam":
        return
    question = asked[i % len(asked)]
    by_word = mmcam.explain_answer(model, scene.image, question.text, method=method, by_word=True)
    for word in by_word:
        if word.target in NOUNS or word.target in ADJECTIVES:
            category = ADJECTIVES.get(word.target, "object")
            meant = alike(word.target, scene)
            if meant:
                right = by_word.answer.target == question.answer
                yield record(i, "question word", category, word.target, right, word, scene, meant, set())


def meant_by(word: vignettes.Checked, checked: list[vignettes.Checked]) -> set[int]:
    """The things an untrue word was said of: those of the next noun, of a relation those of the nouns on both sides."""
    nouns = [other for other in checked if other.category == "object"]
    after = next((noun.things for noun in nouns if noun.position > word.position), ())
    if word.category == "relation":
        before = next((noun.things for noun in reversed(nouns) if noun.position < word.position), ())
        return {*before, *after}
    return set() if word.category in ("object", "scene") else set(after)


def record(
    i: int,
    task: Kind,
    category: str,
    said: str,
    right: bool,
    exp: mmcam.Explanation,
    scene: vignettes.Vignette,
    meant: set[int],
    true_of: set[int],
    drop: float | None = None,
    own: mmcam.Explanation | None = None,
    text: str | None = None,
) -> Judged:
    """One map against the truth; a scene word is about the pixels of no thing. `text` is read, default what is said."""
    mask = scene.scene_mask if category == "scene" and right else scene.mask(meant)
    there = bool(mask.any())
    agrees = None if own is None else rank_correlation(exp.cam, own.cam)
    usual = peak_on(expected(text_prior(task), category, text or said), mask.shape[::-1]) if there else None
    return Judged(
        picture=i,
        task=task,
        category=category,
        said=said,
        right=right,
        hit=inside(exp.peak(), mask) if there else None,
        centre=inside(centre(mask), mask) if there else None,
        chance=chance(mask) if there else None,
        fell=fell_on(exp.peak(), scene, meant, true_of),
        score=exp.score,
        drop=drop,
        own_hit=inside(own.peak(), mask) if own is not None and there else None,
        own_agrees=None if agrees is None or np.isnan(agrees) else agrees,
        prior=inside(usual, mask) if there else None,
    )


def shares(rows: Iterable[tuple[Any, Any, Any]], pictures: Sequence[Hashable]) -> dict[str, float]:
    """Pointing accuracy of rows (hit, hit by the centre, chance) with its standard error, and both baselines.

    Words of one picture, whose index is given for each row, count as one source of error.
    """
    hit, middle, random = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = mean(hit, pictures)
    return {
        "pointing": found.value,
        "standard_error": found.standard_error,
        "centre": float(middle.mean()),
        "random": float(random.mean()),
    }


def fell_on(peak: tuple[int, int] | None, scene: vignettes.Vignette, meant: set[int], true_of: set[int]) -> str:
    """On which thing a maximum lies, in the words of `Judged.fell`."""
    if peak is None:
        return "empty"
    owners = np.flatnonzero(scene.instances[:, peak[1], peak[0]])
    if not len(owners):
        return "none"
    thing = int(owners[0])
    return "meant" if thing in meant else "alike" if thing in true_of else "another"
