"""What is said when something asked cannot be done: one sentence that names the problem and the remedy."""

from __future__ import annotations


class ExplainError(ValueError):
    """Something asked of the engine cannot be done; the message is one sentence that names the remedy."""


class PictureError(ValueError):
    """A picture that cannot be used; the message names it and says what would work."""


class IndependentError(ExplainError):
    """The target does not depend on what it is asked about: it has no gradient at the layer, or at the pixels."""
