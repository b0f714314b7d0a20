"""Models by name: what installed packages offer, runs of the training scripts, and what a person types.

* `load`, `dissection`, `names`, `task` and `default`: the models that packages offer (`packages`).
* `specification.load_model`: everything the command line's ``--model`` takes (`zoos`, `hub`, `factory`).
* `state`: files of weights.
"""

from mmcam.models.packages import default, dissection, load, names, task

__all__ = ["default", "dissection", "load", "names", "task"]
