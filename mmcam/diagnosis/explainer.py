"""How a model is asked about many pictures, and how the maps of its answers are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Explainer:
    """How a model is asked and its maps are made.

    Attributes:
        model: any that the explain functions take.
        how: their further arguments: method, layer, preprocess, and the method's options.
        names: of the classes, where the model does not say.
        units: names of the layer's units, for sentences; None for none.
    """

    model: Any
    how: dict[str, Any] = field(default_factory=dict)
    names: Any = None
    units: Any = None

    @property
    def told(self) -> str:
        """Method and layer in words, as far as they were chosen."""
        method, layer = self.how.get("method", "gradcam"), self.how.get("layer")
        return str(method) if layer is None else f"{method} at {layer}"
