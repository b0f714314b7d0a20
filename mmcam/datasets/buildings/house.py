"""What is true of a building: its shape, its colours, and what is damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmcam.datasets.vignettes.dice import Dice

RGB = tuple[int, int, int]

SOUND: Final = "sound"
DAMAGES: Final = (SOUND, "crack", "missing tiles", "damp")
"""What a building's condition is called; each has one."""

SHARES: Final = (0.46, 0.18, 0.18, 0.18)
"""How frequent each condition is."""

WORLD: Final = 2302
"""Of all draws of this world, so that none is one of another world's."""

_WALLS: Final[dict[str, tuple[RGB, ...]]] = {
    "brick": ((176, 104, 84), (160, 92, 78), (188, 128, 100)),
    "plaster": ((232, 220, 196), (222, 206, 176), (214, 218, 214), (236, 208, 172)),
    "stone": ((186, 182, 170), (170, 168, 164), (196, 186, 164)),
}
_ROOFS: Final[tuple[RGB, ...]] = ((164, 78, 56), (126, 62, 52), (104, 106, 114), (140, 92, 66))
_DOORS: Final[tuple[RGB, ...]] = ((92, 62, 44), (54, 84, 74), (120, 46, 46), (64, 70, 96))


@dataclass(frozen=True)
class House:
    """A building.

    Attributes:
        number: of the building; everything follows from it and the world's seed.
        damage: one of `DAMAGES`.
        wall, roof, door: tones.
        material: "brick", "plaster" or "stone".
        storeys, columns: of windows.
        door_column: in which column the door is.
        width: of the wall, in pixels of the canvas, which is twice as large as the picture.
        chimney, pipe, cable, ivy, skylight, patch: what else is there; none is a damage.
        seed: of the world.
    """

    number: int
    damage: str
    wall: RGB
    roof: RGB
    door: RGB
    material: str
    storeys: int
    columns: int
    door_column: int
    width: float
    chimney: bool
    pipe: bool
    cable: bool
    ivy: bool
    skylight: bool
    patch: bool
    seed: int


def house(number: int, seed: int = 0) -> House:
    """The building of a number.

    Args:
        number: from 0.
        seed: of the world; another has other buildings.

    Raises:
        ValueError: a number below 0.
    """
    if number < 0 or seed < 0:
        raise ValueError(f"Buildings and worlds are numbered from 0; there is no {min(number, seed)}.")
    dice = Dice("layout", WORLD, seed, number)
    damage = _one_of(dice.unit())
    material = dice.pick(tuple(_WALLS))
    columns = 2 + dice.below(3)
    return House(
        number,
        damage,
        _near(dice.pick(_WALLS[material]), dice),
        _near(dice.pick(_ROOFS), dice),
        dice.pick(_DOORS),
        material,
        storeys=1 + dice.below(2),
        columns=columns,
        door_column=dice.below(columns),
        width=dice.uniform(66, 80) * columns + 40,
        chimney=dice.chance(0.5),
        pipe=dice.chance(0.5),
        cable=dice.chance(0.4),
        ivy=dice.chance(0.3),
        skylight=dice.chance(0.35),
        patch=dice.chance(0.3),
        seed=seed,
    )


def _one_of(unit: float) -> str:
    for damage, share in zip(DAMAGES, SHARES, strict=True):
        unit -= share
        if unit < 0:
            return damage
    return DAMAGES[-1]


def _near(tone: RGB, dice: Dice) -> RGB:
    light = dice.uniform(0.92, 1.06)
    red, green, blue = (max(0, min(255, int(channel * light + dice.uniform(-5, 5)))) for channel in tone)
    return red, green, blue
