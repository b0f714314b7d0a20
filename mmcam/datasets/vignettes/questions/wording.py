"""How questions are worded."""

from __future__ import annotations

from collections.abc import Sequence

from mmcam.datasets.vignettes.dice import Dice
from mmcam.datasets.vignettes.lexicon import ADJECTIVES, PLURALS, SCENE_PHRASES, article
from mmcam.datasets.vignettes.world import KINDS, OPTIONAL_PARTS

# T, U: noun phrases that mean one thing; K, L: plural kinds; D: a direction; the rest is said as it stands.
TEMPLATES: dict[str, tuple[str, ...]] = {
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
PARTS = {part: "fruit" if part == "fruit" else f"{article(part)} {part}" for part in OPTIONAL_PARTS.values()}
SIDES = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
EXTREMES = {"left": "to the left", "right": "to the right", "above": "up", "below": "down"}


def say(form: str, dice: Dice, **slots: str) -> str:
    """A question in one of the wordings of a form, its capital letters filled in."""
    return " ".join(slots.get(word, word) for word in dice.pick(TEMPLATES[form]).split())


def _vocabulary() -> tuple[str, ...]:
    sayings: Sequence[str] = [
        *(template for templates in TEMPLATES.values() for template in templates),
        *(phrase for phrases in SCENE_PHRASES.values() for phrase in phrases),
        *(*PARTS.values(), *SIDES.values(), *EXTREMES.values()),
    ]
    words = {word for saying in sayings for word in saying.split() if word.islower()}
    return tuple(sorted(words | {"a", "an"} | set(KINDS) | set(PLURALS.values()) | set(ADJECTIVES)))


VOCABULARY = _vocabulary()
"""Every word a question can have."""
