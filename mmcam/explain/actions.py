"""From a policy's choice to an Explanation: why this action, why rather than that one, why is the state worth so much?

Stacked frames need one line:

```python
frames = np.stack(last_four)                                    # (4,84,84) uint8, the newest last
mmcam.explain_action(policy, frames)                            # a policy that scales its bytes itself
mmcam.explain_action(policy, torch.from_numpy(frames) / 255)    # one that takes floats
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.explain.explained import How, Layers, explanations
from mmcam.explanation import Explanation, Explanations
from mmcam.image import PictureLike
from mmcam.methods.registry import Fusion
from mmcam.tasks import policy as task
from mmcam.tasks.names import Names
from mmcam.tasks.observation import observe
from mmcam.tasks.policy import Action


@overload
def explain_action(
    policy: nn.Module,
    images: PictureLike,
    action: Action | None = None,
    *,
    score: str = "action",
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanation: ...
@overload
def explain_action(
    policy: nn.Module,
    images: PictureLike,
    action: Sequence[Action | None],
    *,
    score: str = "action",
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanations[Explanation]: ...
@overload
def explain_action(
    policy: nn.Module,
    images: Sequence[PictureLike],
    action: Action | Sequence[Action | None] | None = None,
    *,
    score: str = "action",
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
    method: str = "gradcam",
    preprocess: Any = None,
    call: int | None = None,
    **options: Any,
) -> Explanations[Explanation]: ...
@torch.inference_mode(False)  # tensors made in inference mode cannot be recorded
def explain_action(
    policy: nn.Module,
    images: Any,
    action: Any = None,
    *,
    score: str = "action",
    contrast: int | str | None = None,
    names: Names | None = None,
    layer: Layers = None,
    fuse: Fusion = "max",
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
        names: of the actions, as many as there are, in any form that `explain_class` takes; default the policy's
            ``actions``.
        preprocess: a function from one observation to the float tensor (C,H,W) the policy takes, e.g.
            ``lambda frames: torch.from_numpy(frames) / 255``, or a `mmcam.Preprocess` for pictures; default the
            policy's ``preprocess``, else nothing.
        layer, fuse, method, call, options: as in `mmcam.attribute`. By default the last spatial layer the score
            depends on: an actor and a critic may have encoders of their own.

    Returns:
        An Explanation, whose picture is the newest frame; a list where several observations or actions were given.

    Raises:
        ExplainError: unknown action (with close matches) or layer; a score the policy does not give; not one action an
            observation; not as many names as actions.
        PictureError: an observation that cannot be used.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(4, 8, 8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 400, 3))
        >>> frames = np.zeros((4, 84, 84), np.uint8)
        >>> mmcam.explain_action(net, frames, "left", names=("left", "stay", "right"))
    """
    task.check_score(score, action, contrast)
    module = unwrap(policy)
    batch = observe(module, images, preprocess)
    known = names if names is not None else getattr(module, "actions", None)
    asked = task.ask(module, batch, action, contrast, known, score)
    return explanations(asked, How(layer, method, call, options, fuse)).as_listed()
