"""Reader of ILSVRC's classification and localisation photographs (CLS-LOC): classes, boxes and the blacklist.

Three orders of the thousand classes are in use, and they are not the same: that of the sorted WordNet ids, which
torchvision and most published weights follow and which every `label` here is in; that of ``LOC_synset_mapping.txt``,
which is the same one; and the challenge's own ids from 1 to 1000, which only
``ILSVRC2012_validation_ground_truth.txt`` uses and which ``map_clsloc.txt`` translates.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from mmcam.datasets.captioned import read_text, shown

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the original picture from 0, right and bottom inclusive, as in the files."""

_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})")
_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Synset:
    """A class: its WordNet id, as "n01440764", and its names, as "tench, Tinca tinca"."""

    wnid: str
    names: str


@dataclass(frozen=True)
class Photo:
    """A validation photograph.

    Attributes:
        path: of the JPEG.
        label: the class, counted from 0 in the order of the sorted WordNet ids.
        boxes: of every instance of the class.
        blacklisted: the challenge leaves it out of the localisation error, as its boxes are not reliable.
    """

    path: Path
    label: int
    boxes: tuple[Box, ...]
    blacklisted: bool = False


def synsets(file: Path) -> list[Synset]:
    """``LOC_synset_mapping.txt``: the classes in the order of their WordNet ids; the position is the label.

    Raises:
        ValueError: the file is missing, a line is not "n01440764 tench, Tinca tinca", or the ids are not sorted.
    """
    found = []
    for number, line in enumerate(_lines(file), start=1):
        wnid, _, names = line.partition(" ")
        if not _WNID.fullmatch(wnid) or not names.strip():
            raise ValueError(f"Line {number} of {file.name} is not 'n01440764 tench, Tinca tinca': {line[:60]!r}.")
        found.append(Synset(wnid, names.strip()))
    ids = [synset.wnid for synset in found]
    if ids != sorted(set(ids)):
        raise ValueError(f"The ids of {file.name} are not sorted or not unique, so its lines are not the labels.")
    return found


def validation(root: Path, blacklist: Path | None = None) -> Iterator[Photo]:
    """The validation photographs in the order of their list, each read when it is asked for.

    Args:
        root: holds ``LOC_synset_mapping.txt`` and ``ILSVRC/`` with ``ImageSets/CLS-LOC/val.txt``,
            ``Data/CLS-LOC/val/*.JPEG`` and ``Annotations/CLS-LOC/val/*.xml``; or instead of the annotations
            ``LOC_val_solution.csv``, which says the same.
        blacklist: ``ILSVRC2014_clsloc_validation_blacklist.txt``, default where it lies in `root`; where there is
            none, no photograph is blacklisted.

    Yields:
        A `Photo` each.

    Raises:
        ValueError: a file is missing or of another form, or a photograph has no box, several classes or an unknown one.

    Source: Russakovsky et al., arXiv 1409.0575; the development kit of the challenge.
    """
    labels = {synset.wnid: label for label, synset in enumerate(synsets(root / "LOC_synset_mapping.txt"))}
    folder = root / "ILSVRC"
    names = validation_names(folder / "ImageSets" / "CLS-LOC" / "val.txt")
    file = root / "ILSVRC2014_clsloc_validation_blacklist.txt" if blacklist is None else blacklist
    bad = blacklisted(file) if blacklist is not None or file.exists() else frozenset()
    annotations = folder / "Annotations" / "CLS-LOC" / "val"
    solution = None if annotations.is_dir() else boxes_of_csv(root / "LOC_val_solution.csv")
    for name in names:
        if solution is None:
            boxes = boxes_of_xml(annotations / f"{name}.xml")
        elif name in solution:
            boxes = solution[name]
        else:
            raise ValueError(f"LOC_val_solution.csv has no {name}, which val.txt lists; get both files of one release.")
        wnid = _one_class(name, boxes)
        if wnid not in labels:
            raise ValueError(f"{name} shows {wnid}, which LOC_synset_mapping.txt does not name.")
        match = _NUMBER.fullmatch(name)
        number = int(match[1]) if match else 0
        yield Photo(folder / "Data" / "CLS-LOC" / "val" / f"{name}.JPEG", labels[wnid], boxes[wnid], number in bad)


def validation_names(file: Path) -> list[str]:
    """``ImageSets/CLS-LOC/val.txt``: the names of the photographs, from lines "ILSVRC2012_val_00000001 1".

    Raises:
        ValueError: the file is missing or empty.
    """
    names = [line.split()[0] for line in _lines(file)]
    if not names:
        raise ValueError(f"{file} lists no photographs; get the official file again.")
    return names


