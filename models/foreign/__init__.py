"""Other people's captioners: their checkpoints, read without running code from them, in the shape of ours.

* ImageCaptioning.pytorch (ruotianluo; "neuraltalk2 in PyTorch"): ``model-best.pth``, a state dict, and
  ``infos_*-best.pkl``, a pickle with the options and the vocabulary. Its models ``fc`` and ``newfc`` (an LSTM with
  maxout; Rennie et al. 2017, arXiv:1612.00563), ``show_tell`` (Vinyals et al. 2015, arXiv:1411.4555), and ``att2in``
  and ``att2in2`` (arXiv:1612.00563, section 2).
* a-PyTorch-Tutorial-to-Image-Captioning (sgrvinod): Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044). Its
  checkpoints are pickles of whole modules, which run code; they have to be made state dicts where that code is.

Neither comes with the CNN that saw the pictures, so a `Features` is passed beside them, e.g. from `resnet_features`.
"""

from ..photo import resnet_features
from .captioners import AttendTell, AttIn, ShowTell
from .checkpoints import KINDS, load_attend_tell, load_neuraltalk2
from .infos import read_infos

__all__ = [
    "KINDS",
    "AttIn",
    "AttendTell",
    "ShowTell",
    "load_attend_tell",
    "load_neuraltalk2",
    "read_infos",
    "resnet_features",
]
