"""Readers of captioned photographs: Flickr8k's own files, and Karpathy's splits of Flickr8k, Flickr30k and COCO."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcam.errors import one_line
from mmcam.files import is_file, is_folder, parsed

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Captioned:
    """A photograph in a file and what people wrote about it."""

    path: Path
    captions: tuple[str, ...]


def flickr8k(root: Path) -> dict[str, list[Captioned]]:
    """Flickr8k as its authors distribute it: captions, three official lists of pictures, and a folder of pictures.

    Args:
        root: holds ``Flickr8k.token.txt`` (lines ``NAME.jpg#0⇥caption``), ``Flickr_8k.{train,dev,test}Images.txt`` and
            the pictures in ``images/`` or ``Flicker8k_Dataset/``.

    Returns:
        The splits "train", "val" and "test". A picture that a list names but that is not there is left out, as the
        official release lacks one.

    Raises:
        ValueError: a file is missing, a line of the captions cannot be read, or no listed picture is there at all.

    Source: Hodosh et al., Framing Image Description as a Ranking Task, JAIR 2013.
    """
    captions: dict[str, list[str]] = defaultdict(list)
    # Not splitlines, which also breaks a line at characters that a caption may hold, such as U+0085.
    for number, line in enumerate(read_text(root / "Flickr8k.token.txt").strip("\n").split("\n"), start=1):
        key, tab, caption = line.partition("\t")
        name, mark, _ = key.rpartition("#")
        if not (tab and mark):
            raise ValueError(f"Line {number} of Flickr8k.token.txt is not 'NAME.jpg#0<tab>caption': {line[:60]!r}.")
        captions[name].append(caption.strip())
    pictures = _folder(root, "images", "Flicker8k_Dataset")
    splits = {
        split: [
            Captioned(pictures / name, tuple(captions[name]))
            for name in read_text(root / f"Flickr_8k.{official}Images.txt").split()
            if is_file(pictures / name) and captions[name]
        ]
        for split, official in zip(SPLITS, ("train", "dev", "test"), strict=True)
    }
    if not any(splits.values()):
        raise ValueError(f"{pictures} holds none of the captioned pictures of the lists; put Flickr8k's own there.")
    return splits


def karpathy(file: Path, pictures: Path) -> dict[str, list[Captioned]]:
    """Karpathy's split of COCO, Flickr8k or Flickr30k: ``dataset_coco.json``, ``dataset_flickr8k.json`` ….

    Args:
        file: has a list "images" whose entries have "filename", "split", "sentences" (each with "raw") and, for COCO,
            "filepath".
        pictures: the folder above ``train2014/`` and ``val2014/``, or the one with the pictures.

    Returns:
        The splits "train", "val" and "test"; COCO's "restval" counts as "train", as is customary.

    Raises:
        ValueError: the file is missing or of another form, or names a picture that is not there.

    Source: Karpathy & Fei-Fei, arXiv 1412.2306, cs.stanford.edu/people/karpathy/deepimagesent.
    """
    text = read_text(file)
    try:
        entries = parsed(text)["images"]
        splits: dict[str, list[Captioned]] = {split: [] for split in SPLITS}
        for entry in entries:
            path = pictures / entry.get("filepath", "") / entry["filename"]
            sentences = tuple(sentence["raw"].strip() for sentence in entry["sentences"])
            splits["train" if entry["split"] == "restval" else entry["split"]].append(Captioned(path, sentences))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file} is not one of Karpathy's split files ({brief(error)}).") from error
    missing = next((item.path for split in splits.values() for item in split if not is_file(item.path)), None)
    if missing is not None:
        raise ValueError(
            f"{file.name} names {shown(missing)}, which is not there; point to the folder of the pictures."
        )
    return splits


def brief(error: Exception) -> str:
    """What is wrong with a file's content, for the end of a sentence; values that fill pages are cut."""
    return shown(repr(error))


def shown(name: object) -> str:
    """A name out of a file, as a sentence may hold it: on one line, and not longer than one would read."""
    line = one_line(str(name))
    return line if len(line) <= 200 else f"{line[:200]}…"


def text_of(value: Any) -> str:
    """A value that has to be a text, as a file's name or a category's.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:60]} stands where a text belongs")
    return value


def read_text(path: Path) -> str:
    """The text of an official file.

    Raises:
        ValueError: the file is missing, or is not text in UTF-8.
    """
    if not is_file(path):
        raise ValueError(f"{path} is missing; data/README.md says which official file goes where.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error.reason}); get the official file again.") from error


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        if is_folder(root / name):
            return root / name
    raise ValueError(f"{root} holds no pictures; put them into {names[0]}/.")
