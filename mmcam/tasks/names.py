"""The names of classes, actions and answers: read in whatever form they come, and looked up."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmcam.errors import ExplainError

Names = Sequence[str] | Mapping[int, str] | Mapping[str, str] | Mapping[str, int]
"""In order, or by index (``{0: "cat"}``, in JSON ``{"0": "cat"}``), or with the index (``{"cat": 0}``)."""


@dataclass(frozen=True)
class Wider:
    """Names of classes beside those that they are shown by.

    Attributes:
        synonyms: the classes that each further name belongs to; one that belongs to several is ambiguous.
        hypernyms: the classes under each wider word, as "cat" or "vehicle".
    """

    synonyms: Mapping[str, Sequence[int]] = field(default_factory=dict)
    hypernyms: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Classes of which the one with the highest score in a picture is meant.

    Attributes:
        name: the wider word that was asked for.
        classes: their indices.
    """

    name: str
    classes: tuple[int, ...]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_LONGEST = 400
"""Characters of another's message that are told."""


def short(value: Any) -> str:
    """A value as an error message shows it, cut in the middle where it is long."""
    try:
        return _cut(" ".join(_SHORT.repr(value).split()))
    except ValueError:  # Python writes no number of more than some thousand digits
        return f"a number of type {type(value).__name__}"


def message_of(error: BaseException) -> str:
    """What an exception says, on one line and not too long."""
    return _cut(" ".join(str(error).split()))


def _cut(said: str) -> str:
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST // 2]} … {said[-_LONGEST // 2 :]}"


def named(names: Any, what: str = "class") -> tuple[str, ...] | None:
    """Names in order, from a sequence, a mapping from index to name, or one from name to index; None stays None.

    Indices may be written as text, as in JSON. A mapping from name to index is torchvision's ``class_to_idx``.

    Args:
        names: see `Names`.
        what: one is called in messages.

    Raises:
        ExplainError: something else; an entry that is no text; an index without a name, or with two.
    """
    if names is None:
        return None
    if isinstance(names, Mapping):
        each = _in_order(names, what)
    elif isinstance(names, (Sequence, np.ndarray, KeysView, ValuesView)) and not isinstance(names, (str, bytes)):
        each = list(names)
    else:
        raise ExplainError(
            f"The names are a list with one of each {what} in order, or a mapping from index to name, and "
            f"{short(names)} is neither."
        )
    for index, name in enumerate(each):
        if not isinstance(name, str):
            raise ExplainError(f"The name of {what} {index} is {short(name)}, and a name is a text.")
    if not each:
        raise ExplainError(f"There is no name in names=; pass one of each {what}, or leave it out.")
    return tuple(map(str, each))


def _in_order(names: Mapping[Any, Any], what: str) -> list[Any]:
    """The names of a mapping by their index, whichever side it stands on."""
    entries = [(key, value) if _is_index(value) else (value, key) for key, value in names.items()]
    if not all(isinstance(name, str) and index is not None for name, i in entries for index in [_index(i)]):
        raise ExplainError(
            f"The names are a mapping from index to name or from name to index, and {short(dict(names))} is neither."
        )
    by_index: dict[int, str] = {}
    for name, i in entries:
        index = int(i)
        if index in by_index:
            raise ExplainError(f"The names call {what} {index} both {short(by_index[index])} and {short(name)}.")
        by_index[index] = name
    if missing := sorted(set(range(len(by_index))) - set(by_index)):
        raise ExplainError(
            f"The mapping of names has {len(by_index)} entries and none for {what} {missing[0]}; name each "
            f"{what} from 0 on."
        )
    return [by_index[index] for index in range(len(by_index))]


def _is_index(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (bool, np.bool_))


def _index(value: Any) -> int | None:
    """An index as a number or as the digits of one; None for anything else."""
    written = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
    return int(value) if written or _is_index(value) else None


def as_many(names: Sequence[str], count: int, what: str) -> None:
    """Raise ExplainError unless there is a name for each of so many classes."""
    if len(names) != count:
        hint = " (one may be a background, which needs a name in its place)" if count == len(names) + 1 else ""
        raise ExplainError(
            f"There are {len(names)} names for {count} {_many(what)}{hint}; pass names= with one for each, in order."
        )


