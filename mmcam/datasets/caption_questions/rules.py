"""What can be asked of a photograph so that its captions tell the answer: colour, number, object, place, action.

Every rule takes the captions as `scene` reads them and gives questions; one caption alone is not believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from . import words as w
from .phrases import Phrase, things
from .scene import ALIVE, Told, actions, agreed, places, subject


@dataclass(frozen=True)
class Question:
    """A question of a photograph, not yet in words.

    Attributes:
        type: one of `TYPES`.
        form: which wording; with `about`, what is balanced.
        about: what is asked for within the form: a thing, a verb.
        answer: of the captions.
        fill: what else its wording needs: "who" is the man whose shirt it is.
    """

    type: str
    form: str
    about: str
    answer: str
    fill: dict[str, str] = field(default_factory=dict)


COLOURED: Final = ("animal", "clothing", "toy", "vehicle", "bag", "wear", "furniture", "plant", "playground", "body")
PLURAL: Final = ("shorts", "trousers", "shoe", "sock", "glove", "goggles", "hair", "flower", "sunglasses")
NOT_COLOURED: Final = ("grass", "tree", "tongue", "sunglasses", "stick", "animal", "train", "airplane", "log")
LINKS: Final = w.words_of("in wearing wears with dressed and a an the his her has , 's matching on bright is are")


def colours(captions: list[Told], least: int = 2) -> Iterator[Question]:
    """The colour of what at least `least` captions call so, and none another colour, two of them, or striped."""
    for name in dict.fromkeys(phrase.thing for told in captions for phrase in told.phrases if phrase.colour):
        thing = things()[name]
        if thing.kind not in COLOURED or thing.name in NOT_COLOURED:
            continue
        named = [told.of(thing.name) for told in captions]
        if thing.name not in PLURAL and any(phrase.plural for own in named for phrase in own):
            continue
        votes = [{phrase.colour for phrase in own if phrase.colour} for own in named]
        colour = agreed(votes, least, w.CLOSE_COLOURS)
        if colour and colour != "mixed":
            owner = _owner(captions, thing.name) if thing.kind in ("clothing", "wear", "body", "bag") else ""
            yield Question("colour", "colour", thing.name, colour, {"who": owner, "word": _word(named)})


def _word(named: list[list[Phrase]]) -> str:
    """The noun that most captions use for a thing, in their own form."""
    return Counter(phrase.word for own in named for phrase in own).most_common(1)[0][0]


def _owner(captions: list[Told], thing: str) -> str:
    """Who has the garment, if the captions name one kind of person with it: "a man in a red shirt"."""
    owners: Counter[str] = Counter()
    for told in captions:
        for phrase in told.of(thing):
            alive = [other for other in told.of_kind(*ALIVE) if other.end <= phrase.start]
            if not alive:
                continue
            covered = {place for other in told.phrases for place in range(other.start, other.end)}
            between = range(alive[-1].end, phrase.start)
            if all(place in covered or told.tokens[place] in LINKS for place in between) and not alive[-1].plural:
                owners[alive[-1].thing] += 1
    owners.pop("person", None)
    return next(iter(owners)) if len(owners) == 1 else ""


COUNTED: Final = ("dog", "horse", "bird", "cow", "sheep", "bicycle", "car", "boat", "motorcycle", "ball")
PEOPLE: Final = ("man", "woman", "boy", "girl", "child")
VAGUE_PEOPLE: Final = w.words_of(
    "crowd audience team group others people spectators family background onlookers crowded several players parade "
    "many someone somebody friends owner another"
)


def numbers(captions: list[Told]) -> Iterator[Question]:
    """How many there are, if at least three captions count the same and no caption's count or "some" is against it."""
    for thing in COUNTED:
        counts = [_count(told.of(thing)) for told in captions if told.of(thing)]
        yield from _counted(thing, counts)
    everybody = [told.of_kind("person") for told in captions]
    counts = [_count(own) for own in everybody if own]
    vague = any(told.says(VAGUE_PEOPLE - {"people", "players", "others", "another"}) for told in captions)
    if not vague:
        yield from _counted("person", counts)
    for thing in PEOPLE:
        own = [told.of(thing) for told in captions]
        clear = not any(told.of("person") or told.says(VAGUE_PEOPLE) for told in captions)
        if clear and not (thing != "child" and any(told.of("child") for told in captions) and thing in ("boy", "girl")):
            yield from _counted(thing, [_count(phrases) for phrases in own if phrases])


