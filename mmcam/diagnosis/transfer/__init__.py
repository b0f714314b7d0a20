"""Transfer learning on a folder: from a network that knows photographs to one that knows these, and a report.

After the system of Bahrami & Albadvi for heritage buildings (arXiv 2302.14354): a published network is frozen, a new
head is trained on its features, then its later half is trained with it, and Grad-CAM shows where it saw the defects.
What differs: the split is made once, disjoint, and whole groups (the photographs of one building) stay together;
figures are told by class, with intervals; and probabilities are calibrated.

* `examples`, `splits`: whose pictures are whose, and which are held out.
* `backbones`: the network and its weights.
* `inputs`, `augmented`, `features`: pictures as the network takes them, kept on disk.
* `fitting`, `phases`, `checkpoint`: the training, which goes on after it was killed.
* `measured`, `calibration`: how good the result is, and how sure it may be.
* `localised`: which layer and method show the defects best, if masks are given.
* `findings`, `report`, `page`, `pdf`: the report, as HTML and as PDF.
* `runs`: all of it in order.
"""

from mmcam.diagnosis.transfer.runs import Asked, finetune
from mmcam.diagnosis.transfer.settings import Settings

__all__ = ["Asked", "Settings", "finetune"]
