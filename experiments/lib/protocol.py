"""What tables of several tasks have in common: the methods that are compared, and occlusion's squares."""

from typing import Any, Final

METHODS: Final = (
    "gradcam",
    "gradcam++",
    "layercam",
    "hirescam",
    "guided_backprop",
    "guided_gradcam",
    "c_mwp",
    "gradient",
)
SQUARES: Final[dict[str, Any]] = {"patch": 32, "stride": 16}
"""Pixels of the squares that are covered for the occlusion map, and from one to the next."""
