"""Captions: writing true ones, and checking any."""

from mmcam.datasets.vignettes.captions.checking import Checked, check
from mmcam.datasets.vignettes.captions.writing import CATEGORIES, LONGEST, VOCABULARY, Caption, Mark, write

__all__ = ["CATEGORIES", "LONGEST", "VOCABULARY", "Caption", "Checked", "Mark", "check", "write"]
