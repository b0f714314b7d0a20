"""A game of catch whose every frame says where ball, box and paddle are, and a small policy that can play it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE = 48  # pixels of a frame
STEP = 3  # pixels anything moves in a step
RADIUS = 3  # of the ball; the box is as large
COLUMNS = np.arange(5, SIDE - 4, STEP)  # where things may be
START, END = 4, 40  # height of the ball at first and when it is caught or lost
FRAMES = 2
ACTIONS = ("left", "stay", "right")


class Catch:
    """The game, with gymnasium's ``reset`` and ``step``. Observations are (2,48,48) uint8, the newest frame last.

    An episode lasts 12 steps. The reward is 1 at its end if the paddle is below the ball, else -1; on the way there is
    some for coming nearer, which shortens the training.
    """

    def reset(self, seed: int | None = None) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode."""
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.ball, self.paddle = (int(column) for column in self.rng.choice(COLUMNS, 2))
        # The box falls beside the ball, never over it.
        self.box = int(self.rng.choice(COLUMNS[abs(COLUMNS - self.ball) > 2 * RADIUS + 2]))
        self.height = START
        self.frames = [self.draw()] * FRAMES
        return np.stack(self.frames), {}

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Move the paddle, let the others fall: (observation, reward, terminated, truncated, info)."""
        far = abs(self.ball - self.paddle)
        self.paddle = int(np.clip(self.paddle + STEP * (action - 1), COLUMNS[0], COLUMNS[-1]))
        self.height += STEP
        self.frames = [*self.frames[1:], self.draw()]
        over = self.height >= END
        near = abs(self.ball - self.paddle)
        reward = 0.25 * (far - near) / STEP + (over and (1.0 if near == 0 else -1.0))
        return np.stack(self.frames), reward, over, False, {}

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Where ball, box and paddle are in the newest frame, (48,48) each."""
        y, x = np.mgrid[:SIDE, :SIDE]
        inner = np.maximum(abs(x - self.box), abs(y - self.height))
        return {
            "ball": (x - self.ball) ** 2 + (y - self.height) ** 2 <= RADIUS**2 + 1,
            "box": (inner <= RADIUS) & (inner > RADIUS - 2),
            "paddle": (abs(x - self.paddle) <= 4) & (abs(y - 44) <= 1),
        }

    def draw(self) -> NDArray[np.uint8]:
        """A frame: all things in one grey, on a dark ground with noise."""
        frame = self.rng.integers(0, 40, (SIDE, SIDE))
        for mask in self.masks().values():
            frame[mask] = 220
        return frame.astype(np.uint8)


class Policy(nn.Module):
    """Two frames (N,2,48,48) in 0…255 → logits (N,3) and value (N,), by way of 8 maps of 12×12."""

    actions = ACTIONS

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(FRAMES, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 8, 3, 1, 1),
            nn.ReLU(),
        )
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(8 * 12 * 12, 128), nn.ReLU())
        self.actor, self.critic = nn.Linear(128, len(ACTIONS)), nn.Linear(128, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Observations → {"logits", "value"}."""
        hidden = self.hidden(self.features(x / 255))
        return {"logits": self.actor(hidden), "value": self.critic(hidden)[:, 0]}
