"""What has to be known of an explanation to put it into words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from PIL import Image
from torch import Tensor

from mmcam.image import Geometry
from mmcam.neurons.fingerprint import Origin


class ExplanationLike(Protocol):
    """The part of `mmcam.Explanation` that is read here: units know nothing of the room above them."""

    @property
    def target(self) -> str:
        """What was explained, in words."""

    @property
    def score(self) -> float:
        """The target's value."""

    @property
    def claim(self) -> str:
        """What the model did, as the beginning of a sentence."""

    @property
    def sense(self) -> int:
        """1 if positive weights speak for the claim, -1 if they speak against it."""

    @property
    def weights(self) -> Tensor | None:
        """α (K), one a unit; None where the method has none."""

    @property
    def activations(self) -> Tensor | None:
        """A (K,h,w), what the weights weigh."""

    @property
    def origin(self) -> Origin | None:
        """Which weights of the model the activations were computed with."""

    @property
    def layer(self) -> str:
        """Where activations were read."""

    @property
    def method(self) -> str:
        """The name of the method."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the method, as they were given."""

    @property
    def model(self) -> str:
        """The class name of the model."""

    @property
    def image(self) -> Image.Image:
        """The picture."""

    @property
    def geometry(self) -> Geometry:
        """How it lies in the model's input."""

    def overlay(self) -> Image.Image:
        """The map over the picture."""
