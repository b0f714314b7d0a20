"""From a policy's choice to an Explanation: why this action, why rather than that one, why is the state worth so much?

Stacked frames need one line:

```python
frames = np.stack(last_four)                                    # (4,84,84) uint8, the newest last
mmcam.explain_action(policy, frames)                            # a policy that scales its bytes itself
mmcam.explain_action(policy, torch.from_numpy(frames) / 255)    # one that takes floats
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.compute import compute, explanation, quoted
from mmcam.engine.modules import unwrap
from mmcam.engine.outputs import Target, picture_of
from mmcam.engine.tap import Forward
from mmcam.errors import ExplainError
from mmcam.explanation import Explanation
from mmcam.image import Batch
from mmcam.methods import Maps
from mmcam.places.find import spatial
from mmcam.places.grids import grid_at
from mmcam.places.trace import trace
from mmcam.tasks import policy as task

Action = int | str | Callable[[Any], Tensor]
"""An action by index or name, or any function from the policy's output to N scores."""


@torch.inference_mode(False)  # tensors made in inference mode cannot be recorded
def explain_action(
    policy: nn.Module,
    images: Any,
    action: Action | Sequence[Action | None] | None = None,
    *,
    score: str = "action",
    contrast: int | str | None = None,
    names: Sequence[str] | None = None,
    layer: str | Sequence[str] | None = None,
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Any:
    """Which part of an observation made a policy choose an action, or think the state worth what it does.

    Args:
        policy: any module from observations (N,C,H,W) to logits, Q-values or a value (see `mmcam.tasks.policy.Policy`).
        images: an observation (C,H,W) as the environment gives it, or several, (N,C,H,W) or a list. Its values are left
            as they are; any number of channels will do. Float tensors are taken as prepared inputs. See
            `mmcam.tasks.policy.observe`.
        action: by index or name, or a function from the policy's output to (N,); default the greedy action. For one
            observation, a list asks for several actions; for several, it holds one action each.
        score: "action" explains the action's logit, "q" its Q-value, "value" the value of the state.
        contrast: a second action; the score becomes the difference, "why left rather than right".
        names: of the actions, in order; default the policy's ``actions``.
        preprocess: a function from one observation to the float tensor (C,H,W) the policy takes, e.g.
            ``lambda frames: torch.from_numpy(frames) / 255``, or a `mmcam.Preprocess` for pictures; default the
            policy's ``preprocess``, else nothing.
        layer, method, call, options: as in `mmcam.attribute`. By default the last spatial layer the score depends on:
            an actor and a critic may have encoders of their own.

    Returns:
        An Explanation, whose picture is the newest frame; a list where several observations or actions were given.

    Raises:
        ExplainError: unknown action (with close matches) or layer; a score the policy does not give; not one action an
            observation.
        PictureError: an observation that cannot be used.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 400, 3))
        >>> frames = np.zeros((4, 84, 84), np.uint8)
        >>> mmcam.explain_action(net, frames, "left", names=("left", "stay", "right"))
    """
    if score not in task.SCORES:
        raise ExplainError(f"There is no score {score!r} of a policy; choose one of {', '.join(task.SCORES)}.")
    if score == "value" and (action is not None or contrast is not None):
        raise ExplainError("The value belongs to the state, not to an action; leave action= and contrast= out.")
    module = unwrap(policy)
    batch = task.observe(module, images, preprocess)
    known = names if names is not None else getattr(module, "actions", None)
    rows, several = _rows(action, batch)
    raw = any(callable(wanted) for row in rows for wanted in row)
    against = None if contrast is None else task.action_index(contrast, known)
    columns: list[list[Any]] = [[row[t] for row in rows] for t in range(len(rows[0]))]
    greedy: list[Tensor] = []
    if raw:
        if against is not None or not all(callable(wanted) for row in rows for wanted in row):
            raise ExplainError("A function as action stands alone: no contrast=, and no other actions beside it.")
        targets = [_function_column(column) for column in columns]
    elif score == "value":
        targets = [task.value_target()]
    else:
        columns = [[None if a is None else task.action_index(a, known) for a in column] for column in columns]
        targets = [task.action_target(column, score, against, greedy, known) for column in columns]

    def forward(x: Tensor, copies: int) -> Any:
        output = module(x)
        # A Categorical hides its rows from the engine, so only tensors are handed on.
        return output if raw else task.thoughts(output)

    maps, where = _compute(module, forward, batch.x, targets, layer, method, options, call)
    rival = None if against is None else task.action_name(against, known)

    def one(t: int, n: int) -> Explanation:
        wanted = columns[t][n]
        if raw:
            title = getattr(wanted, "__name__", "score").replace("<lambda>", "score")
            claim = f"“{title}” is as high as it is"
        elif score == "value":
            title, claim = "value", "It rates the state as it does"
        else:
            name = task.action_name(int(greedy[0][n]) if wanted is None else wanted, known)
            title = name if rival is None else f"{name} rather than {rival}"
            claim = (
                f"It chooses {quoted(name, rival)}"
                if score == "action"
                else f"It rates {quoted(name, rival)} as it does"
            )
            title = f"Q of {title}" if score == "q" else title
        return explanation(maps, t, n, title, where, method, module, batch, options, claim)

    results = [[one(t, n) for t in range(len(columns))] for n in range(len(rows))]
    if batch.single:
        return results[0] if several else results[0][0]
    return [row[0] for row in results]


def _rows(action: Any, batch: Batch) -> tuple[list[list[Any]], bool]:
    """The actions asked for each observation, and whether one observation was given a list of them."""
    action = action.tolist() if isinstance(action, (Tensor, np.ndarray, np.generic)) else action
    listed = isinstance(action, Sequence) and not isinstance(action, str)
    each = list(action) if listed else [action] * len(batch.pictures)
    if not each:
        raise ExplainError("There is no action in the list; pass at least one.")
    if batch.single:
        return [each], listed
    if len(each) != len(batch.pictures):
        raise ExplainError(f"There are {len(batch.pictures)} observations and {len(each)} actions; give one each.")
    return [[wanted] for wanted in each], False


def _function_column(column: Sequence[Target]) -> Target:
    """One target for N observations, each with a function of its own."""
    if all(function is column[0] for function in column):
        return column[0]
    return lambda output: torch.stack([function(output)[n] for n, function in enumerate(column)])


def _compute(
    module: nn.Module,
    forward: Forward,
    x: Tensor,
    targets: Sequence[Target],
    layer: str | Sequence[str] | None,
    method: str,
    options: Any,
    call: int | None,
) -> tuple[Maps, str]:
    """`compute`; where the default layer has no say in the score, at the last one that has."""
    try:
        return compute(module, forward, x, targets, layer, method, options, call)
    except ExplainError as error:
        if layer is not None or "does not depend on layer" not in str(error):
            raise
        other = _last_with_a_say(module, forward, x, targets[0])
        if other is None:
            raise
        return compute(module, forward, x, targets, other, method, options, call)


def _last_with_a_say(module: nn.Module, forward: Forward, x: Tensor, target: Target) -> str | None:
    """The last spatial layer on which a target depends: where actor and critic see for themselves, not the other's."""
    outputs: dict[str, Tensor] = {}
    kept: list[Tensor] = []

    def run() -> Any:
        output = forward(x.detach().clone().requires_grad_(), 1)
        kept.append(target(output).sum())
        return output

    candidates = spatial(trace(module, run, picture_of(x), outputs), picture_of(x))
    candidates = [c for c in candidates if outputs[c.name].requires_grad]
    if not candidates or not kept[0].requires_grad:
        return None
    gradients = torch.autograd.grad(kept[0], [outputs[c.name] for c in candidates], allow_unused=True)
    for candidate, gradient in zip(reversed(candidates), reversed(gradients), strict=True):
        grid = None if gradient is None else grid_at(module, candidate.name, gradient, picture_of(x))
        if gradient is not None and grid is not None and grid.read(gradient).any():
            return candidate.name
    return None
