"""Writing true captions of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, NOUNS, NUMBERS, PLURALS, SCENE_PHRASES, article
from mmcam.datasets.vignettes.relations import direction, near
from mmcam.datasets.vignettes.truth import Truth
from mmcam.datasets.vignettes.world import SCENES

LONGEST = 16
"""No caption has more words."""

CATEGORIES = ("object", "colour", "texture", "scale", "scene", "relation", "count")


@dataclass(frozen=True)
class Mark:
    """The word at `position` claims something; `things` are the indices of the things it is about.

    A scene word is about no thing but the rest of the picture: its `things` are empty.
    """

    position: int
    word: str
    category: str
    things: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """Lower-case words separated by single spaces, and what they claim."""

    text: str
    marks: tuple[Mark, ...]


# A, B, C: things; R: where A is as seen from B; S: "on a meadow"; N: "meadow"; M: "two dogs".
_RELATED = (
    "A R B S",
    "A is R B",
    "A is R B S",
    "S A is R B",
    "there is A R B",
    "there is A R B S",
    "a picture of A R B",
    "S there is A R B",
    "a N scene with A R B",
    "S we see A R B",
    "A R B and C S",
    "A is R B and there is C",
)
_JOINED = (
    "A and B S",
    "there are A and B S",
    "S we see A and B",
    "a picture of A and B S",
    "A with B S",
    "A B and C S",
    "S there are A B and C",
    "a N scene with A and B",
)
_SINGLE = (
    "A S",
    "there is A S",
    "S there is A",
    "a picture of A S",
    "A is S",
    "S we see A",
    "this is A S",
    "a N scene with A",
    "here is A",
    "we see A S",
)
_MANY = ("M S", "there are M S", "S there are M", "a picture of M S", "M and A S", "we see M and A")

_TEMPLATES = _RELATED + _JOINED + _SINGLE + _MANY
_DIRECTIONS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
    "next": ("next to",),
}

_Token = tuple[str, str | None, tuple[int, ...]]


def _vocabulary() -> tuple[str, ...]:
    words = {word for template in _TEMPLATES for word in template.split() if word.islower()}
    for phrases in (*_DIRECTIONS.values(), *SCENE_PHRASES.values()):
        words.update(word for phrase in phrases for word in phrase.split())
    words -= {"plain"}
    return tuple(sorted(words | {"a", "an"} | set(NOUNS) | (set(ADJECTIVES) - {"plain"}) | set(NUMBERS) | set(SCENES)))


VOCABULARY = _vocabulary()
"""Every word a caption can have."""


def write(truth: Truth, n: int = 5) -> list[Caption]:
    """`n` true captions of a picture, differently worded as long as there are templates; the same every time.

    Raises:
        ValueError: if there is nothing in the picture.
    """
    if not truth.things:
        raise ValueError("A picture without things has no captions; give it at least one.")
    dice = Dice("captions", truth.seed)
    return [_fill(template, truth, dice) for template in _choose(truth, n, dice)]


def _choose(truth: Truth, n: int, dice: Dice) -> list[str]:
    single = dice.shuffled(_SINGLE)
    if len(truth.things) == 1:
        return [single[i % len(single)] for i in range(n)]
    few = len(truth.things) < 3
    related = dice.shuffled([t for t in _RELATED if not (few and "C" in t)])
    other = dice.shuffled([t for t in _JOINED if not (few and "C" in t)])[:2] + single[:1]
    for template in dice.shuffled(_MANY)[: 2 * bool(_groups(truth))]:
        if "A" not in template or len(truth.things) > len(_groups(truth)[0]):
            other.insert(0, template)
    # Three in five say how two things stand to each other.
    pattern = dice.shuffled(["related", "related", "related", "other", "other"])
    chosen = []
    for i in range(n):
        pool = related if pattern[i % 5] == "related" else other
        pool.append(pool.pop(0))
        chosen.append(pool[-1])
    return chosen


def _groups(truth: Truth) -> list[tuple[int, ...]]:
    """The things of every kind that occurs more than once."""
    kinds = dict.fromkeys(thing.kind for thing in truth.things)
    groups = [tuple(i for i, t in enumerate(truth.things) if t.kind == kind) for kind in kinds]
    return [group for group in groups if len(group) in NUMBERS.values()]


def _fill(template: str, truth: Truth, dice: Dice) -> Caption:
    slots = template.split()
    many = dice.pick(_groups(truth)) if "M" in slots else ()
    order = dice.shuffled([i for i in range(len(truth.things)) if i not in many])
    if "R" in slots:
        pairs = [(i, j) for i in order for j in order if i != j and direction(truth.things[i], truth.things[j])]
        if not pairs:  # so close that neither is left of or above the other
            return _fill("A and B S", truth, dice)
        a, b = dice.pick(pairs)
        order = [a, b] + [i for i in order if i not in (a, b)]
    words = _render(slots, order, many, truth, dice, 1.0)
    while len(words) > LONGEST:
        words = _render(slots, order, many, truth, dice, 0.4)
    marks = tuple(Mark(i, w, category, things) for i, (w, category, things) in enumerate(words) if category)
    return Caption(" ".join(word for word, _, _ in words), marks)


def _render(
    slots: Sequence[str], order: Sequence[int], many: tuple[int, ...], truth: Truth, dice: Dice, detail: float
) -> list[_Token]:
    words: list[_Token] = []
    for slot in slots:
        if slot in ("A", "B", "C"):
            words += _noun_phrase(order["ABC".index(slot)], truth, dice, detail)
        elif slot == "R":
            words += _relation(order[0], order[1], truth, dice)
        elif slot == "S":
            phrase = dice.pick(SCENE_PHRASES[truth.scene])
            words += [(word, "scene" if word in SCENES else None, ()) for word in phrase.split()]
        elif slot == "N":
            words.append((truth.scene, "scene", ()))
        elif slot == "M":
            words += _many_phrase(many, truth, dice)
        else:
            words.append((slot, None, ()))
    return words


def _noun_phrase(index: int, truth: Truth, dice: Dice, detail: float) -> Iterator[_Token]:
    thing = truth.things[index]
    # A kind that occurs twice needs its colour, or "a dog left of a dog" says nothing.
    twice = sum(other.kind == thing.kind for other in truth.things) > 1
    words: list[tuple[str, str]] = []
    if dice.chance(0.35 * detail):
        words.append((thing.scale, "scale"))
    if thing.texture != "plain" and dice.chance(0.5 * detail):
        words.append((thing.texture, "texture"))
    if dice.chance(0.82 * max(detail, 0.7)) or twice:
        words.append((thing.colour, "colour"))
    words.append((thing.kind, "object"))
    yield article(words[0][0]), None, ()
    for word, category in words:
        yield word, category, (index,)


def _many_phrase(group: tuple[int, ...], truth: Truth, dice: Dice) -> Iterator[_Token]:
    yield next(word for word, n in NUMBERS.items() if n == len(group)), "count", group
    for category in ("scale", "texture", "colour"):
        values = {getattr(truth.things[i], category) for i in group}
        if len(values) == 1 and values != {"plain"} and dice.chance(0.7):
            yield values.pop(), category, group
    yield PLURALS[truth.things[group[0]].kind], "object", group


def _relation(a: int, b: int, truth: Truth, dice: Dice) -> Iterator[_Token]:
    first, second = truth.things[a], truth.things[b]
    word = direction(first, second)
    if near(first, second) and dice.chance(0.35):
        word = "next"
    assert word is not None
    for w in dice.pick(_DIRECTIONS[word]).split():
        yield w, "relation" if w == word else None, (a, b) if w == word else ()
