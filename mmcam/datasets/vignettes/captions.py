"""Captions: writing true ones, and checking any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, NOUNS, NUMBERS, PLURALS, SCENE_PHRASES, article
from mmcam.datasets.vignettes.relations import RELATIONS, direction, near, stands
from mmcam.datasets.vignettes.truth import Thing, Truth
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


@dataclass(frozen=True)
class Checked:
    """Whether the claim of the word at `position` is true, and the things that make it so (empty if wrong)."""

    position: int
    word: str
    category: str
    correct: bool
    things: tuple[int, ...]


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


@dataclass
class _Phrase:
    """A noun with its adjectives and numbers, as (position, word); `fits` are the things that fit it best."""

    position: int
    noun: str
    adjectives: list[tuple[int, str]]
    numbers: list[tuple[int, str]]
    fits: list[int] = field(default_factory=list)


def check(caption: str | Sequence[str], truth: Truth) -> list[Checked]:
    """Which words of any caption are true of a picture.

    Adjectives and numbers belong to the next noun, unless a relation or scene word comes between (then, and
    at the end, they are wrong). A noun is right if such a thing exists. Of the things of its kind, those are
    meant which most of its adjectives describe (among equals, the adjectives nearest to the noun); an
    adjective is right if it describes them. A relation joins the noun before with the noun after; it is right
    if two different things meant by them stand so, and then only such things are meant. A number is right if
    exactly so many are meant and described by all adjectives. Words that claim nothing, or that the world does
    not know, are passed over.

    Args:
        caption: words, or text with words between spaces.
        truth: of the picture.

    Returns:
        One `Checked` for every word that claims something, in order.
    """
    words = caption.split() if isinstance(caption, str) else list(caption)
    phrases, relations, checked = _parse(words, truth)
    for phrase in phrases:
        phrase.fits = _fits(phrase, truth.things)
    for position, word, before, after in relations:
        checked.append(_check_relation(position, word, before, after, truth.things))
    for phrase in phrases:
        checked += _check_phrase(phrase, truth.things)
    return sorted(checked, key=lambda c: c.position)


_Relation = tuple[int, str, "_Phrase | None", "_Phrase | None"]


def _parse(words: Iterable[str], truth: Truth) -> tuple[list[_Phrase], list[_Relation], list[Checked]]:
    """Noun phrases, relations between them, and what can be judged at once: scenes and loose adjectives."""
    phrases: list[_Phrase] = []
    pending: list[tuple[int, str, _Phrase | None]] = []
    relations: list[_Relation] = []
    done: list[Checked] = []
    loose: list[tuple[int, str]] = []

    def drop() -> None:
        done.extend(Checked(i, w, ADJECTIVES.get(w, "count"), False, ()) for i, w in loose)
        loose.clear()

    for position, word in enumerate(words):
        if word in ADJECTIVES or word in NUMBERS:
            loose.append((position, word))
        elif word in NOUNS:
            adjectives = [(i, w) for i, w in loose if w in ADJECTIVES]
            phrase = _Phrase(position, word, adjectives, [(i, w) for i, w in loose if w in NUMBERS])
            loose.clear()
            phrases.append(phrase)
            relations += [(i, w, before, phrase) for i, w, before in pending]
            pending.clear()
        elif word in RELATIONS:
            drop()
            pending.append((position, word, phrases[-1] if phrases else None))
        elif word in SCENES:
            drop()
            done.append(Checked(position, word, "scene", word == truth.scene, ()))
    drop()
    relations += [(i, w, before, None) for i, w, before in pending]
    return phrases, relations, done


def _fits(phrase: _Phrase, things: Sequence[Thing]) -> list[int]:
    kind = NOUNS[phrase.noun]
    # Of two things with equally many of the adjectives, the one with the word nearest to the noun is meant.
    spoken = [word for _, word in reversed(phrase.adjectives)]
    true = {
        i: [getattr(thing, ADJECTIVES[word]) == word for word in spoken]
        for i, thing in enumerate(things)
        if thing.kind == kind
    }
    best = max(true.values(), key=lambda flags: (sum(flags), flags), default=[])
    return [i for i, flags in true.items() if flags == best]


def _check_relation(
    position: int, word: str, before: _Phrase | None, after: _Phrase | None, things: Sequence[Thing]
) -> Checked:
    if before is None or after is None:
        return Checked(position, word, "relation", False, ())
    pairs = [(i, j) for i in before.fits for j in after.fits if i != j and stands(things[i], word, things[j])]
    if not pairs:
        return Checked(position, word, "relation", False, ())
    # "a dog left of a car" is about the dog that is there, not about another one.
    before.fits = sorted({i for i, _ in pairs})
    after.fits = sorted({j for _, j in pairs})
    return Checked(position, word, "relation", True, tuple(sorted({i for pair in pairs for i in pair})))


def _check_phrase(phrase: _Phrase, things: Sequence[Thing]) -> Iterator[Checked]:
    fits = tuple(phrase.fits)
    yield Checked(phrase.position, phrase.noun, "object", bool(fits), fits)
    whole = list(fits)
    for position, word in phrase.adjectives:
        right = tuple(i for i in fits if getattr(things[i], ADJECTIVES[word]) == word)
        whole = [i for i in whole if i in right]
        yield Checked(position, word, ADJECTIVES[word], bool(right), right)
    for position, word in phrase.numbers:
        right = tuple(whole) if len(whole) == NUMBERS[word] else ()
        yield Checked(position, word, "count", bool(right), right)
