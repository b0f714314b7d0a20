"""The eleven types of questions: what is asked, the answer, and the things it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.lexicon import PLURALS, SCENE_PHRASES, article
from mmcam.datasets.vignettes.questions.naming import any_named, matching, name_of, named_pair
from mmcam.datasets.vignettes.questions.wording import EXTREMES, PARTS, SIDES, say
from mmcam.datasets.vignettes.relations import CLEARLY, direction
from mmcam.datasets.vignettes.truth import SIZE, Truth
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


def _yes(true: bool) -> str:
    return "yes" if true else "no"


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
    things = matching(truth, kind, **({attribute: value} if true and attribute else {}))
    phrase = f"{value} {kind}".strip()
    return Question(say("exists", dice, T=f"{article(phrase)} {phrase}"), "exists", _yes(true), things)


_VALUES: dict[str, tuple[str, ...]] = {"colour": COLOURS, "texture": TEXTURES, "scale": SCALES}


def _possible(kind: str, value: str, truth: Truth) -> bool:
    """Asking for what never occurs would give the answer away, except where it does occur."""
    return (kind, value) not in HELD_OUT_COLOURS or split_of(truth.seed) == "heldout"


def _count(truth: Truth, dice: Dice) -> Question | None:
    groups: dict[int, list[str]] = {}
    for kind in KINDS:
        groups.setdefault(len(matching(truth, kind)), []).append(kind)
    several = [n for n in groups if n > 1]
    # Most pictures have no kind twice; asked about kinds as often as the others, all would answer 0 or 1.
    if dice.chance(0.8 if several else 0.35):
        n = dice.pick(several) if several and dice.chance(0.6) else dice.below(2)
        kind = dice.pick(groups.get(n) or groups[0])
        things = matching(truth, kind)
        return Question(say("count kind", dice, K=PLURALS[kind]), "count", str(len(things)), things)
    if dice.chance(0.5):
        things = tuple(range(len(truth.things)))
        return Question(say("count all", dice), "count", str(len(things)), things)
    by_colour: dict[int, list[str]] = {}
    for colour in COLOURS:
        by_colour.setdefault(len(matching(truth, None, colour=colour)), []).append(colour)
    colour = dice.pick(by_colour[dice.pick(sorted(by_colour))])
    things = matching(truth, None, colour=colour)
    return Question(say("count colour", dice, T=colour), "count", str(len(things)), things)


def _colour(truth: Truth, dice: Dice) -> Question | None:
    named = any_named(truth, dice, without="colour")
    if named is None:
        return None
    index, name = named
    return Question(say("colour", dice, T=name), "colour", truth.things[index].colour, (index,))


def _texture(truth: Truth, dice: Dice) -> Question | None:
    named = any_named(truth, dice, without="texture")
    if named is None:
        return None
    index, name = named
    return Question(say("texture", dice, T=name), "texture", truth.things[index].texture, (index,))


def _kind(truth: Truth, dice: Dice) -> Question | None:
    for index in dice.shuffled(range(len(truth.things))):
        thing = truth.things[index]
        ways = [
            {a: getattr(thing, a) for a in attributes}
            for attributes in (("colour",), ("texture",), ("scale",), ("scale", "colour"), ("texture", "colour"))
        ]
        ways = [way for way in ways if matching(truth, None, **way) == (index,)]
        if ways:
            way = ways[0] if dice.chance(0.5) else dice.pick(ways)
            form = "kind" if len(way) == 1 else "kind two"
            return Question(say(form, dice, T=" ".join(way.values())), "kind", thing.kind, (index,))
    return None


def _part(truth: Truth, dice: Dice) -> Question | None:
    for index in dice.shuffled(range(len(truth.things))):
        thing = truth.things[index]
        part, name = OPTIONAL_PARTS.get(thing.kind), name_of(truth, index, dice)
        if part is not None and name is not None:
            text = say("part", dice, T=name, P=PARTS[part])
            return Question(text, "part", _yes(part in thing.parts), (index,))
    return None


def _left_right(truth: Truth, dice: Dice) -> Question | None:
    return _side(truth, dice, "left_right", 0, ("left", "right"))


def _above_below(truth: Truth, dice: Dice) -> Question | None:
    return _side(truth, dice, "above_below", 1, ("above", "below"))


def _side(truth: Truth, dice: Dice, form: str, axis: int, words: tuple[str, str]) -> Question | None:
    if len(truth.things) == 1 or dice.chance(0.35):
        named = any_named(truth, dice)
        if named is None or abs(truth.things[named[0]].centre[axis] - SIZE / 2) <= CLEARLY:
            return None
        index, name = named
        answer = words[truth.things[index].centre[axis] > SIZE / 2]
        return Question(say(f"{form} middle", dice, T=name), form, answer, (index,))
    pair = named_pair(truth, dice, lambda a, b: abs(a.centre[axis] - b.centre[axis]) > CLEARLY)
    if pair is None:
        return None
    i, first, j, second = pair
    answer = words[truth.things[i].centre[axis] > truth.things[j].centre[axis]]
    return Question(say(form, dice, T=first, U=second), form, answer, (i, j))


def _relation(truth: Truth, dice: Dice) -> Question | None:
    if len(truth.things) < 2:
        return None
    if dice.chance(0.35):
        side = dice.pick(tuple(EXTREMES))
        axis = 0 if side in ("left", "right") else 1
        sign = 1 if side in ("left", "above") else -1
        order = sorted(range(len(truth.things)), key=lambda i: sign * truth.things[i].centre[axis])
        first, second = (truth.things[i] for i in order[:2])
        if abs(first.centre[axis] - second.centre[axis]) <= CLEARLY:
            return None
        return Question(say("relation extreme", dice, D=EXTREMES[side]), "relation", first.kind, (order[0],))
    named = any_named(truth, dice)
    if named is None:
        return None
    index, name = named
    for side in dice.shuffled(tuple(SIDES)):
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
            text = say("relation", dice, D=SIDES[side], T=name)
            return Question(text, "relation", truth.things[there[0]].kind, (there[0], index))
    return None


def _scene(truth: Truth, dice: Dice) -> Question | None:
    if dice.chance(0.5):
        return Question(say("scene", dice), "scene", truth.scene, ())
    true = dice.chance(0.5)
    scene = truth.scene if true else dice.pick([s for s in SCENES if s != truth.scene])
    return Question(say("scene yes", dice, S=dice.pick(SCENE_PHRASES[scene])), "scene", _yes(true), ())


def _comparison(truth: Truth, dice: Dice) -> Question | None:
    return dice.pick((_larger, _larger, _higher, _higher, _more, _more, _same))(truth, dice)


def _larger(truth: Truth, dice: Dice) -> Question | None:
    pair = named_pair(truth, dice, lambda a, b: a.scale != b.scale, without="scale")
    if pair is None:
        return None
    i, first, j, second = pair
    answer = _yes(truth.things[i].scale == "large")
    return Question(say("larger", dice, T=first, U=second), "comparison", answer, (i, j))


def _higher(truth: Truth, dice: Dice) -> Question | None:
    pair = named_pair(truth, dice, lambda a, b: abs(a.centre[1] - b.centre[1]) > CLEARLY)
    if pair is None:
        return None
    i, first, j, second = pair
    answer = _yes(truth.things[i].centre[1] < truth.things[j].centre[1])
    return Question(say("higher", dice, T=first, U=second), "comparison", answer, (i, j))


def _more(truth: Truth, dice: Dice) -> Question | None:
    count = {kind: len(matching(truth, kind)) for kind in KINDS}
    present = dice.pick([kind for kind in KINDS if count[kind]])
    others = [kind for kind in KINDS if count[kind] != count[present]]
    rivals = [kind for kind in others if count[kind]]
    other = dice.pick(rivals) if rivals else dice.pick(others)
    first, second = (present, other) if dice.chance(0.5) else (other, present)
    things = matching(truth, present) + matching(truth, other)
    text = say("more", dice, K=PLURALS[first], L=PLURALS[second])
    return Question(text, "comparison", _yes(count[first] > count[second]), things)


def _same(truth: Truth, dice: Dice) -> Question | None:
    same = dice.chance(0.5)
    # Two things seldom have one colour: as many "no" as "yes" means passing over most of those that differ.
    if not same and dice.chance(0.7):
        return None
    pair = named_pair(truth, dice, lambda a, b: (a.colour == b.colour) is same, without="colour")
    if pair is None:
        return None
    i, first, j, second = pair
    return Question(say("same", dice, T=first, U=second), "comparison", _yes(same), (i, j))


MAKERS: dict[str, Callable[[Truth, Dice], Question | None]] = {
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
TYPES = tuple(MAKERS)
"""Every type of question."""