def boxes_of_xml(file: Path) -> dict[str, tuple[Box, ...]]:
    """One file of ``Annotations/``: boxes by WordNet id, in the order of the file.

    Raises:
        ValueError: the file is missing or of another form, or a box ends before it begins.
    """
    text = read_text(file)
    found: dict[str, list[Box]] = {}
    try:
        for thing in ElementTree.fromstring(text).findall("object"):
            box = tuple(int(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
            found.setdefault(thing.findtext("name", ""), []).append(_box(box))
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{file} is not one of ImageNet's annotations ({error}).") from error
    return {wnid: tuple(boxes) for wnid, boxes in found.items()}


def boxes_of_csv(file: Path) -> dict[str, dict[str, tuple[Box, ...]]]:
    """``LOC_val_solution.csv``: for each picture, boxes by WordNet id.

    Its columns are ImageId and PredictionString, which repeats "n01978287 left top right bottom".

    Raises:
        ValueError: the file is missing or of another form, or a box ends before it begins.
    """
    found = {}
    rows = csv.DictReader(io.StringIO(read_text(file)))
    try:
        for row in rows:
            own: dict[str, list[Box]] = {}
            parts = row["PredictionString"].split()
            for i in range(0, len(parts), 5):
                own.setdefault(parts[i], []).append(_box(tuple(map(int, parts[i + 1 : i + 5]))))
            found[row["ImageId"]] = {wnid: tuple(boxes) for wnid, boxes in own.items()}
    except (csv.Error, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"Line {rows.line_num} of {file.name} is not a picture with its boxes ({error}).") from error
    return found


def blacklisted(file: Path) -> frozenset[int]:
    """``ILSVRC2014_clsloc_validation_blacklist.txt``: numbers of validation photographs, from 1, a line each.

    Raises:
        ValueError: the file is missing or holds something else.
    """
    return frozenset(_numbers(file))


def ground_truth(file: Path, mapping: Path, classes: Sequence[Synset]) -> list[int]:
    """``ILSVRC2012_validation_ground_truth.txt``: the label of every validation photograph, in the order of its number.

    The file's own numbers are the challenge's ids, which are in no order of the WordNet ids: used as labels they would
    be wrong nearly always.

    Args:
        file: an id from 1 to 1000 a line.
        mapping: ``map_clsloc.txt`` of the development kit: "n02119789 1 kit_fox" a line.
        classes: of `synsets`.

    Returns:
        Labels in the order of the sorted WordNet ids, as `Photo.label`.

    Raises:
        ValueError: a file is missing or of another form, or an id or class is unknown.
    """
    labels = {synset.wnid: label for label, synset in enumerate(classes)}
    translated: dict[int, int] = {}
    for number, line in enumerate(_lines(mapping), start=1):
        parts = line.split()
        if len(parts) < 2 or not _WNID.fullmatch(parts[0]) or not parts[1].isdecimal():
            raise ValueError(f"Line {number} of {mapping.name} is not 'n02119789 1 kit_fox': {line[:60]!r}.")
        if parts[0] not in labels:
            raise ValueError(f"{mapping.name} names {parts[0]}, which is none of the {len(labels)} classes.")
        translated[int(parts[1])] = labels[parts[0]]
    ids = _numbers(file)
    unknown = next((i for i in ids if i not in translated), None)
    if unknown is not None:
        raise ValueError(f"{file.name} has the id {unknown}, which {mapping.name} does not translate.")
    return [translated[i] for i in ids]


def _lines(file: Path) -> list[str]:
    return [line for line in read_text(file).split("\n") if line.strip()]


def _numbers(file: Path) -> list[int]:
    try:
        return [int(line) for line in _lines(file)]
    except ValueError as error:
        raise ValueError(f"{file.name} is not a list of numbers, one a line ({error}).") from error


def _box(sides: tuple[int, ...]) -> Box:
    if len(sides) != 4 or sides[2] < sides[0] or sides[3] < sides[1]:
        raise ValueError(f"{sides} is no box")
    return sides[0], sides[1], sides[2], sides[3]


def _one_class(name: str, boxes: Mapping[str, tuple[Box, ...]]) -> str:
    if len(boxes) != 1:
        raise ValueError(
            f"{shown(name)} has boxes of {len(boxes)} classes ({shown(', '.join(boxes)) or 'none'}); it has to be one."
        )
    return next(iter(boxes))
