"""Questions of eleven types, their answers, and the things they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, PLURALS, SCENE_PHRASES, article
from mmcam.datasets.vignettes.relations import CLEARLY, direction
from mmcam.datasets.vignettes.truth import SIZE, Thing, Truth
from mmcam.datasets.vignettes.world import (
    COLOURS,
    HELD_OUT_COLOURS,
    KINDS,
    OPTIONAL_PARTS,
    SCALES,
    SCENES,
    TEXTURES,
    split_of,
)

ANSWERS = (
    *("yes", "no", "left", "right", "above", "below"),
    *("0", "1", "2", "3", "4"),
    *COLOURS,
    *TEXTURES,
    *KINDS,
    *SCENES,
)
"""Every possible answer; an answer's place is its class."""


@dataclass(frozen=True)
class Question:
    """A question, its type (one of `TYPES`), its answer (one of `ANSWERS`).

    `things` are the indices of the things one has to look at; empty where it is about the scene or about
    something that is not there.
    """

    text: str
    type: str
    answer: str
    things: tuple[int, ...]


# T, U: noun phrases that mean one thing; K, L: plural kinds; D: a direction; the rest is said as it stands.
_TEMPLATES: dict[str, tuple[str, ...]] = {
    "exists": ("is there T", "do you see T", "can you see T in the picture"),
    "count kind": ("how many K are there", "how many K do you see"),
    "count all": ("how many things are there", "how many things do you see"),
    "count colour": ("how many T things are there",),
    "colour": ("what colour is the T", "which colour does the T have"),
    "texture": ("what pattern does the T have", "what is the pattern of the T"),
    "kind": ("what is the T thing", "what kind of thing is T", "which thing is T"),
    "kind two": ("what is the T thing", "what kind of thing is the T one"),
    "part": ("does the T have P", "is there P on the T"),
    "left_right": ("is the T left or right of the U", "on which side of the U is the T"),
    "left_right middle": ("is the T left or right of the middle", "on which side of the picture is the T"),
    "above_below": ("is the T above or below the U",),
    "above_below middle": ("is the T above or below the middle",),
    "relation": ("what is D the T", "which thing is D the T"),
    "relation extreme": ("which thing is furthest D", "what is furthest D"),
    "scene": ("where is this", "what place is this", "what kind of scene is this"),
    "scene yes": ("is this S", "is it S"),
    "larger": ("is the T larger than the U", "is the U smaller than the T"),
    "higher": ("is the T higher than the U", "is the U lower than the T"),
    "more": ("are there more K than L", "are there fewer L than K"),
    "same": ("do the T and the U have the same colour",),
}
_PARTS = {part: "fruit" if part == "fruit" else f"{article(part)} {part}" for part in OPTIONAL_PARTS.values()}
_SIDES = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
_EXTREMES = {"left": "to the left", "right": "to the right", "above": "up", "below": "down"}


