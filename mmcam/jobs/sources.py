"""Where the pictures of a job come from: a folder, a list, an official data set, tar files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcam.datasets import asked, imagenet
from mmcam.datasets.captioned import brief, read_text, text_of
from mmcam.errors import ExplainError
from mmcam.files import is_file, is_folder, parsed
from mmcam.image.open import SUFFIXES
from mmcam.jobs import tars
from mmcam.jobs.items import Item, Truth
from mmcam.jobs.store import remote, sentences

FORMS = (
    "a folder, a list.txt of paths, coco:INSTANCES.json:PICTURES, vqa:QUESTIONS.json:ANNOTATIONS.json:PICTURES, "
    "imagenet:FOLDER or webdataset:FILES.tar"
)


@dataclass(frozen=True)
class Source:
    """The pictures of a job.

    Attributes:
        spec: as it was named.
        root: what relative paths begin at.
        items: at least one, in an order that stays the same.
    """

    spec: str
    root: str
    items: Sequence[Item]

    @property
    def digest(self) -> str:
        """Sixteen hex digits of all ids, pictures, questions and truths, in their order."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(repr((item.id, item.picture, item.question, item.truth)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


def read_source(spec: str) -> Source:
    """The pictures that ``--images`` names; none is opened.

    Args:
        spec: one of `FORMS`; folders, lists and tar files may be URLs of an object storage.

    Raises:
        ExplainError: no such form, nothing there, or no picture in it; two pictures of one id.
        ValueError: a file of an official data set is missing or of another form.
    """
    kind, _, where = spec.partition(":")
    if kind in _OFFICIAL and where and not where.startswith("//"):
        root, items = _OFFICIAL[kind](where)
    elif spec.lower().endswith(".txt"):
        root, items = _list(spec)
    elif remote(spec):
        root, items = _remote_folder(spec)
    elif is_folder(Path(spec)):
        root, items = _folder(spec)
    else:
        raise ExplainError(f"There are no pictures at {spec}; name {FORMS}.")
    if not items:
        raise ExplainError(f"There is no picture in {spec}; name {FORMS}.")
    ids = {item.id for item in items}
    if len(ids) < len(items):
        raise ExplainError(f"{spec} has {len(items)} entries and {len(ids)} different names; each needs its own.")
    return Source(spec, root, items)


def _folder(spec: str) -> tuple[str, list[Item]]:
    """Every picture below a folder, by its path there; what is hidden is none."""
    root = Path(spec).absolute()
    found = []
    for folder, below, files in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]
        inside = Path(folder).relative_to(root)
        found += [(inside / name).as_posix() for name in files if not name.startswith(".") and _shows(name)]
    return str(root), [Item(name, name) for name in sorted(found)]


def _remote_folder(spec: str) -> tuple[str, list[Item]]:
    root = spec.rstrip("/")
    with sentences(root) as files:
        inside = files._strip_protocol(root)
        found = [str(path)[len(inside) + 1 :] for path in files.find(root)]
    return root, [Item(name, name) for name in sorted(found) if _shows(name)]


def _shows(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - of a million names


def _list(spec: str) -> tuple[str, list[Item]]:
    """One path or URL a line, relative to the list or to the current folder; a line is the picture's id."""
    if remote(spec):
        with sentences(spec) as files:
            text = files.cat_file(spec).decode("utf-8", "replace")
        root = spec.rpartition("/")[0]
    else:
        text, root = read_text(Path(spec)), str(Path(spec).absolute().parent)
    lines = [line.strip() for line in text.removeprefix("\ufeff").split("\n")]
    names = dict.fromkeys(line for line in lines if line and not line.startswith("#"))
    if not remote(spec):
        # As the shell means it, or beside the list.
        here = next((name for name in names if not remote(name)), "")
        root = str(Path.cwd()) if here and is_file(Path(here)) else root
    return root, [Item(name, name) for name in names]


def _imagenet(where: str) -> tuple[str, list[Item]]:
    root = Path(where).absolute()
    ids = [synset.wnid for synset in imagenet.synsets(root / "LOC_synset_mapping.txt")]
    items = []
    for photo in imagenet.validation(root):
        label = ids[photo.label]
        boxes = {} if photo.blacklisted else {label: photo.boxes}
        items.append(Item(photo.path.stem, photo.path.relative_to(root).as_posix(), "", Truth((label,), boxes)))
    return str(root), items


def _vqa(where: str) -> tuple[str, list[Item]]:
    """An item a question, by the number that the data set gives it."""
    parts = where.split(":")
    if len(parts) != 3:
        raise ExplainError("Say where all of VQA's files are: vqa:QUESTIONS.json:ANNOTATIONS.json:PICTURES.")
    root = Path(parts[2]).absolute()
    return str(root), [
        Item(str(one.id), one.path.relative_to(root).as_posix(), one.question, Truth(answers=one.answers))
        for one in asked.vqa(Path(parts[0]), Path(parts[1]), root)
    ]


def _coco(where: str) -> tuple[str, list[Item]]:
    """COCO's instances with their categories and masks, or its captions; an item a picture, by its file's name."""
    file, _, folder = where.partition(":")
    root = Path(folder).absolute()
    if not folder or not is_folder(root):
        raise ExplainError(f"Say where COCO's file and pictures are, coco:INSTANCES.json:PICTURES; {where} does not.")
    text = read_text(Path(file))
    try:
        return str(root), list(_coco_items(parsed(text)))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file} is not one of COCO's instances or captions files ({brief(error)}).") from error


def _coco_items(table: dict[str, list[dict[str, object]]]) -> Iterator[Item]:
    names = {entry["id"]: text_of(entry["name"]) for entry in table.get("categories", ())}
    captions: dict[object, list[str]] = {}
    segments: dict[object, dict[str, tuple[object, ...]]] = {}
    for entry in table["annotations"]:
        if "caption" in entry:
            captions.setdefault(entry["image_id"], []).append(text_of(entry["caption"]).strip())
        else:
            own, name = segments.setdefault(entry["image_id"], {}), names[entry["category_id"]]
            own[name] = (*own.get(name, ()), entry["segmentation"])
    for entry in table["images"]:
        own, said = segments.get(entry["id"], {}), captions.get(entry["id"], ())
        truth = Truth(tuple(own), segments=own, captions=tuple(said))
        yield Item(text_of(entry["file_name"]), text_of(entry["file_name"]), "", truth)


_OFFICIAL: dict[str, Callable[[str], tuple[str, list[Item]]]] = {
    "coco": _coco,
    "imagenet": _imagenet,
    "vqa": _vqa,
    "webdataset": tars.items_of,
}
