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
OPTIONS: Final[dict[str, dict[str, Any]]] = {"c_mwp": {"over_cells": True}}
"""Of methods that are read at the layer of all others: c-MWP's rule has no contrast there in front of a convolutional
head, as SqueezeNet's; other networks have the same map with and without."""
