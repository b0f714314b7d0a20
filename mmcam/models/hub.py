"""Models of the transformers library with their processor: from the hub, or from a folder."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmcam.adapters.transformers import Parts, wrap
from mmcam.errors import ExplainError


def from_transformers(name: str) -> nn.Module:
    """A transformers model with its processor.

    Args:
        name: of the hub, from which it is downloaded, or a folder that ``save_pretrained`` wrote.

    Raises:
        ExplainError: neither, or of a kind that transformers does not know.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(name)
        kind = (config.architectures or [""])[0]
        if not hasattr(transformers, kind):
            raise ExplainError(
                f"{name} is a {kind or 'model of no named kind'}, unknown to this transformers; update it."
            )
        model = getattr(transformers, kind).from_pretrained(name)
        return wrap(model, _processor(name))
    except (OSError, ValueError) as error:
        if isinstance(error, ExplainError):
            raise
        first = str(error).strip().splitlines()[0]
        raise ExplainError(
            f"{name} cannot be loaded ({first}); name a model of the hub, or a folder that the save_pretrained of both "
            "the model and its processor wrote."
        ) from error


def _processor(name: str) -> Any:
    """The processor; of an older captioner, which has none as a whole, its parts."""
    import transformers

    library: Any = transformers  # its classes lack types
    whole = library.AutoProcessor.from_pretrained(name)
    if hasattr(whole, "image_processor"):
        return whole
    pictures = library.AutoImageProcessor.from_pretrained(name)
    try:
        return Parts(pictures, library.AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError):  # a classifier has no tokenizer
        return pictures
