"""Train a small policy to catch a ball, and ask its maps where it looks: the truth is known to the pixel.

A ball and a hollow box fall, and below them a paddle moves: left, stay, right. Caught balls count, boxes do not. So
the choice of an action follows from the ball and the paddle; a map that points at the box or at empty space is wrong.
The policy sees two grey frames, and learns by proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    python -m experiments.train.policy
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.lib.catch import END, SIDE, STEP, Catch, Policy
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam import explain_action
from mmcam.drawing.strip import draw_strip
from mmcam.evaluation.pointing import centre, chance, inside
from mmcam.files import write_whole

METHODS = ("gradcam", "hirescam", "layercam", "guided_gradcam")
TOLERANCE = 2  # pixels, half a cell of the map


def train(
    updates: int, *, games: int = 32, steps: int = 24, rate: float = 3e-3, seed: int = 0
) -> tuple[Policy, list[float]]:
    """A policy in eval mode, and the share of balls caught at each update while it learned.

    Args:
        updates: of the policy, each from `games` · `steps` steps of the game; two episodes each of them.
        games, steps: played side by side, and for so long.
        rate: of learning; it falls to zero.
        seed: of weights and games.
    """
    torch.manual_seed(seed)
    policy, envs = Policy(), [Catch() for _ in range(games)]
    optimiser = torch.optim.Adam(policy.parameters(), rate)
    seen = np.stack([env.reset(seed=seed * 100_000 + i)[0] for i, env in enumerate(envs)])
    caught = []
    for update in track(range(updates), "training"):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - update / updates)
        kept: list[tuple[Tensor, ...]] = []
        for _ in range(steps):
            x = torch.from_numpy(seen).float()
            with torch.no_grad():
                output = policy(x)
            drawn = torch.distributions.Categorical(logits=output["logits"])
            actions = drawn.sample()
            played = [env.step(action) for env, action in zip(envs, actions.tolist(), strict=True)]
            rewards, over = torch.tensor([p[1] for p in played]), torch.tensor([p[2] for p in played])
            seen = np.stack([env.reset()[0] if p[2] else p[0] for env, p in zip(envs, played, strict=True)])
            kept.append((x, actions, drawn.log_prob(actions), output["value"], rewards, over))
        with torch.no_grad():
            last = policy(torch.from_numpy(seen).float())["value"]
        x, actions, before, values, rewards, over = (torch.stack(part) for part in zip(*kept, strict=True))
        caught.append(float(((rewards > 0.5) & over).sum() / over.sum().clamp(min=1)))
        gains = advantages(values, rewards, over, last)
        descend(policy, optimiser, x.flatten(0, 1), actions.flatten(), before.flatten(), gains, values)
    return policy.eval(), caught


def advantages(values: Tensor, rewards: Tensor, over: Tensor, last: Tensor, discount: float = 0.9) -> Tensor:
    """Generalised advantages (steps, games) with λ = 0.8 (Schulman et al., arXiv:1506.02438, eq. 16)."""
    gains, gain, following = torch.zeros_like(values), torch.zeros_like(last), last
    for t in reversed(range(len(values))):
        on = 1 - over[t].float()
        gain = rewards[t] + discount * following * on - values[t] + discount * 0.8 * on * gain
        gains[t], following = gain, values[t]
    return gains


def descend(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    actions: Tensor,
    before: Tensor,
    gains: Tensor,
    values: Tensor,
    rounds: int = 2,
) -> None:
    """Proximal policy optimisation: clipped ratios, the values' square error, a little entropy."""
    returns, gains = (gains + values).flatten(), gains.flatten()
    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
    for _ in range(rounds):
        for rows in torch.randperm(len(x)).chunk(3):
            output = policy(x[rows])
            now = torch.distributions.Categorical(logits=output["logits"])
            ratio = (now.log_prob(actions[rows]) - before[rows]).exp()
            lead = torch.minimum(ratio * gains[rows], ratio.clamp(0.8, 1.2) * gains[rows]).mean()
            loss = F.mse_loss(output["value"], returns[rows]) - lead - 0.01 * now.entropy().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimiser.step()


@torch.no_grad()
def moments(policy: Policy, count: int, seed: int = 10_000_000) -> tuple[list[tuple[Any, Any]], float]:
    """One moment of each of `count` games the policy plays: [(observation, masks), …], and the share of balls caught.

    A moment is one where the paddle is not yet below the ball and the ball is apart from the paddle, drawn at random
    among those of the game; games without one give none.
    """
    found, caught = [], 0
    rng = np.random.default_rng(seed)
    for i in range(count):
        env, over, reward, own = Catch(), False, 0.0, []
        seen, _ = env.reset(seed=seed + i)
        while not over:
            if env.ball != env.paddle and env.height < END - 2 * STEP:
                own.append((seen, env.masks()))
            action = int(policy(torch.from_numpy(seen).float()[None])["logits"].argmax())
            seen, reward, over, _, _ = env.step(action)
        caught += reward > 0.5
        if own:
            found.append(own[int(rng.integers(len(own)))])
    return found, caught / count


