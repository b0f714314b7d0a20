"""What a reader may do with any bytes: give a result, or refuse them in one sentence of ours."""

import contextlib
import linecache
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

OURS = tuple(str(Path(__file__).parents[2] / room) for room in ("mmcam", "models"))
LONGEST = 1500
"""Characters of a sentence, with the paths and the names in it."""

CUT = b"\n--\n"
"""Between the files of an input that is several."""


@contextlib.contextmanager
def in_a_sentence() -> Iterator[None]:
    """Let pass what is refused as promised: a ValueError (`ExplainError` is one) that mmcam itself raised and worded.

    Raises:
        AssertionError: it was worded by Python or a library, fills more than a line, or is no sentence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ValueError as error:
            refusal = error
        else:
            return
    last = traceback.extract_tb(refusal.__traceback__)[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    message = str(refusal)
    told = f"{last.filename}:{last.lineno}: {line}: {message[:300]!r}"
    assert last.filename.startswith(OURS), f"not ours: {told}"
    assert line.startswith("raise "), f"not ours: {told}"
    assert 0 < len(message) <= LONGEST, f"{len(message)} characters: {told}"
    assert "\n" not in message, f"several lines: {told}"
    assert message.endswith("."), f"no sentence: {told}"


def parts(data: bytes, number: int) -> list[bytes]:
    """The files of an input, the last ones empty where it has fewer."""
    given = data.split(CUT, number - 1)
    return given + [b""] * (number - len(given))


def workplace() -> Path:
    """A folder for what one process reads."""
    return Path(tempfile.mkdtemp(prefix="mmcam-fuzz-"))


def picture(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    """A small picture, the same every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path
