"""WebDataset's tar files: samples whose files lie beside each other and share a name up to its first dot.

Members are not unpacked: an item says where its bytes lie in the tar, so that any process can read it.
"""

from __future__ import annotations

import glob
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mmcam.errors import ExplainError, PictureError
from mmcam.image.open import SUFFIXES
from mmcam.jobs.items import Item, Truth
from mmcam.jobs.store import remote, sentences

_PLACE = re.compile(r"(.+)#(\d+)\+(\d+)", re.DOTALL)
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LONGEST = 2**20
"""Bytes of a text beside a picture."""


def items_of(where: str) -> tuple[str, list[Item]]:
    """The samples of tar files, by the tar's name and their own.

    Args:
        where: ``photos-{0000..0009}.tar``, a pattern, or one file; on a disk or in object storage. Beside a picture
            ``cls`` is its class, ``txt`` its caption, and ``json`` may hold "class", "caption", "question", "answers".

    Raises:
        ExplainError: there is no such file, or it is no tar.
    """
    paths = _paths(where)
    names = [path.rpartition("/")[2].removesuffix(".tar") for path in paths]
    return "", [item for path, name in zip(paths, names, strict=True) for item in _samples(path, name)]


def within(place: str) -> tuple[str, int, int] | None:
    """The tar, the offset and the number of bytes of a place in one; None for another place."""
    match = _PLACE.fullmatch(place)
    return (match[1], int(match[2]), int(match[3])) if match else None


def member(tar: str, offset: int, size: int) -> IO[bytes]:
    """The bytes of a member.

    Raises:
        PictureError: they are not there any more.
    """
    try:
        if remote(tar):
            with sentences(tar) as files:
                content = files.cat_file(tar, start=offset, end=offset + size)
        else:
            with Path(tar).open("rb") as file:
                file.seek(offset)
                content = file.read(size)
    except (OSError, ExplainError) as error:
        raise PictureError(f"{tar} cannot be read ({error}); check the path.") from error
    if len(content) < size:
        raise PictureError(f"{tar} ends before byte {offset + size}; it was changed or cut off.")
    return io.BytesIO(content)


def _paths(where: str) -> list[str]:
    if match := _BRACES.search(where):
        first, last = match.groups()
        each = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
        return [path for text in each for path in _paths(where[: match.start()] + text + where[match.end() :])]
    if remote(where):
        if not glob.has_magic(where):
            return [where]
        with sentences(where) as files:
            return sorted(files.unstrip_protocol(path) for path in files.glob(where))
    found = sorted(glob.glob(where)) if glob.has_magic(where) else [where]  # noqa: PTH207 - it takes no absolute ones
    if not found:
        raise ExplainError(f"No file fits the pattern {where}; check the path.")
    return [str(Path(path).absolute()) for path in found]


def _samples(path: str, name: str) -> Iterator[Item]:
    try:
        if remote(path):
            with sentences(path) as files, files.open(path, "rb") as file:
                yield from _read(file, path, name)
        else:
            with Path(path).open("rb") as file:
                yield from _read(file, path, name)
    except OSError as error:
        raise ExplainError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    except tarfile.TarError as error:
        raise ExplainError(f"{path} is no tar that can be read ({error}); WebDataset's are not compressed.") from error


def _read(file: IO[bytes], path: str, name: str) -> Iterator[Item]:
    """The samples of an open tar, in its order."""
    parts: dict[str, dict[str, tuple[int, int]]] = {}
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            folder, _, base = info.name.rpartition("/")
            stem, _, suffix = base.partition(".")
            if info.isreg() and stem and suffix:
                key = f"{folder}/{stem}" if folder else stem
                parts.setdefault(key, {})[suffix.lower()] = (info.offset_data, info.size)
        for key, own in parts.items():
            if picture := next((where for suffix, where in own.items() if f".{suffix}" in SUFFIXES), None):
                beside = {suffix: at for suffix, at in own.items() if suffix in ("cls", "txt", "json")}
                said = {suffix: _text(file, *at) for suffix, at in beside.items()}
                yield _item(f"{name}/{key}", f"{path}#{picture[0]}+{picture[1]}", said)


def _text(file: IO[bytes], offset: int, size: int) -> str:
    file.seek(offset)
    return file.read(min(size, _LONGEST)).decode("utf-8", "replace").strip()


def _item(id_: str, place: str, said: dict[str, str]) -> Item:
    try:
        more: Any = json.loads(said["json"]) if "json" in said else {}
    except ValueError:
        more = {}
    more = more if isinstance(more, dict) else {}
    label, caption = (more.get(key, said.get(suffix)) for key, suffix in (("class", "cls"), ("caption", "txt")))
    answers = more.get("answers") or ()
    truth = Truth(
        classes=() if label is None else (str(label),),
        captions=() if caption is None else (str(caption),),
        answers=tuple(map(str, answers)) if isinstance(answers, list) else (str(answers),) if answers else (),
    )
    return Item(id_, place, str(more.get("question", "")), None if truth == Truth() else truth)
