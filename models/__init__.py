"""The bundled models: small, plain PyTorch, ready offline.

```python
from models import load

captioner = load("vignette-captioner")
captioner.spell(captioner.generate(x)[0])
```

Each has a card in `weights/`, what it was trained on, by which command, and what it scores, and beside it a file of
half-precision weights. Those of ImageNet, which `photo-classifier` is made of, come with a package of their own.

This folder is the package `models` of a checkout, which scripts and tests import, and `mmcam_models` of an
installation, which `mmcam.models.load` finds. The two names are two sets of classes: whoever asks for a class, or
replaces a part for a test, loads through the same name; mmcam itself asks only what a model can do.
"""

from .answerer import Answerer
from .attend_tell import ShowAttendTell
from .captioner import Captioner
from .classifier import Classifier
from .hiecoatt import HieCoAtt
from .loading import DEFAULTS, DISSECTIONS, WEIGHTS, build, builds, dissection, load, names, packaged, task
from .photo_classifier import PhotoClassifier
from .san import SAN
from .speaker import Speaker
from .transformer import TransformerCaptioner
from .vqa import VQA

__all__ = [
    "DEFAULTS",
    "DISSECTIONS",
    "SAN",
    "VQA",
    "WEIGHTS",
    "Answerer",
    "Captioner",
    "Classifier",
    "HieCoAtt",
    "PhotoClassifier",
    "ShowAttendTell",
    "Speaker",
    "TransformerCaptioner",
    "build",
    "builds",
    "dissection",
    "load",
    "names",
    "packaged",
    "task",
]
