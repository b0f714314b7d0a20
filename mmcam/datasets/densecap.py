"""Reader of the regions and sentences that DenseCap finds in pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcam.datasets.captioned import brief, read_text
from mmcam.files import is_file, parsed
from mmcam.image import open_raster

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright


@dataclass(frozen=True)
class Region:
    """A part of a picture and a sentence about it.

    `box` is (left, top, right, bottom) in pixels of the original picture, from 0, right and bottom exclusive; `score`
    is DenseCap's own, unbounded, larger for surer.
    """

    box: tuple[float, float, float, float]
    caption: str
    score: float


def densecap(results: Path, pictures: Path, top: int = 5) -> list[tuple[Path, list[Region]]]:
    """The ``results.json`` that DenseCap's ``run_model.lua`` writes for its viewer.

    Its boxes are (x, y, width, height) in the picture resized so that the longer side has ``opt.image_size`` pixels,
    counted from 1 as everything in Lua; here they are brought back to the original picture and clipped to it.

    Args:
        results: "opt" with "image_size" (720 where it is not said) and "results", a list whose entries have "img_name",
            "boxes", "scores" and "captions".
        pictures: the folder with the original pictures. Not DenseCap's output folder, which has resized copies of the
            same names.
        top: how many regions of each picture, those of the highest scores (the Grad-CAM paper uses five).

    Returns:
        Each picture with its regions, the highest score first; fewer than `top` where DenseCap found fewer.

    Raises:
        ValueError: the file is missing or of another form, a picture is missing, unreadable or stored rotated, or `top`
            is not positive.

    Source: Johnson et al., DenseCap, arXiv 1511.07571; jcjohnson/densecap: run_model.lua, densecap/box_utils.lua.
    """
    if top < 1:
        raise ValueError(f"top is {top}; ask for at least one region of each picture.")
    text = read_text(results)
    try:
        table = parsed(text)
        longer = int(table.get("opt", {}).get("image_size", 720))
        found = [(pictures / entry["img_name"], _surest(entry, top)) for entry in table["results"]]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"{results} is not a results.json of DenseCap ({brief(error)}).") from error
    return [(path, _in_original(regions, _size(path), longer)) for path, regions in found]


def _surest(entry: dict[str, Any], top: int) -> list[Region]:
    """An entry's regions of the highest scores, with edges instead of widths, in the resized picture, from 0."""
    # A picture without regions may have {} for each list: Lua has one empty table for both.
    regions = []
    for (x, y, width, height), caption, score in zip(entry["boxes"], entry["captions"], entry["scores"], strict=True):
        left, above = float(x) - 1, float(y) - 1
        regions.append(Region((left, above, left + width, above + height), caption.strip(), float(score)))
    return sorted(regions, key=lambda region: -region.score)[:top]


def _in_original(regions: list[Region], size: tuple[int, int], longer: int) -> list[Region]:
    """Regions of a resized picture in the original, whose (width, height) is given."""
    # Torch's image.scale cuts the fraction off the shorter side, so each side has its own scale.
    scales = [side / max(1, side * longer // max(size)) for side in size]

    def place(position: float, axis: int) -> float:
        return min(max(position * scales[axis], 0.0), float(size[axis]))

    return [
        Region((place(left, 0), place(above, 1), place(right, 0), place(below, 1)), region.caption, region.score)
        for region in regions
        for left, above, right, below in [region.box]
    ]


def _size(path: Path) -> tuple[int, int]:
    """(width, height) from a picture's header."""
    if not is_file(path):
        raise ValueError(
            f"DenseCap's results name {str(path)[:200]}, which is not there; point to the folder of the pictures."
        )
    try:
        with open_raster(path) as picture:
            orientation, size = picture.getexif().get(_ORIENTATION, 1), picture.size
    except Exception as error:  # as in mmcam.image.open: Pillow trips in many ways
        raise ValueError(f"{path} cannot be read as a picture ({error}); save it again as PNG or JPEG.") from error
    if orientation != 1:
        # DenseCap takes the pixels as stored, everything else here turns them upright: boxes would lie elsewhere.
        raise ValueError(f"{path} is stored rotated (EXIF); store it upright and run DenseCap on that.")
    return size
