"""What a frozen network gives for pictures, computed once: then an epoch of the head takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcam.diagnosis.transfer.augmented import stream, varied
from mmcam.diagnosis.transfer.inputs import CHUNK, Inputs, Kept
from mmcam.image import Preprocess
from mmcam.progress import with_progress

VIEWS = 3
"""Of a stream's numbers: which pictures' views these are."""


def scaled(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """Pictures of 0 to 255 in floats as a network takes them."""
    mean, std = (torch.tensor(each, device=pixels.device).view(-1, 1, 1) for each in (preprocess.mean, preprocess.std))
    return (pixels / 255 - mean) / std


def features_of(
    backbone: nn.Module, inputs: Inputs, rows: NDArray[np.int64], views: int, seed: int, file: Path, key: str
) -> Tensor:
    """Features (N, views, D) of pictures, float32 on the CPU; goes on where it was stopped.

    Args:
        backbone: in eval mode, on the device that computes.
        inputs: of all pictures.
        rows: which.
        views: of each; the first is the picture as it is, the others are varied.
        seed: of the varying.
        file: where they are kept, ``.npy``.
        key: what they depend on.
    """
    device = next(backbone.parameters()).device
    jobs = [(view, start) for view in range(views) for start in range(0, len(rows), CHUNK)]
    with torch.no_grad():
        width = backbone(inputs.of(rows[:1]).to(device)).shape[1]
        kept = Kept(file, (views, len(rows), width), np.float32, key)
        for number in with_progress(range(kept.done, len(jobs)), "Encoding pictures"):
            view, start = jobs[number]
            part = rows[start : start + CHUNK]
            pixels = inputs.bytes_of(part).to(device)
            x = pixels.float() if view == 0 else varied(pixels, stream(seed, VIEWS, view, start))
            kept.rows[view, start : start + CHUNK] = backbone(scaled(x, inputs.preprocess)).float().cpu().numpy()
            kept.filled(number + 1)
    return torch.from_numpy(np.array(kept.rows)).permute(1, 0, 2)
