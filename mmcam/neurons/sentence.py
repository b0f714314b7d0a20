"""What units spoke for and against, as one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reason:
    """One unit that mattered.

    Attributes:
        unit: channel of the layer, from 0.
        name: what it detects; "" if it has no name.
        category: of the name.
        fit: how well the name fits, e.g. its IoU; None if the names do not say.
        weight: α of the method; Grad-CAM's is the mean over the cells of what the score gains as the unit rises there.
        contribution: the mean of α·A over the layer's cells: the unit's share of the (un-rectified) map.
        speaks: "for" what was said, or "against".
        p: how often chance gives as good a fit; None if nobody has tested it.
        seen_in: "photographs" if it is known only that the unit answers to photographs of the class `name`.
        perhaps: the name is told with a "perhaps" (see `mmcam.neurons.names.UnitName.doubtful`).
    """

    unit: int
    name: str
    category: str
    fit: float | None
    weight: float
    contribution: float
    speaks: Literal["for", "against"]
    p: float | None = None
    seen_in: Literal["places", "photographs"] = "places"
    perhaps: bool = False

    @property
    def told(self) -> str:
        """The name as a table has it: with its "perhaps", and as photographs where no place is known."""
        return f"{'perhaps ' * self.perhaps}{'photographs of ' * (self.seen_in == 'photographs')}{self.name}"


def sentence(
    claim: str,
    positive: Sequence[Reason],
    negative: Sequence[Reason],
    measure: str,
    by: Literal["contribution", "weight"] = "contribution",
) -> str:
    """CLAIM because it sees A and B; despite C."""
    if not positive and not negative:
        return f"{claim}; no unit of the layer matters to it."
    sums: dict[str, float] = {}
    for reason in (*positive, *negative):
        sums[_phrase(reason)] = sums.get(_phrase(reason), 0.0) + getattr(reason, by)
    both = {_phrase(reason) for reason in positive} & {_phrase(reason) for reason in negative}
    because = _told([r for r in positive if _phrase(r) not in both or sums[_phrase(r)] >= 0], measure)
    despite = _told([r for r in negative if _phrase(r) not in both or sums[_phrase(r)] < 0], measure)
    # "It" is the model if the claim is of what it does; a score or a word of a question sees nothing.
    sees = "it sees" if claim.startswith("It ") else "the model sees"
    reasons = _joined(f"{sees} {because[0]}", f"units speak for it {because[1]}", because)
    but = _joined(despite[0], f"units {despite[1]}", despite)
    if reasons and but:
        return f"{claim} because {reasons}; despite {but}."
    if reasons:
        return f"{claim} because {reasons}."
    if but:
        return f"{claim} despite {but}; {_nothing_for(positive)}."
    return f"{claim}; none of the units that matter most to it has a name."


def _joined(seen: str, answering: str, told: tuple[str, str]) -> str:
    """What is seen and which units answer, as far as either is told."""
    return ", and ".join(text for text, what in zip((seen, answering), told, strict=True) if what)


def _nothing_for(positive: Sequence[Reason]) -> str:
    """Why nothing is told that speaks for the claim."""
    if not positive:
        return "no unit speaks for it"
    if any(reason.name for reason in positive):
        return "what speaks for it speaks more against it"
    return "the units that speak most for it have no name"


def _told(reasons: Iterable[Reason], measure: str) -> tuple[str, str]:
    """The named units, each name once, in their order: what is seen, and which photographs units answer to.

    A name is doubted if all its units' are.
    """
    groups: dict[str, list[Reason]] = {}
    for reason in reasons:
        if reason.name:
            groups.setdefault(_phrase(reason), []).append(reason)
    seen: list[str] = []
    answering: list[str] = []
    for phrase, of in groups.items():
        units = "units " if len(of) > 1 else "unit "
        by_class = of[0].seen_in == "photographs"
        unit_of = "selectivity" if by_class else measure
        fits = [reason.fit for reason in of if reason.fit is not None]
        fit = f", {unit_of} {_and(short(value) for value in fits)}" if unit_of and len(fits) == len(of) else ""
        perhaps = "perhaps " if all(reason.perhaps for reason in of) else ""
        told = f"{perhaps}{phrase} ({units}{_and(str(reason.unit) for reason in of)}{fit})"
        (answering if by_class else seen).append(told)
    return _and(seen), f"that answer to photographs {_and(answering)}" if answering else ""


def _phrase(reason: Reason) -> str:
    """What a unit detects as something that is seen: "red" is no thing. "" without a name."""
    name, category = reason.name, reason.category
    if not name:
        return ""
    if reason.seen_in == "photographs":
        return f"of “{name}”"
    if category in ("colour", "color"):
        return f"the colour {name}"
    if category in ("texture", "scene"):
        return f"{_article(name)} {name} {'pattern' if category == 'texture' else 'scene'}"
    return name


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"


def _and(parts: Iterable[str]) -> str:
    """A, B and C."""
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def short(value: float) -> str:
    """.31, as a share is written in a sentence."""
    return f"{value:.2f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.2f}"
