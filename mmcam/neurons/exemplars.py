"""What excites a unit most: patches around its strongest places."""

from __future__ import annotations

from PIL import Image

from mmcam.datasets.concepts import ConceptData
from mmcam.image import PictureError
from mmcam.neurons.dissection import Dissection


def patches(dissection: Dissection, data: ConceptData, unit: int, n: int = 3, side: int = 64) -> list[Image.Image]:
    """Squares around a unit's strongest places, one a picture, the strongest first."""
    found: list[Image.Image] = []
    for index, (row, column), peak in zip(
        dissection.exemplars[unit].tolist(),
        dissection.spots[unit].tolist(),
        dissection.peaks[unit].tolist(),
        strict=True,
    ):
        if len(found) == n or index < 0 or peak <= float(dissection.thresholds[unit]):
            break
        try:
            picture = data.picture(index)
        except PictureError:
            continue
        size = max(1, min(picture.size) // 3)
        left = min(max(round(column * picture.width - size / 2), 0), picture.width - size)
        top = min(max(round(row * picture.height - size / 2), 0), picture.height - size)
        found.append(picture.crop((left, top, left + size, top + size)).resize((side, side)))
    return found
