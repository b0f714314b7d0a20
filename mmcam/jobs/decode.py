"""Pictures opened and prepared in processes of their own, a batch at a time, in a fixed order."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mmcam.errors import ExplainError, PictureError
from mmcam.image import Batch, Preprocess, load_image, prepare
from mmcam.image.batch import joined
from mmcam.image.open import PictureLike, open_raster
from mmcam.jobs.items import Item
from mmcam.jobs.store import remote, sentences
from mmcam.jobs.tars import member, within
from mmcam.preparation import as_assumed

AHEAD = 2
"""Batches that each process prepares before they are asked for."""

_NOTHING = Image.new("RGB", (1, 1))
"""In place of a picture: its pixels are not sent from process to process, as nothing is drawn."""


@dataclass(frozen=True)
class Opened:
    """Some items, opened.

    Attributes:
        groups: the pictures whose inputs are of one shape together, which cost one block of memory to hand over.
        places: of each item its group and its row there, or why it cannot be used.
    """

    groups: list[Batch]
    places: list[tuple[int, int] | Exception]

    def each(self) -> list[Batch | Exception]:
        """The items one by one."""
        return [at if isinstance(at, Exception) else self.groups[at[0]].rows([at[1]]) for at in self.places]


def picture_at(root: str, place: str) -> Image.Image:
    """A picture of a source as RGB.

    Raises:
        PictureError: it cannot be read.
    """
    return load_image(_opened(root, place))


def _opened(root: str, place: str) -> PictureLike:
    if inside := within(place):
        return _raster(member(*inside), place)
    path = place if remote(place) or not root else f"{root.rstrip('/')}/{place}" if remote(root) else ""
    if not remote(path):
        return Path(root) / place
    try:
        with sentences(path) as files:
            content: bytes = files.cat_file(path)
    except (OSError, ExplainError) as error:
        raise PictureError(f"There is no picture at {path} ({error}).") from error
    return _raster(io.BytesIO(content), path)


def _raster(file: Any, place: str) -> Image.Image:
    try:
        with open_raster(file) as picture:
            picture.load()
            return picture
    except Exception as error:  # as in mmcam.image.open
        reason = " ".join(str(error).split())[:200]
        raise PictureError(f"{place} cannot be read as a picture ({reason}); save it again as PNG or JPEG.") from error


@dataclass(frozen=True)
class Decoder(Dataset[Any]):
    """Opens and prepares one item.

    Attributes:
        root: of the source.
        preprocess: of the model.
        assumed: whether that is only assumed.
    """

    root: str
    preprocess: Preprocess
    assumed: bool

    def __getitem__(self, item: Any) -> Batch | Exception:
        try:
            batch = prepare([_opened(self.root, item.picture)], self.preprocess, torch.device("cpu"), torch.float32)
            return replace(as_assumed(batch, self.assumed), pictures=[_NOTHING])
        except PictureError as error:
            return error


def together(each: Sequence[Batch | Exception]) -> Opened:
    """What was opened, those of one shape joined."""
    groups: dict[tuple[int, ...], list[Batch]] = {}
    places: list[tuple[int, int] | Exception] = []
    for one in each:
        if isinstance(one, Exception):
            places.append(one)
            continue
        group = groups.setdefault(tuple(one.x.shape), [])
        places.append((list(groups).index(tuple(one.x.shape)), len(group)))
        group.append(one)
    return Opened([joined(group) for group in groups.values()], places)


@dataclass(frozen=True)
class _Batches:
    """Which items are opened together, handed out one batch after the other."""

    batches: Iterable[Sequence[Item]]

    def __iter__(self) -> Iterator[Sequence[Item]]:
        return iter(self.batches)


@contextmanager
def opened(decoder: Decoder, batches: Iterable[Sequence[Item]], workers: int) -> Iterator[Iterator[Opened]]:
    """What the batches hold, in their order, opened by so many processes while others are explained; 0 for none.

    Processes are started anew and not forked: a fork would copy locks that threads hold, CUDA and the job's lock.
    """
    loader: DataLoader[Any] = DataLoader(
        decoder,
        batch_sampler=_Batches(batches),  # type: ignore[arg-type]  # items in place of indices
        num_workers=workers,
        collate_fn=together,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=partial(_end_with, os.getpid()) if workers else None,
        prefetch_factor=AHEAD if workers else None,
    )
    yield _sentences(iter(loader))


def _end_with(parent: int, worker: int) -> None:
    """Let a process end soon after the one that started it, however that ended.

    One that waits to hand over what it has opened does not see that nobody will ask for it any more.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _sentences(loaded: Iterator[Opened]) -> Iterator[Opened]:
    while True:
        try:
            yield next(loaded)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ExplainError(
                "A process that opens pictures was killed, by lack of memory for example; start again with fewer "
                "--workers: what is written stays."
            ) from error
