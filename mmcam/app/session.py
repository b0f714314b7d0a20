"""What is kept of each visitor for the next question: pictures, what encoders made of them, and maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Generic, TypeVar

from PIL import Image

from mmcam.app import limits
from mmcam.app.samples import sample
from mmcam.app.settings import UPLOADED
from mmcam.errors import ExplainError, PictureError
from mmcam.image import load_image, open_raster
from mmcam.report.spotlight import data_uri, thumbnail

Value = TypeVar("Value")

SIDE = 560
"""Of a picture on the page, at most so many pixels a side."""


class Kept(Generic[Value]):
    """The values of the keys that were asked for last."""

    def __init__(self, most: int) -> None:
        self._most, self._values, self._lock = most, OrderedDict[Hashable, Value](), Lock()

    def get(self, key: Hashable) -> Value | None:
        """What is kept under a key."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep a value; the one that was not asked for the longest is let go where there are too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value

    def made(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What is kept under a key, made if it is not there."""
        found = self.get(key)
        return self.put(key, make()) if found is None else found


@dataclass(frozen=True)
class Picture:
    """A picture that is asked about.

    Attributes:
        key: tells it from others.
        image: RGB, upright.
        told: what it shows, or what its file is called.
        credit: whose it is.
        code: Python that gives it.
        drawn: it is a vignette.
        question: one about it; "" if nobody has one.
    """

    key: str
    image: Image.Image = field(repr=False)
    told: str
    credit: str
    code: str
    drawn: bool = False
    question: str = ""

    @cached_property
    def small(self) -> tuple[tuple[int, int], str]:
        """As the page shows it: (width, height), and a data URI."""
        reduced = thumbnail(self.image, SIDE)
        return reduced.size, data_uri(reduced, 82)


@dataclass
class Session:
    """Of one visitor."""

    pictures: Kept[Picture] = field(default_factory=lambda: Kept(limits.PICTURES))
    looks: Kept[Any] = field(default_factory=lambda: Kept(limits.LOOKS))
    maps: Kept[Any] = field(default_factory=lambda: Kept(limits.MAPS))
    answers: Kept[Any] = field(default_factory=lambda: Kept(limits.ANSWERS))
    lock: RLock = field(default_factory=RLock)

    def picture(self, name: str, upload: Path | None) -> Picture:
        """The picture that is meant.

        Args:
            name: of a sample, or `UPLOADED`.
            upload: where the visitor's own lies.

        Raises:
            ExplainError: there is neither, or no such sample.
            PictureError: it cannot be used.
        """
        if name and name != UPLOADED:
            return self.pictures.made(name, lambda: _sample(name))
        if upload is None:
            raise ExplainError("There is no picture yet; choose a sample, or bring one of yours.")
        return self.pictures.made(str(upload), lambda: uploaded(upload))


class Sessions(Kept[Session]):
    """All visitors, by the name their browser gives itself."""

    def __init__(self) -> None:
        super().__init__(limits.SESSIONS)

    def of(self, visitor: str) -> Session:
        """One visitor's; a new one if nothing is known."""
        return self.made(visitor[:100], Session)


def uploaded(path: Path) -> Picture:
    """A visitor's own picture, opened as any other once its size is known to be bearable.

    Raises:
        PictureError: it is too large, or no picture.
    """
    name = path.name[:80]
    try:
        bytes_, size = path.stat().st_size, _size(path)
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError) as error:
        raise PictureError(f"{name} is no picture that can be read; save it as PNG or JPEG, and bring that.") from error
    if bytes_ > limits.FILE_BYTES:
        raise PictureError(f"{name} has {bytes_ / 2**20:.0f} MB; make it smaller than {limits.FILE_BYTES >> 20} MB.")
    if size[0] * size[1] > limits.PIXELS:
        raise PictureError(
            f"{name} has {size[0]:,}×{size[1]:,} pixels, more than {limits.PIXELS // 10**6} million; make it smaller."
        )
    try:
        image = load_image(path)
    except PictureError as error:  # names the file by its path, which is nobody's business
        raise PictureError(str(error).replace(str(path), name)) from error
    return Picture(str(path), image, f"Your picture, {name}", "", "'photo.jpg'")


def _size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture, before it is unpacked."""
    with open_raster(path) as picture:
        return picture.size


def _sample(name: str) -> Picture:
    one = sample(name)
    return Picture(name, one.open(), one.told, one.credit, one.code, one.drawn, one.question)
