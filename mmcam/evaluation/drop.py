"""Does the score survive when only what the map shows is left? (Grad-CAM++, arXiv 1710.11063, section 4.1.)

The picture is multiplied by its own map, so that what the map leaves out fades away, and the score of what is left is
compared with that of the whole picture. The scores are probabilities, of which a share can be lost.
"""

from __future__ import annotations

import torch
from torch import Tensor


def seen_through(pictures: Tensor, maps: Tensor, blank: float = 0.0) -> Tensor:
    """Pictures multiplied by their own maps, E = L ∘ I, each map scaled to 0..1.

    A map is divided by its maximum and what is negative counts as 0, so that what a map leaves out is gone; an empty
    map shows nothing.

    Args:
        pictures: (N, C, H, W) as the model takes them.
        maps: (N, H, W), or (H, W) for all pictures.
        blank: what a picture fades to, in units of the model's input; 0 is the mean colour of the training data.

    Returns:
        (N, C, H, W)

    Raises:
        ValueError: maps of another size than the pictures, or that are not finite.
    """
    if pictures.ndim != 4 or maps.shape[-2:] != pictures.shape[-2:] or maps.ndim not in (2, 3):
        raise ValueError(
            f"The pictures have shape {tuple(pictures.shape)} and the maps {tuple(maps.shape)}; pass (N,C,H,W) and "
            "(N,H,W)."
        )
    if not torch.isfinite(maps).all():
        raise ValueError("The map has infinite or undefined values; leave this picture out.")
    positive = maps.float().clamp(min=0)
    peak = positive.amax((-2, -1), keepdim=True)
    share = (positive / torch.where(peak > 0, peak, 1.0)).to(pictures)
    return blank + (pictures - blank) * share.unsqueeze(-3)


def drops(whole: Tensor, seen: Tensor) -> Tensor:
    """The share of each score that is lost, max(0, Y − O) / Y, 0 to 1: (N,). Its mean is the average drop.

    Args:
        whole: Y (N,), probabilities of the pictures.
        seen: O (N,), those of the pictures seen through their maps.

    Raises:
        ValueError: not one score a picture on both sides, or one that is no positive number.
    """
    _check(whole, seen)
    return (whole - seen).clamp(min=0) / whole


def average_drop(whole: Tensor, seen: Tensor) -> float:
    """Average drop %, 0 to 100: what the pictures lose of their scores, on average; less is better (see `drops`)."""
    return 100 * float(drops(whole, seen).mean())


def increase(whole: Tensor, seen: Tensor) -> float:
    """Increase %, 0 to 100: in how many pictures the score even rises, Y < O; more is better (see `drops`)."""
    _check(whole, seen)
    return 100 * float((whole < seen).double().mean())


def win(seen: Tensor, other: Tensor) -> float:
    """Win %, 0 to 100: in how many pictures the score falls less than through another method's maps.

    Equal scores give half a point to each, so that both methods' figures always sum to 100.

    Args:
        seen: (N,), scores of the pictures seen through this method's maps.
        other: (N,), through the other's, of the same pictures.

    Raises:
        ValueError: not the same number of scores.
    """
    if seen.shape != other.shape or not seen.numel():
        raise ValueError(
            f"There are {seen.numel()} scores and {other.numel()} of the other method; pass as many of each."
        )
    return 100 * float(((seen > other).double() + (seen == other).double() / 2).mean())


def _check(whole: Tensor, seen: Tensor) -> None:
    if whole.shape != seen.shape or not whole.numel():
        raise ValueError(
            f"There are {whole.numel()} whole pictures and {seen.numel()} seen ones; pass as many of each."
        )
    if not (whole > 0).all() or not torch.isfinite(whole).all() or not torch.isfinite(seen).all():
        raise ValueError("A share of a score that is not positive or not finite is undefined; pass probabilities.")
