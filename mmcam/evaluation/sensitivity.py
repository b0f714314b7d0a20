"""How far does a map move when the picture hardly does? (Yeh et al., arXiv 1901.09392, section 4: max-sensitivity.)"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def max_sensitivity(
    explain: Callable[[Tensor], Tensor],
    picture: Tensor,
    *,
    radius: float = 0.02,
    samples: int = 10,
    relative: bool = True,
    rows: int = 32,
    seed: int = 0,
) -> float:
    """max ‖Φ(y) − Φ(x)‖ over pictures y that differ from x by at most `radius` in each value; less is steadier.

    The maximum is over noise drawn evenly from that cube, so it is a lower bound that rises with the samples.

    Args:
        explain: Φ, from pictures (M, C, H, W) to their maps (M, …).
        picture: x (C, H, W).
        radius: in units of the picture.
        samples: how many y are drawn (the paper takes 50).
        relative: divide by ‖Φ(x)‖, as maps of different methods have different scales; the paper's definition does not.
        rows: pictures explained at a time.
        seed: of the noise; the same seed gives the same figure.

    Returns:
        0 for a map that does not move; nan, where relative, for one that is empty.

    Raises:
        ValueError: not one map a picture, or numbers that draw no noise.

    Example:
        >>> max_sensitivity(lambda x: mmcam.attribute(net, x, [281])[0], picture)
    """
    if samples < 1 or rows < 1 or radius <= 0:
        raise ValueError(
            f"samples={samples}, rows={rows}, radius={radius} draw no noise; pass samples, rows ≥ 1, radius > 0."
        )
    if picture.ndim != 3:
        raise ValueError(f"The picture has shape {tuple(picture.shape)}; pass one, (C,H,W).")

    def maps(pictures: Tensor) -> Tensor:
        made = explain(pictures)
        if len(made) != len(pictures):
            raise ValueError(f"{len(pictures)} pictures got {len(made)} maps; return one a picture.")
        return made.detach().double().flatten(1)

    generator = torch.Generator().manual_seed(seed)
    given = maps(picture[None])
    most = 0.0
    for start in range(0, samples, rows):
        count = min(rows, samples - start)
        # Drawn in double precision on the CPU, so that every device and `rows` sees the same noise.
        drawn = torch.rand(count, *picture.shape, generator=generator, dtype=torch.float64) * 2 - 1
        moved = maps(picture + (radius * drawn).to(picture)) - given
        most = max(most, float(moved.norm(dim=1).max()))
    size = float(given.norm())
    if not relative:
        return most
    return most / size if size > 0 else float("nan")
