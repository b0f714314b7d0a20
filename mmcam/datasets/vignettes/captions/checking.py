"""Which words of a caption, anyone's, are true of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mmcam.datasets.vignettes.lexicon import ADJECTIVES, NOUNS, NUMBERS
from mmcam.datasets.vignettes.relations import RELATIONS, stands
from mmcam.datasets.vignettes.truth import Thing, Truth
from mmcam.datasets.vignettes.world import SCENES


@dataclass(frozen=True)
class Checked:
    """Whether the claim of the word at `position` is true, and the things that make it so (empty if wrong)."""

    position: int
    word: str
    category: str
    correct: bool
    things: tuple[int, ...]


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
