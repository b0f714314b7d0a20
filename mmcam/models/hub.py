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
        # Said aloud, as transformers else asks at the terminal whether code that lies beside the weights may run.
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        kind = next(iter(config.architectures or []), None)
        found = getattr(transformers, kind, None) if isinstance(kind, str) else None
        if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
            raise ExplainError(
                f"{name} is a {kind or 'model of no named kind'}, unknown to this transformers; update it."
            )
        model: nn.Module = found.from_pretrained(name)
        return wrap(model, _processor(name))
    except ExplainError:
        raise
    except Exception as error:  # a broken config.json raises whatever transformers' code trips over
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        raise ExplainError(
            f"{name} cannot be loaded ({first}); name a model of the hub, or a folder that the save_pretrained of both "
            "the model and its processor wrote."
        ) from error


def _processor(name: str) -> Any:
    """The processor; of an older captioner, which has none as a whole, its parts."""
    import transformers

    library: Any = transformers  # its classes lack types
    whole = library.AutoProcessor.from_pretrained(name, trust_remote_code=False)
    if hasattr(whole, "image_processor"):
        return whole
    pictures = library.AutoImageProcessor.from_pretrained(name)
    try:
        return Parts(pictures, library.AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError):  # a classifier has no tokenizer
        return pictures
