"""Explanations in words: which named units spoke for a target, and which against (arXiv 1610.02391, section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image
from torch import Tensor

from mmcam.datasets.concepts import ConceptData
from mmcam.drawing.overlay import draw_overlay
from mmcam.drawing.strip import draw_strip, stack
from mmcam.errors import ExplainError
from mmcam.explanation import Explanation
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.exemplars import patches
from mmcam.neurons.names import Names


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
    """

    unit: int
    name: str
    category: str
    fit: float | None
    weight: float
    contribution: float
    speaks: Literal["for", "against"]


@dataclass(frozen=True, eq=False)
class Why:
    """A textual explanation; `str` gives its text.

    Attributes:
        text: one sentence.
        table: the units that mattered most, those that spoke for it first, unnamed ones included.
        measure: what `Reason.fit` is: "IoU", "similarity", or "".
        explanation: what was asked about.
        dissection: what the names come from, if it was given.
    """

    text: str
    table: tuple[Reason, ...]
    measure: str
    explanation: Explanation
    dissection: Dissection | None = None

    def figure(self, data: ConceptData | None = None) -> Image.Image:
        """The picture, its map, and the map of each named unit of the table.

        Args:
            data: what the layer was dissected with; then the places where each unit is strongest are shown below it.

        Raises:
            ExplainError: `data` without a dissection, or of another data set.
        """
        if data is not None and (self.dissection is None or self.dissection.data != data.name):
            made = f"from {self.dissection.data}" if self.dissection is not None else "by no dissection"
            raise ExplainError(f"The names were made {made}, so {data.name} shows none of its units; leave data= out.")
        exp = self.explanation
        blank = Image.new("RGB", exp.image.size, "white")
        sides = [
            [reason for reason in self.table if reason.name and reason.speaks == side] for side in ("for", "against")
        ]
        columns = 2 + max(map(len, sides))
        beginnings = [[(exp.image, "", ""), (exp.overlay(), exp.target, f"{exp.score:.2f}")], [(blank, "", "")] * 2]
        rows: list[Image.Image] = []
        for beginning, reasons in zip(beginnings, sides, strict=True):
            if not reasons and rows:
                continue
            panels = [*beginning, *(self._panel(reason) for reason in reasons)]
            panels += [(blank, "", "")] * (columns - len(panels))
            rows.append(draw_strip([panel[:2] for panel in panels], [panel[2] for panel in panels], columns=columns))
            if data is not None and self.dissection is not None and reasons:
                rows.append(self._patches(data, reasons, rows[-1].width, columns))
        return stack(rows)

    def _panel(self, reason: Reason) -> tuple[Image.Image, str, str]:
        """A unit's map over the picture, its name, and which unit it is."""
        exp = self.explanation
        assert exp.activations is not None
        own = exp.geometry.to_original(exp.activations[reason.unit]).cpu().numpy()
        sign = "+" if reason.speaks == "for" else "-"
        fit = "" if reason.fit is None or not self.measure else f", {self.measure} {_short(reason.fit)}"
        return draw_overlay(exp.image, own), f"{sign} {reason.name}", f"unit {reason.unit}{fit}"

    def _patches(self, data: ConceptData, reasons: Sequence[Reason], width: int, columns: int) -> Image.Image:
        """A row of patches, three below each unit's panel."""
        assert self.dissection is not None
        row = Image.new("RGB", (width, 80), "white")
        step = (width - 8) // columns
        for i, reason in enumerate(reasons, start=2):
            for j, patch in enumerate(patches(self.dissection, data, reason.unit, n=3, side=72)):
                row.paste(patch, (8 + i * step + j * 76, 0))
        return row

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        fit = f" {self.measure} |" if self.measure else ""
        head = f"| | unit | name |{fit} weight | contribution |\n|---|---|---|{'---|' if fit else ''}---|---|"
        rows = [
            f"| {r.speaks} | {r.unit} | {r.name or '—'} |"
            + (f" {'' if r.fit is None else f'{r.fit:.2f}'} |" if fit else "")
            + f" {r.weight:.3g} | {r.contribution:.3g} |"
            for r in self.table
        ]
        return "\n".join([f"{self.text}\n", head, *rows])


