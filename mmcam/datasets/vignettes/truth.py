"""What is true of a picture: the scene and the things in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

SIZE = 224
"""Width and height of every picture, in pixels."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thing:
    """One thing of a picture.

    Attributes:
        kind: one of ``world.KINDS``.
        colour: one of ``world.COLOURS``, the colour of its coloured parts.
        texture: one of ``world.TEXTURES``, the pattern on its coloured parts.
        scale: ``"small"`` or ``"large"``.
        parts: the names of its parts, the optional one included if it has it.
        box: x0, y0, x1, y1 in whole pixels around the thing if nothing hid it; x1 and y1 are exclusive.
        centre: middle of `box`, in pixels.
        origin: where the middle of its shape is put, in pixels.
        size: length of its shape's longer side, in pixels.
        angle: turn in degrees, clockwise.
        mirrored: whether it looks to the left.
        look: seed of what has no name (exact tone, width of stripes, hair).
    """

    kind: str
    colour: str
    texture: str
    scale: str
    parts: tuple[str, ...]
    box: Box
    centre: tuple[float, float]
    origin: tuple[float, float]
    size: float
    angle: float
    mirrored: bool
    look: int


@dataclass(frozen=True)
class Truth:
    """The scene and the things of the picture with this seed; later things are in front."""

    seed: int
    scene: str
    things: tuple[Thing, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, strings and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Truth:
        """The inverse of `to_json`, also after a trip through text.

        Raises:
            ValueError: if a field is missing or unknown.
        """
        try:
            things = tuple(_thing(thing) for thing in record["things"])
            return cls(int(record["seed"]), str(record["scene"]), things)
        except KeyError as error:
            raise ValueError(
                f"In the truth of a vignette {error} is missing or unknown; write it with to_json()."
            ) from None


def _thing(record: dict[str, Any]) -> Thing:
    odd = record.keys() ^ {field.name for field in fields(Thing)}
    if odd:
        raise KeyError(", ".join(sorted(odd)))
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
    return Thing(**values)
