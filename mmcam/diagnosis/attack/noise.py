"""Noise that makes a model say something else: steps along the sign of the gradient, towards what it is to say.

* **sign**: the iterated targeted sign gradient (Kurakin et al., arXiv 1607.02533, section 2.3), in steps of one 255th
  and no further than their number lets it.
* **pgd**: projected gradient descent with a random start (Madry et al., arXiv 1706.06083, section 2.1): larger steps
  within `radius` of the picture, from a point drawn in there.

Steps, radius and starts are whole 255ths, so that the picture that fools is one a file can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from mmcam.errors import ExplainError

SURE: Final = 0.9999
"""The probability of what is not there from which on a model is fooled (Grad-CAM, arXiv 1610.02391, section 6.2)."""
STEPS: Final = 50
"""At most."""


class Said(NamedTuple):
    """What a model makes of N inputs.

    Attributes:
        aim: (N,), what is to rise.
        wrong: (N,), the probability of what it is to say.
        true: (N,T), those of what is true.
        fooled: (N,), whether it says the one and not the others.
    """

    aim: Tensor
    wrong: Tensor
    true: Tensor
    fooled: Tensor


Ask = Callable[[Tensor], Said]
"""Pictures (N,C,H,W) in 255ths → what is made of them."""


@dataclass(frozen=True)
class Noise:
    """How noise is found.

    Attributes:
        steps: at most so many.
        step: length of one, in 255ths.
        radius: how far a value may go from the picture's, in 255ths; None for as far as the steps take it.
        random_start: begin at a point drawn within the radius.
    """

    steps: int = STEPS
    step: int = 1
    radius: int | None = None
    random_start: bool = False


NOISES: Final = {"sign": Noise(), "pgd": Noise(step=2, radius=8, random_start=True)}
"""The two kinds by name; the second with Madry's step and radius for photographs."""


@dataclass(frozen=True)
class Noisy:
    """Pictures with noise.

    Attributes:
        pixels: (N,C,H,W), in 255ths.
        steps: (N,), how many each took.
        said: what the model makes of them.
    """

    pixels: Tensor
    steps: Tensor
    said: Said


def noise_of(name: str) -> Noise:
    """A kind of noise by its name.

    Raises:
        ExplainError: there is none of that name.
    """
    if name not in NOISES:
        raise ExplainError(f"There is no noise {name!r}; choose {' or '.join(NOISES)}.")
    return NOISES[name]


def add_noise(ask: Ask, pixels: Tensor, noise: Noise, start: Tensor | None = None) -> Noisy:
    """Pictures that a model takes for something else; each stops by itself when it does.

    Args:
        ask: the model, differentiable.
        pixels: (N,C,H,W), in 255ths.
        noise: how it is found.
        start: (N,C,H,W), the noise to begin with, in 255ths; default none.

    Returns:
        The pictures after the first step that fools, or after the last one, fooled or not.
    """
    made = pixels if start is None else (pixels + start).clamp(0, 255)
    taken = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)
    for step in range(noise.steps + 1):
        made = made.detach().requires_grad_()
        said = ask(made)
        going = ~said.fooled
        if step == noise.steps or not going.any():
            break
        (gradient,) = torch.autograd.grad(said.aim.sum(), made)
        moved = made.detach() + noise.step * gradient.sign()
        if noise.radius is not None:
            moved = pixels + (moved - pixels).clamp(-noise.radius, noise.radius)
        made = torch.where(going[:, None, None, None], moved.clamp(0, 255), made.detach())
        taken += going
    return Noisy(made.detach(), taken, Said(*(part.detach() for part in said)))


def drawn_start(pixels: Tensor, noise: Noise, seed: int) -> Tensor | None:
    """The start of a noise (1,C,H,W) that begins at random: whole 255ths within its radius; else None."""
    if not noise.random_start or noise.radius is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-noise.radius, noise.radius + 1, tuple(pixels.shape), generator=generator)
    return drawn.to(pixels)