def narrate(
    exp: Explanation,
    names: Names | Dissection,
    *,
    k: int = 5,
    by: Literal["contribution", "weight"] = "contribution",
    threshold: float = DETECTOR,
) -> Why:
    """Put an explanation into words.

    The k units that speak most for the target and the k that speak most against it are looked at; those with a name are
    told, units of the same name together. A name whose units speak for and against is told once, on the side where
    their sum lies, with the units of that side. What is not told, as an unnamed unit (as in the paper), stays in the
    table.

    Args:
        exp: made by a method that weighs channels.
        names: of the units of its layer: a Dissection, or Names of another tool.
        k: how many units on either side (the paper's 5).
        by: "contribution" sorts by mean(α·A), what a unit did in this picture; "weight" by α, as the paper does, which
            also finds units that matter to the target but see nothing here.
        threshold: names count if they fit better than this (0.04 is Network Dissection's for IoU, the paper took 0.05);
            names that come without a score always do.

    Raises:
        ExplainError: `names` are none; the method has no weights or none with a sign; the names belong to other
            weights, or to a layer with another number of units.
    """
    if not isinstance(names, (Names, Dissection)):
        raise ExplainError(
            f"The names of units are a Dissection or Names, and {names!r} is neither; pass for example "
            "mmcam.Dissection.load(path)."
        )
    dissection = names if isinstance(names, Dissection) else None
    known = names.names(threshold) if isinstance(names, Dissection) else names.above(threshold)
    _check(exp, known, by, k)
    assert exp.weights is not None
    assert exp.activations is not None
    # In the direction of what is claimed: a counterfactual map's weights have their sign turned.
    weights = exp.weights.float().cpu() * exp.sense
    contributions = weights * exp.activations.float().mean(dim=(-2, -1)).cpu()
    values = contributions if by == "contribution" else weights

    def reasons(order: Tensor, speaks: Literal["for", "against"]) -> list[Reason]:
        found = []
        for unit in order.tolist():
            name = known.units.get(unit)
            found.append(
                Reason(
                    unit,
                    name.name if name else "",
                    name.category if name else "",
                    name.score if name else None,
                    float(weights[unit]),
                    float(contributions[unit]),
                    speaks,
                )
            )
        return found

    order = values.argsort(descending=True, stable=True)
    positive = reasons(order[:k][values[order[:k]] > 0], "for")
    negative = reasons(order.flip(0)[:k][values[order.flip(0)[:k]] < 0], "against")
    text = sentence(exp.claim, positive, negative, known.measure, by)
    return Why(text, (*positive, *negative), known.measure, exp, dissection)


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
    if because and despite:
        return f"{claim} because {sees} {because}; despite {despite}."
    if because:
        return f"{claim} because {sees} {because}."
    if despite:
        return f"{claim} despite {despite}; {_nothing_for(positive)}."
    return f"{claim}; none of the units that matter most to it has a name."


def _nothing_for(positive: Sequence[Reason]) -> str:
    """Why nothing is told that speaks for the claim."""
    if not positive:
        return "no unit speaks for it"
    if any(reason.name for reason in positive):
        return "what speaks for it speaks more against it"
    return "the units that speak most for it have no name"


def _told(reasons: Iterable[Reason], measure: str) -> str:
    """The named units, each name once, in their order."""
    groups: dict[str, list[Reason]] = {}
    for reason in reasons:
        if reason.name:
            groups.setdefault(_phrase(reason), []).append(reason)
    told = []
    for phrase, of in groups.items():
        units = "units " if len(of) > 1 else "unit "
        fits = [reason.fit for reason in of if reason.fit is not None]
        fit = f", {measure} {_and(_short(value) for value in fits)}" if measure and len(fits) == len(of) else ""
        told.append(f"{phrase} ({units}{_and(str(reason.unit) for reason in of)}{fit})")
    return _and(told)


def _phrase(reason: Reason) -> str:
    """What a unit detects as something that is seen: "red" is no thing. "" without a name."""
    name, category = reason.name, reason.category
    if not name:
        return ""
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


def _short(value: float) -> str:
    """.31, as a share is written in a sentence."""
    return f"{value:.2f}".replace("0.", ".", 1) if 0 <= value < 1 else f"{value:.2f}"


def _check(exp: Explanation, names: Names, by: str, k: int) -> None:
    """Refuse what cannot be told, or would be told wrongly."""
    if exp.weights is None or exp.activations is None:
        raise ExplainError(
            f"The map was made by {exp.method} at {exp.layer}, which gives no weight to each unit of one layer; "
            "explain with method='gradcam' and one layer to ask why."
        )
    if exp.options.get("absolute"):
        raise ExplainError("With absolute=True no weight tells for from against; leave it out to ask why.")
    if by not in ("contribution", "weight"):
        raise ExplainError(f"There is no by={by!r}; choose 'contribution' or 'weight'.")
    if k < 1:
        raise ExplainError(f"k={k} units tell nothing; it is at least 1.")
    units, named = len(exp.weights), max([names.count, *(unit + 1 for unit in names.units)])
    if named > units or (names.complete and named < units):
        raise ExplainError(
            f"The names are those of {named} units, and {exp.layer} has {units}: they belong to another layer or model."
        )
    whose = (names.fingerprint, *names.casts)
    if names.fingerprint and exp.origin is not None and exp.origin.fingerprint not in whose:
        where = f" (made at {names.layer})" if names.layer else ""
        raise ExplainError(
            f"These names belong to other weights or another layer{where}; dissect this {exp.model} at {exp.layer}."
        )
