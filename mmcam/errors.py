"""What is said when something asked cannot be done: one sentence that names the problem and the remedy."""

from __future__ import annotations

LONGEST = 1500
"""Characters of a sentence: what a file or a user names in it may be of any length."""


def one_line(message: str) -> str:
    """A message as one line that every terminal and file can hold, with its middle cut out where it fills pages.

    The names in a message come from files and users: one with a line break, a lone surrogate or a million characters
    is told, and not obeyed.
    """
    line = " ".join(part.strip() for part in message.splitlines()).encode("utf-8", "backslashreplace").decode()
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]}…{line[1 - half :]}"


class ExplainError(ValueError):
    """Something asked of the engine cannot be done; the message is one sentence that names the remedy."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class PictureError(ValueError):
    """A picture that cannot be used; the message names it and says what would work."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class IndependentError(ExplainError):
    """The target does not depend on what it is asked about: it has no gradient at the layer, or at the pixels."""
