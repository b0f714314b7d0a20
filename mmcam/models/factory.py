"""A model that a person's own function makes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from torch import nn

from mmcam.errors import ExplainError


def from_factory(module: str, name: str, weights: Path | None) -> nn.Module:
    """What a function returns.

    Args:
        module: importable, or a file of the current folder.
        name: of the function.
        weights: its one argument, if given.

    Raises:
        ExplainError: no such module or function, or it returned no module.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ExplainError(f"There is no module {error.name!r} to import; start where {module}.py lies.") from error
    except AttributeError as error:
        raise ExplainError(f"The module {module!r} has no {name!r}; name a function that returns the model.") from error
    except (Exception, SystemExit) as error:  # a person's own code
        raise ExplainError(f"The module {module!r} cannot be imported ({_first(error)}); mend it.") from error
    finally:
        sys.path.pop(0)
    if not callable(factory):
        raise ExplainError(f"{module}:{name} is {type(factory).__name__}; name a function that returns the model.")
    try:
        model: object = factory(weights) if weights is not None else factory()
    except (Exception, SystemExit) as error:
        given = "the weights file" if weights is not None else "no argument"
        raise ExplainError(f"{module}:{name} failed, called with {given} ({_first(error)}); mend it.") from error
    if not isinstance(model, nn.Module):
        raise ExplainError(f"{module}:{name} gave {type(model).__name__}; it has to return a torch.nn.Module.")
    return model


def _first(error: BaseException) -> str:
    """The kind of an error and its first line."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
