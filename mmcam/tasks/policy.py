"""Policies: what a reinforcement-learning policy makes of an observation, and its choices as targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Distribution

from mmcam.engine.computation import Computation
from mmcam.engine.outputs import Target, score_of
from mmcam.engine.rows import Rows
from mmcam.errors import ExplainError
from mmcam.image import Batch
from mmcam.tasks.asked import Asked, Label, both_are, quoted, titled
from mmcam.tasks.classification import index_target
from mmcam.tasks.names import Names, as_many, named, nearest, short
from mmcam.tasks.targets import called, is_list, single, spread

SCORES = {
    "action": "the logit of an action",
    "value": "the value of the state",
    "q": "the Q-value of an action",
}
"""What can be explained of a policy."""

_FIELDS = {
    "logits": ("logits", "distribution", "dist", "pi"),
    "value": ("value", "values", "state_value"),
    "q": ("q", "q_values", "action_value"),
}

Action = int | str | Callable[[Any], Tensor]
"""An action by index or name, or any function from the policy's output to N scores."""


@runtime_checkable
class Policy(Protocol):
    """What a policy is: an ``nn.Module`` from observations (N,C,H,W) to what it thinks of the actions.

    It gives the actions' logits or Q-values (N,A); a tuple (logits, value); a mapping, or an object with attributes,
    that holds "logits", "value" (N,) or (N,1), "q" (N,A); or a ``torch.distributions.Categorical``, alone or in place
    of the logits. (A Categorical normalises its logits: they are log-probabilities then.)

    Optional: ``actions``, the names of the actions in order; ``preprocess``, a `mmcam.Preprocess` for pictures or a
    function from one observation to the float tensor (C,H,W) that the policy takes.
    """

    def __call__(self, x: Tensor) -> Any:
        """Observations (N,C,H,W) → logits, value, Q-values."""


def ask(policy: Any, batch: Batch, action: Any, contrast: int | str | None, names: Names | None, score: str) -> Asked:
    """Which part of each observation made a policy choose an action, or think the state worth what it does.

    Args:
        policy: whose output `thoughts` reads.
        batch: the observations.
        action, contrast, score: see `mmcam.explain_action`.
        names: of the actions; None where nothing is known.

    Raises:
        ExplainError: unknown action; a score the policy does not give; not one action an observation; not as many names
            as actions.
    """
    check_score(score, action, contrast)
    known = named(names, "action")
    rows, listed = _rows(action, batch)
    against = None if contrast is None else action_index(contrast, known)
    columns: list[list[Any]] = [[row[t] for row in rows] for t in range(len(rows[0]))]
    functions = any(callable(wanted) for row in rows for wanted in row)
    greedy: list[Tensor] = []
    if functions:
        if against is not None or not all(callable(wanted) for row in rows for wanted in row):
            raise ExplainError("A function as action stands alone: no contrast=, and no other actions beside it.")
        targets = [_function_column(column) for column in columns]
    elif score == "value":
        targets = [value_target()]
    else:
        columns = [[None if a is None else action_index(a, known) for a in column] for column in columns]
        targets = [action_target(column, score, against, greedy, known) for column in columns]

    def forward(x: Tensor, rows: Rows) -> Any:
        output = policy(x)
        # A Categorical hides its rows from the engine, so only tensors are handed on.
        return output if functions else thoughts(output)

    other = None if against is None else action_name(against, known)

    def label(t: int, n: int, value: float) -> Label:
        wanted = columns[t][n]
        if callable(wanted):
            return Label(called(wanted), f"“{called(wanted)}” is as high as it is")
        if score == "value":
            return Label("value", "It rates the state as it does", scored="value")
        name = action_name(int(greedy[0][n]) if wanted is None else wanted, known)
        if score == "q":
            return Label(f"Q of {titled(name, other)}", f"It rates {quoted(name, other)} as it does", scored="q")
        return Label(titled(name, other), f"It chooses {quoted(name, other)}", scored="action")

    computation = Computation(policy, forward, batch.x, targets)
    return Asked(batch, computation, label, [range(len(columns))] * len(rows), [listed] * len(rows))


def check_score(score: str, action: Any, contrast: Any) -> None:
    """Raise ExplainError unless a policy's output may hold the score and it goes with what is asked."""
    if score not in SCORES:
        raise ExplainError(f"There is no score {score!r} of a policy; choose one of {', '.join(SCORES)}.")
    if score == "value" and (action is not None or contrast is not None):
        raise ExplainError("The value belongs to the state, not to an action; leave action= and contrast= out.")