def ask(truth: Truth, n: int = 12, draw: int = 0) -> list[Question]:
    """Up to `n` different questions about a picture, all types in turn; the same every time.

    Args:
        truth: of the picture; also one that no seed has.
        n: how many; fewer come back where a picture has no more to ask.
        draw: another number gives other questions, for training on many of them.

    Raises:
        ValueError: if there is nothing in the picture.
    """
    if not truth.things:
        raise ValueError("There is nothing to ask about a picture without things; give it at least one.")
    dice = Dice("questions", truth.seed, draw) if draw else Dice("questions", truth.seed)
    questions: dict[str, Question] = {}
    for _ in range(4 + n // 2):
        for maker in dice.shuffled(tuple(_MAKERS.values())):
            question = maker(truth, dice)
            if question is not None:
                questions.setdefault(question.text, question)
            if len(questions) >= n:
                return list(questions.values())
    return list(questions.values())


def _say(form: str, dice: Dice, **slots: str) -> str:
    return " ".join(slots.get(word, word) for word in dice.pick(_TEMPLATES[form]).split())


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def _matching(truth: Truth, kind: str | None, **attributes: str) -> tuple[int, ...]:
    return tuple(
        i
        for i, thing in enumerate(truth.things)
        if kind in (None, thing.kind) and all(getattr(thing, a) == v for a, v in attributes.items())
    )


def _name(truth: Truth, index: int, dice: Dice, without: str = "") -> str | None:
    """A noun phrase that means this thing only and does not say its `without`; None if there is none."""
    thing = truth.things[index]
    if _matching(truth, thing.kind) == (index,):
        return thing.kind
    ways = [
        f"{getattr(thing, a)} {thing.kind}"
        for a in ("colour", "texture", "scale")
        if a != without and _matching(truth, thing.kind, **{a: getattr(thing, a)}) == (index,)
    ]
    return dice.pick(ways) if ways else None


def _named(truth: Truth, dice: Dice, without: str = "") -> tuple[int, str] | None:
    """A random thing that has a name, and its name."""
    for index in dice.shuffled(range(len(truth.things))):
        name = _name(truth, index, dice, without)
        if name is not None:
            return index, name
    return None


def _pair(
    truth: Truth, dice: Dice, apart: Callable[[Thing, Thing], bool], without: str = ""
) -> tuple[int, str, int, str] | None:
    """Two random things that are `apart`, in random order, with their names."""
    for i, j in dice.shuffled(tuple(permutations(range(len(truth.things)), 2))):
        if apart(truth.things[i], truth.things[j]):
            first, second = _name(truth, i, dice, without), _name(truth, j, dice, without)
            if first is not None and second is not None:
                return i, first, j, second
    return None


def _exists(truth: Truth, dice: Dice) -> Question | None:
    # "no" must be as likely as "yes" for every single wording: kinds and attributes are drawn evenly for both.
    attribute = dice.pick(("", "", "", "colour", "colour", "colour", "colour", "texture", "texture", "scale"))
    present = tuple(dict.fromkeys(thing.kind for thing in truth.things))
    absent = tuple(kind for kind in KINDS if kind not in present)
    true = dice.chance(0.5)
    value = ""
    if true:
        thing = truth.things[dice.below(len(truth.things))]
        kind, value = thing.kind, getattr(thing, attribute) if attribute else ""
    else:
        kind = dice.pick(present if attribute and dice.chance(0.6) else absent)
        if attribute:
            taken = {getattr(thing, attribute) for thing in truth.things if thing.kind == kind}
            values = [v for v in _VALUES[attribute] if v not in taken and _possible(kind, v, truth)]
            if not values:
                return None
            value = dice.pick(values)
    things = _matching(truth, kind, **({attribute: value} if true and attribute else {}))
    phrase = f"{value} {kind}".strip()
    return Question(_say("exists", dice, T=f"{article(phrase)} {phrase}"), "exists", _yes(true), things)


_VALUES: dict[str, tuple[str, ...]] = {"colour": COLOURS, "texture": TEXTURES, "scale": SCALES}


def _possible(kind: str, value: str, truth: Truth) -> bool:
    """Asking for what never occurs would give the answer away, except where it does occur."""
    return (kind, value) not in HELD_OUT_COLOURS or split_of(truth.seed) == "heldout"


def _count(truth: Truth, dice: Dice) -> Question | None:
    groups: dict[int, list[str]] = {}
    for kind in KINDS:
        groups.setdefault(len(_matching(truth, kind)), []).append(kind)
    several = [n for n in groups if n > 1]
    # Most pictures have no kind twice; asked about kinds as often as the others, all would answer 0 or 1.
    if dice.chance(0.8 if several else 0.35):
        n = dice.pick(several) if several and dice.chance(0.6) else dice.below(2)
        kind = dice.pick(groups.get(n) or groups[0])
        things = _matching(truth, kind)
        return Question(_say("count kind", dice, K=PLURALS[kind]), "count", str(len(things)), things)
    if dice.chance(0.5):
        things = tuple(range(len(truth.things)))
        return Question(_say("count all", dice), "count", str(len(things)), things)
    by_colour: dict[int, list[str]] = {}
    for colour in COLOURS:
        by_colour.setdefault(len(_matching(truth, None, colour=colour)), []).append(colour)
    colour = dice.pick(by_colour[dice.pick(sorted(by_colour))])
    things = _matching(truth, None, colour=colour)
    return Question(_say("count colour", dice, T=colour), "count", str(len(things)), things)


def _colour(truth: Truth, dice: Dice) -> Question | None:
    named = _named(truth, dice, without="colour")
    if named is None:
        return None
    index, name = named
    return Question(_say("colour", dice, T=name), "colour", truth.things[index].colour, (index,))


def _texture(truth: Truth, dice: Dice) -> Question | None:
    named = _named(truth, dice, without="texture")
    if named is None:
        return None
    index, name = named
    return Question(_say("texture", dice, T=name), "texture", truth.things[index].texture, (index,))


def _kind(truth: Truth, dice: Dice) -> Question | None:
    for index in dice.shuffled(range(len(truth.things))):
        thing = truth.things[index]
        ways = [
            {a: getattr(thing, a) for a in attributes}
            for attributes in (("colour",), ("texture",), ("scale",), ("scale", "colour"), ("texture", "colour"))
        ]
        ways = [way for way in ways if _matching(truth, None, **way) == (index,)]
        if ways:
            way = ways[0] if dice.chance(0.5) else dice.pick(ways)
            form = "kind" if len(way) == 1 else "kind two"
            return Question(_say(form, dice, T=" ".join(way.values())), "kind", thing.kind, (index,))
    return None


def _part(truth: Truth, dice: Dice) -> Question | None:
    for index in dice.shuffled(range(len(truth.things))):
        thing = truth.things[index]
        part, name = OPTIONAL_PARTS.get(thing.kind), _name(truth, index, dice)
        if part is not None and name is not None:
            text = _say("part", dice, T=name, P=_PARTS[part])
            return Question(text, "part", _yes(part in thing.parts), (index,))
    return None


def _left_right(truth: Truth, dice: Dice) -> Question | None:
    return _side(truth, dice, "left_right", 0, ("left", "right"))


def _above_below(truth: Truth, dice: Dice) -> Question | None:
    return _side(truth, dice, "above_below", 1, ("above", "below"))


def _side(truth: Truth, dice: Dice, form: str, axis: int, words: tuple[str, str]) -> Question | None:
    if len(truth.things) == 1 or dice.chance(0.35):
        named = _named(truth, dice)
        if named is None or abs(truth.things[named[0]].centre[axis] - SIZE / 2) <= CLEARLY:
            return None
        index, name = named
        answer = words[truth.things[index].centre[axis] > SIZE / 2]
        return Question(_say(f"{form} middle", dice, T=name), form, answer, (index,))
    pair = _pair(truth, dice, lambda a, b: abs(a.centre[axis] - b.centre[axis]) > CLEARLY)
    if pair is None:
        return None
    i, first, j, second = pair
    answer = words[truth.things[i].centre[axis] > truth.things[j].centre[axis]]
    return Question(_say(form, dice, T=first, U=second), form, answer, (i, j))


def _relation(truth: Truth, dice: Dice) -> Question | None:
    if len(truth.things) < 2:
        return None
    if dice.chance(0.35):
        side = dice.pick(tuple(_EXTREMES))
        axis = 0 if side in ("left", "right") else 1
        sign = 1 if side in ("left", "above") else -1
        order = sorted(range(len(truth.things)), key=lambda i: sign * truth.things[i].centre[axis])
        first, second = (truth.things[i] for i in order[:2])
        if abs(first.centre[axis] - second.centre[axis]) <= CLEARLY:
            return None
        return Question(_say("relation extreme", dice, D=_EXTREMES[side]), "relation", first.kind, (order[0],))
    named = _named(truth, dice)
    if named is None:
        return None
    index, name = named
    for side in dice.shuffled(tuple(_SIDES)):
        axis = 0 if side in ("left", "right") else 1
        sign = 1 if side in ("left", "above") else -1
        gaps = {
            i: sign * (truth.things[index].centre[axis] - thing.centre[axis])
            for i, thing in enumerate(truth.things)
            if i != index
        }
        there = [i for i in gaps if direction(truth.things[i], truth.things[index]) == side]
        # Nothing else may be a little bit there.
        if len(there) == 1 and all(gap < 0 for i, gap in gaps.items() if i != there[0]):
            text = _say("relation", dice, D=_SIDES[side], T=name)
            return Question(text, "relation", truth.things[there[0]].kind, (there[0], index))
    return None


def _scene(truth: Truth, dice: Dice) -> Question | None:
    if dice.chance(0.5):
        return Question(_say("scene", dice), "scene", truth.scene, ())
    true = dice.chance(0.5)
    scene = truth.scene if true else dice.pick([s for s in SCENES if s != truth.scene])
    return Question(_say("scene yes", dice, S=dice.pick(SCENE_PHRASES[scene])), "scene", _yes(true), ())


def _comparison(truth: Truth, dice: Dice) -> Question | None:
    return dice.pick((_larger, _larger, _higher, _higher, _more, _more, _same))(truth, dice)


def _larger(truth: Truth, dice: Dice) -> Question | None:
    pair = _pair(truth, dice, lambda a, b: a.scale != b.scale, without="scale")
    if pair is None:
        return None
    i, first, j, second = pair
    answer = _yes(truth.things[i].scale == "large")
    return Question(_say("larger", dice, T=first, U=second), "comparison", answer, (i, j))


def _higher(truth: Truth, dice: Dice) -> Question | None:
    pair = _pair(truth, dice, lambda a, b: abs(a.centre[1] - b.centre[1]) > CLEARLY)
    if pair is None:
        return None
    i, first, j, second = pair
    answer = _yes(truth.things[i].centre[1] < truth.things[j].centre[1])
    return Question(_say("higher", dice, T=first, U=second), "comparison", answer, (i, j))


def _more(truth: Truth, dice: Dice) -> Question | None:
    count = {kind: len(_matching(truth, kind)) for kind in KINDS}
    present = dice.pick([kind for kind in KINDS if count[kind]])
    others = [kind for kind in KINDS if count[kind] != count[present]]
    rivals = [kind for kind in others if count[kind]]
    other = dice.pick(rivals) if rivals else dice.pick(others)
    first, second = (present, other) if dice.chance(0.5) else (other, present)
    things = _matching(truth, present) + _matching(truth, other)
    text = _say("more", dice, K=PLURALS[first], L=PLURALS[second])
    return Question(text, "comparison", _yes(count[first] > count[second]), things)


def _same(truth: Truth, dice: Dice) -> Question | None:
    same = dice.chance(0.5)
    # Two things seldom have one colour: as many "no" as "yes" means passing over most of those that differ.
    if not same and dice.chance(0.7):
        return None
    pair = _pair(truth, dice, lambda a, b: (a.colour == b.colour) is same, without="colour")
    if pair is None:
        return None
    i, first, j, second = pair
    return Question(_say("same", dice, T=first, U=second), "comparison", _yes(same), (i, j))


_MAKERS: dict[str, Callable[[Truth, Dice], Question | None]] = {
    "exists": _exists,
    "count": _count,
    "colour": _colour,
    "texture": _texture,
    "kind": _kind,
    "part": _part,
    "left_right": _left_right,
    "above_below": _above_below,
    "scene": _scene,
    "comparison": _comparison,
    "relation": _relation,
}
TYPES = tuple(_MAKERS)
"""Every type of question."""


def _vocabulary() -> tuple[str, ...]:
    sayings: Sequence[str] = [
        *(template for templates in _TEMPLATES.values() for template in templates),
        *(phrase for phrases in SCENE_PHRASES.values() for phrase in phrases),
        *(*_PARTS.values(), *_SIDES.values(), *_EXTREMES.values()),
    ]
    words = {word for saying in sayings for word in saying.split() if word.islower()}
    return tuple(sorted(words | {"a", "an"} | set(KINDS) | set(PLURALS.values()) | set(ADJECTIVES)))


VOCABULARY = _vocabulary()
"""Every word a question can have."""
