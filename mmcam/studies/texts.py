"""What raters are told. Plain words: no rater has heard of a heatmap, a class, or a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmcam.methods.registry import Method
from mmcam.studies.design import Trial
from mmcam.studies.kinds import Kind

NOTICE: Final = "Attention check: whatever you see here, please choose “{choice}”."

_COLOURS: Final = (
    "Colours show what mattered to the program: where it is bright yellow and pink, the picture mattered most; where "
    "the picture has its own colours, it did not matter."
)
_RELIEF: Final = (
    "Grey means that a place did not matter to the program. Edges, lines and spots of colour that stand out from the "
    "grey are what mattered."
)


def consent(minutes: int, contact: str) -> tuple[str, ...]:
    """What raters agree to."""
    said = (
        f"This is a study on how people understand pictures made by computer programs. It takes about {minutes} "
        "minutes.",
        "We keep your answers, how long each took, and the ID with which you came here. We do not ask for your name, "
        "and we keep neither your network address nor anything about your device. The answers may be published, "
        "without IDs.",
        "Taking part is voluntary. You may stop at any time by closing the page. There is no risk beyond that of "
        "looking at pictures on a screen.",
    )
    return (*said, f"Questions? {contact}") if contact else said


def instructions(kind: Kind, methods: Sequence[Method]) -> tuple[str, ...]:
    """The pages of instructions."""
    look = [_COLOURS] * any(not method.pixels for method in methods) + [_RELIEF] * any(
        method.pixels for method in methods
    )
    if len(look) == 2:
        look = ["There are two sorts of such pictures.", *look]
    keys = (
        "Answer with the number keys 1, 2, 3 … on your keyboard, or click or tap an answer. Take the time you need, "
        "but go with your first impression.",
        "Now and then an item asks you for a certain answer, to see that you read on. If you close or reload the page, "
        "you can go on where you were. First comes one item to practise.",
    )
    return tuple("\n".join(page) for page in (kind.task, look, keys))


def feedback(kind: Kind, practice: Trial) -> str:
    """What is told after the practice item, whatever was answered."""
    about = practice.about or {}
    label = about.get("label", "")
    if kind.name == "discrimination":
        return f"It was “{label}”. Not every picture is as clear, or as unclear, as this one."
    if kind.name == "trust":
        return "Thank you. There is no right or wrong answer here; every impression counts."
    if kind.name == "agreement":
        verdict = "right" if practice.truth == 0 else "wrong"
        return f"The program said “{label}”, and it was {verdict}."
    assert practice.truth is not None
    return f"Answer {practice.truth + 1} was right: “{label}”."