def thoughts(output: Any) -> dict[str, Tensor]:
    """What a policy's output says, by name: "logits" (N,A), "q" (N,A), "value" (N,), those of them it holds.

    A tensor alone may be meant as logits or as Q-values, so it stands under both names.

    Raises:
        ExplainError: none of them is there, or one is of another shape.
    """
    found: dict[str, Any] = {}
    if isinstance(output, Tensor):
        found = {"logits": output, "q": output}
    elif isinstance(output, Distribution):
        found = {"logits": output}
    else:
        mapping = isinstance(output, Mapping) or (hasattr(output, "keys") and hasattr(output, "__getitem__"))
        keys = set(output.keys()) if mapping else set()
        for name, fields in _FIELDS.items():
            for field in fields:
                part = output[field] if field in keys else None if mapping else getattr(output, field, None)
                if isinstance(part, (Tensor, Distribution)):
                    found.setdefault(name, part)
        if not found and isinstance(output, (tuple, list)):
            found = dict(zip(("logits", "value"), output, strict=False))
    if not found:
        raise ExplainError(
            f"A policy gives logits (N,A), a tuple (logits, value), a mapping with “logits”, “value” or “q”, or a "
            f"Categorical; this one gives {type(output).__name__}. Pass a function output → (N,) as action."
        )
    return {name: _checked(name, part) for name, part in found.items() if name != "value" or isinstance(part, Tensor)}


def _checked(name: str, part: Any) -> Tensor:
    """One thought as a tensor of its shape."""
    part = getattr(part, "logits", part) if isinstance(part, Distribution) else part
    if not isinstance(part, Tensor) or not part.is_floating_point():
        form = f"a tensor of {part.dtype}" if isinstance(part, Tensor) else type(part).__name__
        raise ExplainError(
            f"The {name} of a policy are a float tensor; these are {form}, perhaps actions already drawn: wrap the "
            "policy in a module that gives the logits they are drawn from."
        )
    if name == "value":
        if part.ndim == 2 and part.shape[1] == 1:
            part = part[:, 0]
        if part.ndim != 1:
            raise ExplainError(f"The value of a policy has shape (N,) or (N,1); this one is {tuple(part.shape)}.")
    elif part.ndim != 2 or part.shape[1] < 2:
        raise ExplainError(
            f"The {name} of a policy have shape (N,A) with an entry for each of two or more actions; these are "
            f"{tuple(part.shape)}."
        )
    tensor: Tensor = part
    return tensor


def value_target() -> Target:
    """The value of the state, (N,), from `thoughts`."""

    def score(output: Mapping[str, Tensor]) -> Tensor:
        return _of(output, "value")

    return score


def action_target(
    actions: Sequence[int | None], score: str, contrast: int | None, greedy: list[Tensor], known: Sequence[str] | None
) -> Target:
    """The logit or Q-value of one action for each of N observations, or its lead over another action's.

    Args:
        actions: by index; None for the greedy one, which the first output decides.
        score: "action" or "q".
        contrast: the other action.
        greedy: the greedy actions (N,) are put here.
        known: names of the actions, for messages.
    """

    def rated(output: Mapping[str, Tensor]) -> Tensor:
        # A network that gives Q-values only chooses by them.
        return _of(output, "q" if score == "q" or "logits" not in output else "logits")

    def target(output: Mapping[str, Tensor]) -> Tensor:
        scores = rated(output)
        count = scores.shape[1]
        if known is not None:
            as_many(known, count, "action")
        for index in (*actions, contrast):
            if index is not None and not -count <= index < count:
                raise ExplainError(f"There is no action {short(index)}: the policy has actions 0…{count - 1}.")
        if not greedy:
            greedy.append(scores.detach().argmax(1))
        chosen = [int(best) if index is None else index for index, best in zip(actions, greedy[0], strict=True)]
        wanted = index_target(chosen)(scores)
        if contrast is None:
            return wanted
        if any(index % count == contrast % count for index in chosen):
            raise both_are("action", action_name(contrast % count, known))
        return wanted - index_target(contrast)(scores)

    return target


def _of(output: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in output:
        raise ExplainError(f"The policy gives no {name}, only {' and '.join(output)}; ask with another score=.")
    return output[name]


def action_index(action: Any, names: Sequence[str] | None) -> int:
    """An action by name or index.

    Raises:
        ExplainError: unknown (with the closest names), or of another type.
    """
    checked = single(action, "action", function=False)
    if isinstance(checked, str):
        if names is None:
            raise ExplainError(
                f"The actions of this policy have no names, so {short(checked)} cannot be found; pass names=."
            )
        return nearest(checked, names, "action")
    index: int = checked
    return index


def action_name(index: int, names: Sequence[str] | None) -> str:
    """What an action is called."""
    return names[index] if names is not None and -len(names) <= index < len(names) else f"action {index}"


def _rows(action: Any, batch: Batch) -> tuple[list[list[Any]], bool]:
    """The actions asked for each observation, and whether one observation was given a list of them."""
    action = spread(action)
    listed = is_list(action)
    each = list(action) if listed else [action] * len(batch.pictures)
    if not each:
        raise ExplainError("There is no action in the list; pass at least one.")
    one = {id(wanted): single(wanted, "action") for wanted in each}  # a function is guarded once
    each = [one[id(wanted)] for wanted in each]
    if batch.single:
        return [each], listed
    if len(each) != len(batch.pictures):
        raise ExplainError(f"There are {len(batch.pictures)} observations and {len(each)} actions; give one each.")
    return [[wanted] for wanted in each], False


def _function_column(column: Sequence[Target]) -> Target:
    """One target for N observations, each with a function of its own."""
    if all(function is column[0] for function in column):
        return column[0]
    n = len(column)
    return lambda output: torch.stack([score_of(function, output, n)[i] for i, function in enumerate(column)])
