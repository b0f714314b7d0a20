"""Open pictures safely, prepare them for a model, and bring maps back to the original pixels."""

from mmcam.image.batch import Batch, joined, prepare, prepared
from mmcam.image.geometry import Geometry
from mmcam.image.open import MAX_PIXELS, PictureLike, load_image, open_raster
from mmcam.image.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess, Proportional, preprocess_of

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MAX_PIXELS",
    "Batch",
    "Geometry",
    "PictureLike",
    "Preprocess",
    "Proportional",
    "joined",
    "load_image",
    "open_raster",
    "prepare",
    "prepared",
    "preprocess_of",
]
