"""Find a class, an action or an answer by its name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from mmcam.errors import ExplainError


def nearest(wanted: str, known: Sequence[str], what: str) -> int:
    """Index of a string among known ones: exact, then without case, then one of its comma-separated synonyms.

    Raises:
        ExplainError: not there; the message lists the closest.
    """
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
            raise ExplainError(f"There are {len(hits)} {what}es named {wanted!r}: {hits}; pass the index.")
    near = difflib.get_close_matches(folded, [text.casefold() for text in known], n=4, cutoff=0.5)
    near += [text for text in known if folded in text.casefold() and text.casefold() not in near]
    hint = f"the closest are {', '.join(near[:4])}." if near else f"there are {', '.join(list(known)[:8])} …"
    raise ExplainError(f"There is no {what} {wanted!r}; {hint}")


def class_index(name: str, names: Sequence[str] | None) -> int:
    """The index of a class by its name, whatever the case; ``"cat, tiger cat"`` is also found as ``"cat"``.

    Raises:
        ExplainError: unknown or ambiguous; the message lists the closest names.
    """
    if names is None:
        raise ExplainError(f"The classes of this model have no names, so {name!r} cannot be found; pass names=[…].")
    return nearest(name, names, "class")


def class_name(index: int, names: Sequence[str] | None) -> str:
    """What a class is called."""
    return names[index] if names is not None and index < len(names) else f"class {index}"