def _counted(thing: str, counts: list[int | None]) -> Iterator[Question]:
    """The number if enough captions tell it and all the same; "some" may stand for three or more."""
    told = [count for count in counts if count]
    if len(told) >= (4 if set(told) == {1} else 2) and len(set(told)) == 1:
        number, vague = told[0], len(counts) - len(told)
        if number <= 6 and (not vague or (number > 2 and vague < len(told))):
            yield Question("number", "number", thing, str(number))


def _count(phrases: list[Phrase]) -> int | None:
    """How many a caption tells of: "a dog" and "another dog" are two; None where it does not say."""
    total = 0
    for i, phrase in enumerate(phrases):
        if phrase.number is None:
            return None
        if phrase.new or i == 0:
            total += phrase.number
    return total


@dataclass(frozen=True)
class Relation:
    """What someone does to a thing: forms of the verb, the preposition that follows or "", the kinds of things."""

    verbs: frozenset[str]
    prepositions: frozenset[str]
    kinds: frozenset[str] = frozenset()
    least: int = 2


def _relation(verbs: str, prepositions: str = "", kinds: str = "") -> Relation:
    return Relation(w.words_of(verbs), w.words_of(prepositions), w.words_of(kinds))


RELATIONS: Final = {
    "riding": _relation("riding rides ride rode", "on a"),
    "holding": _relation("holding holds hold carrying carries carry"),
    "playing with": _relation("playing plays play", "with"),
    "playing": _relation("playing plays play", "on", "instrument"),
    "climbing": _relation("climbing climbs climb scaling", "up on over"),
    "jumping over": _relation("jumping jumps leaping leaps jump", "over"),
    "jumping off": _relation("jumping jumps leaping leaps diving dives jump", "off from"),
    "jumping into": _relation("jumping jumps leaping leaps diving dives jump", "into in"),
    "sitting on": _relation("sitting sits seated sit rests resting laying lays lying sleeping sleeps", "on in"),
    "standing on": _relation("standing stands stand", "on"),
    "standing in": _relation("standing stands stand", "in"),
    "chasing": _relation("chasing chases catching catches catch chase fetching retrieving", "after"),
    "kicking": _relation("kicking kicks kick hitting hits throwing throws tossing"),
    "eating": _relation("eating eats chewing chews biting bites licking licks", "on at"),
    "reading": _relation("reading reads"),
    "smoking": _relation("smoking smokes"),
    "pulling": _relation("pulling pulls pushing pushes"),
    "looking at": _relation("looking looks watching watches staring", "at"),
    "walking on": _relation("walking walks walk", "on along down across"),
    "running through": _relation("running runs run", "through"),
    "swimming in": _relation("swimming swims", "in through"),
    "sliding down": _relation("sliding slides riding rides", "down"),
    "swinging on": _relation("swinging swings", "on from"),
    "talking on": _relation("talking talks", "on into"),
    "using": _relation("using uses"),
    "leaning on": _relation("leaning leans", "on against over"),
}  # fmt: skip
NEVER: Final = frozenset(("hair", "person", "animal", "tongue", "outfit", "toy", "child", "wall"))


def objects(captions: list[Told]) -> Iterator[Question]:
    """The thing of a verb ("riding a bike") or of a head, what is in a mouth, who someone is, which animal or sport."""
    who = agreed([[p.thing] if (p := subject(told)) else [] for told in captions], 2, _NEAR)
    for name, relation in RELATIONS.items():
        votes = [_things_of(told, relation) for told in captions]
        answer = agreed(votes, 2, _NEAR_THINGS)
        if answer and who and answer not in NEVER and answer not in ALIVE_NAMES:
            yield Question("object", "what", name, answer, {"who": who})
    answer = agreed([_in_mouth(told) for told in captions], 2, _NEAR_THINGS)
    if answer and answer not in NEVER:
        yield Question("object", "mouth", "dog", answer)
    on_head = [
        {p.thing for p in told.of_kind("clothing") if p.thing in ("hat", "helmet", "sunglasses", "scarf", "mask")}
        for told in captions
    ]
    answer = agreed(on_head, 2)
    if answer and who:
        yield Question("object", "head", "head", answer, {"who": who})
    tops = [{p.thing for p in told.of_kind("clothing") if p.thing in TOPS} for told in captions]
    answer = agreed(tops, 2)
    if answer and who in PEOPLE:
        yield Question("object", "wearing", "wearing", answer, {"who": who})
    sport = agreed([[name for name, words in w.SPORTS.items() if told.says(words)] for told in captions], 2)
    if sport and not any(told.of("dog") for told in captions):
        yield Question("object", "sport", "sport", sport)
    kinds = [{p.thing for p in told.of_kind("animal")} for told in captions]
    answer = agreed(kinds, 3, frozenset(frozenset(("animal", name)) for name in things()))
    if answer and answer != "animal":
        yield Question("object", "animal", "animal", answer)
    yield from _persons(captions)


