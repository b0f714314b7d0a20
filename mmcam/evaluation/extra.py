"""The packages that only some metrics need: the extra "metrics"."""

from __future__ import annotations

import importlib
from typing import Any

from mmcam.errors import ExplainError


def metrics_module(name: str, needs: str) -> Any:
    """A module of the extra, imported on use.

    Args:
        name: of the module.
        needs: who needs which package, the beginning of the sentence if it is missing: "GrabCut needs OpenCV".

    Raises:
        ExplainError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExplainError(
            f'{needs}, which is not installed; pip install "mmcam[metrics]", or pip install -e ".[metrics]" in a '
            "checkout."
        ) from error
