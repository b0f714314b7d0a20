"""Masks that a trained network makes, written or held against the truth; each kept as it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcam.diagnosis.labelled import LabelledPicture
from mmcam.diagnosis.records import Record, Tell, checksum, one_by_one, path_of
from mmcam.diagnosis.segmentation.network import Segmenter
from mmcam.diagnosis.segmentation.palette import in_palette
from mmcam.diagnosis.segmentation.pictures import truth
from mmcam.diagnosis.segmentation.predict import FieldOver, classes_of_pixels
from mmcam.diagnosis.segmentation.scores import counts
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, write_whole
from mmcam.image import Preprocess, load_image
from mmcam.progress import with_progress


@dataclass(frozen=True)
class Trained:
    """A network that segments.

    Attributes:
        network: in eval mode.
        classes: in the order of its outputs 1, 2, …; output 0 is background.
        preprocess: how a picture becomes its input.
    """

    network: Segmenter
    classes: tuple[str, ...]
    preprocess: Preprocess


def write_masks(
    trained: Trained,
    pictures: Sequence[Path],
    folder: Path,
    field: FieldOver = "grid",
    *,
    tell: Tell = lambda text: None,
) -> list[tuple[Path, str]]:
    """Write NAME.png for each picture, a palette PNG as VOC's: index 0 is background, n the n-th class.

    A mask that is there is kept, so a run that was stopped goes on.

    Returns:
        The pictures that cannot be used, and why.

    Raises:
        ExplainError: two pictures of one name.
    """
    names = [picture.stem for picture in pictures]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ExplainError(f"Two pictures are called {twice}, so their masks would be, too; segment them one by one.")
    todo = [picture for picture in pictures if not is_file(folder / f"{picture.stem}.png")]
    if len(todo) < len(pictures):
        tell(f"{len(pictures) - len(todo)} of {len(pictures)} masks are there already, {len(todo)} are left.")
    skipped = []
    for picture in with_progress(todo, "Segmenting"):
        try:
            found = classes_of_pixels(trained.network, load_image(picture), trained.preprocess, field)
        except PictureError as error:
            skipped.append((picture, str(error)))
            continue
        mask = in_palette(found)
        write_whole(folder / f"{picture.stem}.png", lambda file, mask=mask: mask.save(file, "PNG"))  # type: ignore[misc]
    return skipped


def measure(
    trained: Trained,
    pictures: Sequence[LabelledPicture],
    path: Path,
    field: FieldOver = "grid",
    *,
    tell: Tell = lambda text: None,
) -> list[Record]:
    """Hold masks against the truth; kept in a file as it is done.

    Returns:
        Of each picture {"picture", "counts"} (see `scores`), or {"picture", "skipped"}.

    Raises:
        ExplainError: no picture can be used, or the file is of other work.
    """

    def record_of(picture: LabelledPicture) -> Record:
        image = load_image(picture.path)
        true = truth(picture, trained.classes, image.size)
        said = classes_of_pixels(trained.network, image, trained.preprocess, field)
        return {"picture": path_of(picture), "counts": counts(said, true, len(trained.classes) + 1)}

    of = {"weights": checksum(trained.network), "field": field}
    records = one_by_one(path, of, pictures, record_of, "Measuring", tell, "measured")
    if all("skipped" in record for record in records):
        raise ExplainError(f"None of the {len(records)} pictures can be measured: {records[0]['skipped']}")
    return records