TOPS: Final = w.words_of("shirt jacket sweater dress swimsuit uniform suit vest")
ALIVE_NAMES: Final = frozenset(("man", "woman", "boy", "girl", "child", "person"))
_NEAR = frozenset(
    frozenset(pair)
    for pair in [("man", "person"), ("woman", "person"), ("boy", "child"), ("girl", "child"), ("boy", "person"),
                 ("girl", "person"), ("child", "person"), ("dog", "animal"), ("horse", "animal")]
)  # fmt: skip
_NEAR_THINGS = frozenset(
    frozenset(pair) for pair in [("ball", "toy"), ("frisbee", "toy"), ("stick", "toy"), ("rope", "toy")]
)


def _things_of(told: Told, relation: Relation) -> set[str]:
    """The things that stand right after the verb, with one of its prepositions if it has any."""
    found: set[str] = set()
    if relation.verbs.isdisjoint(told.tokens):
        return found
    for phrase in told.phrases:
        thing = things()[phrase.thing]
        if relation.kinds and thing.kind not in relation.kinds:
            continue
        before = told.tokens[max(0, phrase.start - 2) : phrase.start]
        if not before:
            continue
        direct = before[-1] in relation.verbs
        by_way = len(before) == 2 and before[0] in relation.verbs and before[1] in relation.prepositions
        if by_way or (
            direct
            and (
                not relation.prepositions
                or relation.kinds
                or relation is RELATIONS["riding"]
                or relation is RELATIONS["climbing"]
                or relation is RELATIONS["chasing"]
                or relation is RELATIONS["eating"]
            )
        ):
            found.add(thing.name)
    return found


def _in_mouth(told: Told) -> set[str]:
    """What is "in its mouth"."""
    found = set()
    for phrase in told.phrases:
        after = told.tokens[phrase.end : phrase.end + 3]
        if told.of("dog") and after[:1] == ("in",) and "mouth" in after:
            found.add(phrase.thing)
    return found


def _persons(captions: list[Told]) -> Iterator[Question]:
    """Who the one person is: man, woman, boy or girl."""
    rows = [told.of_kind("person") for told in captions]
    if sum(_count(own) == 1 for own in rows) < 4 or any(own and _count(own) != 1 for own in rows):
        return
    who = agreed([{phrase.thing for phrase in own} for own in rows], 3, _NEAR)
    if who in ("man", "woman", "boy", "girl"):
        doing = agreed([[action for _, action in actions(told)] for told in captions], 2, w.CLOSE_ACTIONS)
        yield Question("object", "who", "who", who, {"doing": doing or ""})


def where(captions: list[Told]) -> Iterator[Question]:
    """The place that at least three captions tell, or two where nothing else is told, and of what is there."""
    votes = [places(told) for told in captions]
    place = agreed(votes, 3, w.CLOSE_PLACES) or agreed(votes, 2)
    if place:
        who = agreed([[p.thing] if (p := subject(told)) else [] for told in captions], 2, _NEAR)
        yield Question("place", "where", "where", place, {"who": who or ""})


def doing(captions: list[Told]) -> Iterator[Question]:
    """What all that is alive in a photograph does, if it is one kind and at least three captions tell the same."""
    who = agreed([[p.thing] if (p := subject(told)) else [] for told in captions], 3, _NEAR)
    if not who:
        return
    kinds = {things()[phrase.thing].kind for told in captions for phrase in told.of_kind(*ALIVE)}
    if len(kinds) != 1:
        return
    action = agreed([{action for _, action in actions(told)} for told in captions], 3, w.CLOSE_ACTIONS)
    if action:
        several = sum(any(p.plural for p in told.of(who)) for told in captions) >= 2
        yield Question(
            "action",
            "doing",
            "dog" if who == "dog" else "person",
            action,
            {"who": who, "several": "yes" if several else ""},
        )
