"""The figure: a picture without and with noise, each with the maps of what is there and of what is not."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam.diagnosis.attack.study import Subject
from mmcam.drawing.overlay import draw_overlay
from mmcam.drawing.strip import draw_strip, stack
from mmcam.engine.as_found import as_found

SIDE = 300
"""Pixels a side of a panel."""


def figure(model: nn.Module, subject: Subject, x: Tensor, largest: int, method: str = "gradcam") -> Image.Image:
    """Two rows: the picture as it is, and with noise.

    Args:
        model: that is fooled; left as it was found.
        subject: the picture.
        x: its input with noise (C,H,W).
        largest: change of a value, in 255ths.
        method: of the maps.
    """
    words = [*subject.true, f"({subject.wrong})"]
    both = torch.stack([subject.x, x])
    maps = [*subject.maps(both, method), *subject.maps_of_wrong(both, method)]
    with as_found(model):
        said = subject.ask(both)
    rows = []
    for n, title in enumerate(("clean", f"±{largest}/255")):
        seen = subject.preprocess.denormalise(both[n])
        panels, notes = [(seen, title)], [""]
        for t, word in enumerate(words):
            cam = maps[t][n].float().cpu()
            large = F.interpolate(cam[None, None], seen.size[::-1], mode="bilinear", align_corners=False)[0, 0]
            panels.append((draw_overlay(seen, large.numpy()), word))
            p = said.true[n, t] if t < len(subject.true) else said.wrong[n]
            notes.append(f"p = {told(float(p))}")
        rows.append(draw_strip(panels, notes, columns=len(panels), side=SIDE))
    return stack(rows)


def told(probability: float) -> str:
    """A probability to read, with the digits that tell it from 1."""
    return f"{probability:.2g}" if probability < 0.99 else f"{min(probability, 0.99999):.5f}"
