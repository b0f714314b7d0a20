"""What a page shows of a picture with noise, kept in its record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mmcam.diagnosis.attack.study import Subject
from mmcam.diagnosis.pairs import small
from mmcam.image import Geometry
from mmcam.report.maps import drawn


def cards_of(subject: Subject, x: Tensor, method: str) -> list[dict[str, Any]]:
    """What a page shows of a subject and its input with noise (C,H,W): of what is true each, its maps on both."""
    both = torch.stack([subject.x, x])
    seen = [small(subject.preprocess.denormalise(each)) for each in both]
    whole = Geometry((both.shape[2], both.shape[3]), (both.shape[2], both.shape[3]))
    cards = []
    for cams in subject.maps(both, method):
        shown: list[Any] = [SimpleNamespace(values=cam, geometry=whole, region=None) for cam in cams]
        maps = [drawn(one, size) for one, (_, size) in zip(shown, seen, strict=True)]
        cards.append({"images": [uri for uri, _ in seen], "size": list(seen[0][1]), "maps": maps})
    return cards
