"""The words for kinds, scenes and numbers."""

from __future__ import annotations

from mmcam.datasets.vignettes.world import COLOURS, KINDS, SCALES, SCENES, TEXTURES

PLURALS = {kind: {"bus": "buses", "person": "people", "fish": "fish"}.get(kind, kind + "s") for kind in KINDS}
NUMBERS = {"two": 2, "three": 3}

SCENE_PHRASES: dict[str, tuple[str, ...]] = {
    "meadow": ("on a meadow", "on the meadow"),
    "beach": ("on the beach", "at the beach"),
    "sea": ("at sea", "on the sea"),
    "street": ("in the street", "on a street"),
    "snow": ("in the snow",),
    "night": ("at night",),
    "desert": ("in the desert",),
}
assert tuple(SCENE_PHRASES) == SCENES

NOUNS = {**{plural: kind for kind, plural in PLURALS.items()}, **{kind: kind for kind in KINDS}}
"""Every word for a kind, singular and plural, and its kind."""

ADJECTIVES = {
    **dict.fromkeys(SCALES, "scale"),
    **dict.fromkeys(TEXTURES, "texture"),
    **dict.fromkeys(COLOURS, "colour"),
}
"""Every adjective and the attribute it names."""


def article(word: str) -> str:
    """ "an" before a vowel, else "a"."""
    return "an" if word[0] in "aeiou" else "a"