def _many(what: str) -> str:
    return what + ("es" if what.endswith("s") else "s")


def nearest(wanted: str, known: Sequence[str], what: str) -> int:
    """Index of a string among known ones: exact, then without case, then one of its comma-separated synonyms.

    Raises:
        ExplainError: not there; the message lists the closest.
    """
    index = _among(wanted, known, what)
    if index is None:
        raise _unknown(wanted, known, what)
    return index


def _among(wanted: str, known: Sequence[str], what: str) -> int | None:
    """The same; None where it is not there."""
    folded = wanted.strip().casefold()
    forms: list[Callable[[str], list[str]]] = [
        lambda text: [folded] if text == wanted else [],
        lambda text: [text.casefold()],
        lambda text: [part.strip().casefold() for part in text.split(",")],
    ]
    for form in forms:
        hits = [i for i, text in enumerate(known) if folded in form(text)]
        if len(hits) == 1:
            return hits[0]
        if hits:
            raise ExplainError(
                f"There are {len(hits)} {_many(what)} named {short(wanted)}: {hits[:20]}; pass the index."
            )
    return None


def _unknown(wanted: str, known: Sequence[str], what: str) -> ExplainError:
    """The error for a name that is not there; it lists the closest."""
    folded = wanted.strip().casefold()
    near = difflib.get_close_matches(folded, [text.casefold() for text in known], n=4, cutoff=0.5)
    near += [text for text in known if folded in text.casefold() and text.casefold() not in near]
    listed = [" ".join(text[:80].split()) for text in near[:4] or list(known)[:8]]
    hint = f"the closest are {', '.join(listed)}." if near else f"there are {', '.join(listed)} …"
    return ExplainError(f"There is no {what} {short(wanted)}; {hint}")


def class_index(name: str, names: Sequence[str] | None, wider: Wider | None = None) -> int | Group:
    """The index of a class by its name, whatever the case; ``"cat, tiger cat"`` is also found as ``"cat"``.

    The names that classes are shown by go before synonyms, and these before hypernyms.

    Args:
        name: as it was asked for.
        names: of the classes, as they are shown; None where nothing is known.
        wider: further names.

    Returns:
        An index; of a hypernym, all classes under it.

    Raises:
        ExplainError: unknown or ambiguous; the message lists the closest names, or what it may mean.
    """
    if names is None:
        raise ExplainError(
            f"The classes of this model have no names, so {short(name)} cannot be found; pass names=[…]."
        )
    wider = wider or Wider()
    if (index := _among(name, names, "class")) is not None:
        return index
    if len(own := _meant(name, wider.synonyms)) > 1:
        each = ", ".join(f"{i} {names[i]}{_kind(i, names, wider)}" for i in own)
        raise ExplainError(f"There are {len(own)} classes named {short(name)}: {each}; pass the index.")
    if own:
        return own[0]
    if under := _meant(name, wider.hypernyms):
        return Group(name.strip(), under)
    every = {text.casefold(): text for text in [*wider.hypernyms, *wider.synonyms, *names]}
    raise _unknown(name, list(every.values()), "class")


def _meant(name: str, words: Mapping[str, Sequence[int]]) -> tuple[int, ...]:
    """The classes of a word as it is written, or else of those that differ by their case only."""
    word = name.strip()
    if word in words:
        return tuple(words[word])
    return tuple(sorted({i for text, own in words.items() if text.casefold() == word.casefold() for i in own}))


def _kind(index: int, names: Sequence[str], wider: Wider) -> str:
    """The narrowest word for what a class is a kind of, in brackets; "" where its name says it already."""
    above = [(len(own), word) for word, own in wider.hypernyms.items() if index in own]
    return f" ({min(above)[1]})" if above and "(" not in names[index] else ""


def class_name(index: int, names: Sequence[str] | None) -> str:
    """What a class is called."""
    return names[index] if names is not None and -len(names) <= index < len(names) else f"class {short(index)}"