def wide(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask grown by `TOLERANCE` pixels, as the pointing game's tolerance does."""
    y, x = np.mgrid[-TOLERANCE : TOLERANCE + 1, -TOLERANCE : TOLERANCE + 1]
    return ndimage.binary_dilation(mask, x**2 + y**2 <= TOLERANCE**2)


def pointing(policy: nn.Module, found: list[tuple[Any, Any]], score: str, method: str) -> dict[str, float]:
    """How often the map's maximum lies on ball, paddle or box: of the greedy action's logit, or the state's value."""
    explained = explain_action(policy, [seen for seen, _ in found], score=score, method=method)
    return {
        thing: float(np.mean([inside(e.peak(), wide(m[thing])) for e, (_, m) in zip(explained, found, strict=True)]))
        for thing in ("ball", "paddle", "box")
    }


def baselines(found: list[tuple[Any, Any]]) -> dict[str, dict[str, float]]:
    """How often the middle pixel, or any, lies on each thing."""
    things = ("ball", "paddle", "box")
    masks = [{thing: wide(masks[thing]) for thing in things} for _, masks in found]
    return {
        "centre": {t: float(np.mean([inside(centre(m[t]), m[t]) for m in masks])) for t in things},
        "random": {t: float(np.mean([chance(m[t]) for m in masks])) for t in things},
    }


def picture(policy: nn.Module, found: list[tuple[Any, Any]], method: str, count: int = 6) -> Image.Image:
    """Frames, and under each the maps of the chosen action and of the state's value."""
    panels, notes = [], []
    explained = [explain_action(policy, seen, method=method) for seen, _ in found[:count]]
    values = [explain_action(policy, seen, score="value", method=method) for seen, _ in found[:count]]
    for row, title in ((explained, "frame"), (explained, ""), (values, "value")):
        for exp in row:
            drawn = exp.image if title == "frame" else exp.overlay()
            panels.append((drawn.resize((SIDE * 4, SIDE * 4), Image.Resampling.NEAREST), title or exp.target))
            notes.append("" if title == "frame" else f"{exp.score:.2f}")
    return draw_strip(panels, notes, columns=count, side=SIDE * 4)


def main(
    updates: int = 120,
    pictures: int = 400,
    seed: int = 0,
    runs: Annotated[Path, typer.Option(help="Folder for the weights.")] = Path("runs"),
    out: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("experiments/results"),
) -> None:
    """Train, then write policy.md, .json and .png; the weights stay in RUNS."""
    torch.set_num_threads(1)
    command = f"python -m experiments.train.policy --updates {updates} --pictures {pictures} --seed {seed}"
    began = time.monotonic()
    policy, learning = train(updates, seed=seed)
    seconds = time.monotonic() - began
    runs.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(policy.state_dict(), runs / "catch-policy.safetensors")
    found, caught = moments(policy, pictures)
    rows = [
        {"score": score, "method": method, **pointing(policy, found, score, method)}
        for score in ("action", "value")
        for method in METHODS
    ]
    rows += [{"score": "", "method": name, **hits} for name, hits in baselines(found).items()]
    report = {
        **stamp(command, pictures=len(found), seed=seed),
        "parameters": sum(p.numel() for p in policy.parameters()),
        "caught": caught,
        "moments": len(found),
        "rows": rows,
    }
    card = {**report, "seconds": round(seconds), "caught_while_learning": learning}
    (runs / "catch-policy.json").write_text(json.dumps(card, indent=1) + "\n")
    cells = [
        [str(row["score"]), str(row["method"]), *(f"{100 * row[t]:.1f}" for t in ("ball", "paddle", "box"))]
        for row in rows
    ]
    below = [
        "",
        "How often the maximum of a map lies on the ball to be caught, on the paddle, or on the box that does not "
        f"count (within {TOLERANCE} pixels, half a cell of the 12×12 map), at one moment each of {len(found)} games "
        f"while the paddle was still on its way. The policy of {report['parameters']:,} parameters catches "
        f"{100 * caught:.1f} % of the balls. An action follows from the ball and the paddle alike, so both are right. "
        "“centre” is the middle pixel, “random” any. A linear layer reads the map place by place; Grad-CAM averages "
        "over the places, and loses the ball.",
    ]
    show(out / "policy", report, ("score", "method", "ball %", "paddle %", "box %"), cells, [f"`{command}`"], below)
    drawn = picture(policy, found, "hirescam")
    write_whole(out / "policy.png", lambda file: drawn.save(file, "PNG"))
    print(f"{seconds:.0f} seconds of training; {100 * caught:.1f} % of the balls caught.")


if __name__ == "__main__":
    typer.run(main)
