"""The value that a unit exceeds at a given share of all places, from a stream, in bounded memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class TopQuantile:
    """Thresholds T_k with P(a_k > T_k) = `share`, exact as long as the memory allows.

    Only the greatest values can decide: of V places the m + 1 greatest are kept with m = ⌊share·V⌋, and T is the
    smallest of them, so that just m places exceed it where no two values are equal. That is `share` of the memory all
    values would need. Where even this is more than `memory` bytes, each place is read with the same probability
    instead, drawn from a fixed seed: still unbiased, with a standard error of √(share/n) relative to n places read.

    Args:
        share: of the places, above 0 and below 1.
        units: K.
        places: V, how many values of each unit will come.
        memory: bytes for the kept values.
        device: of the activations.
    """

    def __init__(
        self, share: float, units: int, places: int, memory: int = 2**30, device: torch.device | str = "cpu"
    ) -> None:
        self.share = share
        # Kept and new values, as many, and both again while they are merged: hence 4, of 4 bytes each.
        most = max(1, memory // (4 * 4 * units))
        self.fraction = min(1.0, most / (share * places + 1))
        self.kept = torch.empty(units, 0, device=device)
        self._new: list[Tensor] = []
        self._expected = places
        self._chance = torch.Generator().manual_seed(0)
        self._read = 0

    def add(self, activations: Tensor) -> None:
        """Take in (N, K, h, w)."""
        values = activations.detach().float().transpose(0, 1).flatten(1)
        if self.fraction < 1:
            drawn = torch.rand(values.shape[1], generator=self._chance) < self.fraction
            values = values[:, drawn.to(values.device)]
        self._read += values.shape[1]
        self._new.append(values)
        if sum(part.shape[1] for part in self._new) >= self.kept.shape[1]:  # a merge for each batch would take longer
            self._merge()

    def _merge(self) -> None:
        # What will be needed at the end; with a margin where chance decides how many places are read.
        expected = self._expected * self.fraction
        margin = 6 * math.sqrt(expected) if self.fraction < 1 else 0
        size = min(math.floor(self.share * (expected + margin)) + 1, self._read)
        merged = torch.cat([self.kept, *self._new], dim=1)
        self._new = []
        self.kept = merged.topk(min(size, merged.shape[1]), dim=1, sorted=False).values

    def thresholds(self) -> Tensor:
        """T (K) of everything taken in.

        Raises:
            ValueError: nothing was taken in.
        """
        if not self._read:
            raise ValueError("There is no value yet; add() activations first.")
        self._merge()
        rank = min(math.floor(self.share * self._read) + 1, self.kept.shape[1])
        return self.kept.topk(rank, dim=1).values[:, -1]

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs."""
        self._merge()
        return {"kept": self.kept.cpu(), "read": torch.tensor(self._read), "chance": self._chance.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on where a `state` was taken."""
        self.kept = state["kept"].to(self.kept.device)
        self._read = int(state["read"])
        self._chance.set_state(state["chance"])
