"""Models of the transformers library as mmcam's tasks take them, one small module a family.

Nothing here imports transformers: a model and its processor come from the user, who has imported it.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from torch import nn

from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError

CLASSIFIERS = "ForImageClassification"
"""How the names of image classifiers end."""

FAMILIES = {
    CLASSIFIERS: "classifier",
    "DeiTForImageClassificationWithTeacher": "classifier",
    "VisionEncoderDecoderModel": "encoder_decoder",
    "BlipForConditionalGeneration": "blip",
    "BlipForQuestionAnswering": "blip",
    "BlipForImageTextRetrieval": "blip",
    "GitForCausalLM": "git",
    "Pix2StructForConditionalGeneration": "pix2struct",
    "ViltForQuestionAnswering": "vilt",
    "CLIPModel": "similarity",
    "ChineseCLIPModel": "similarity",
    "SiglipModel": "similarity",
    "Siglip2Model": "similarity",
    "AlignModel": "similarity",
    "Blip2ForConditionalGeneration": "generative",
    "LlavaForConditionalGeneration": "generative",
    "PaliGemmaForConditionalGeneration": "generative",
    "Idefics3ForConditionalGeneration": "generative",
    "InternVLForConditionalGeneration": "generative",
    "Qwen2VLForConditionalGeneration": "qwen",
    "Qwen2_5_VLForConditionalGeneration": "qwen",
}
"""The module of this package that adapts a class, by the class's name; each has a function ``adapt``."""


def wrap(model: Any, processor: Any = None) -> nn.Module:
    """A transformers model as the explain functions take it: a classifier, captioner, VQA model or similarity.

    The layer that is explained by default, the order of its tokens, and the way back to the picture's pixels are those
    of the model's family. The model itself is not changed, and lives on inside the result, as ``.model``.

    Args:
        model: a transformers model, also a compiled or parallel one, or a pipeline, which brings its processor along.
        processor: its own: what ``AutoProcessor.from_pretrained`` gives, or an image processor for classifiers.

    Raises:
        ExplainError: a model of another family, or no processor.
    """
    if processor is None and hasattr(model, "preprocess") and hasattr(model, "model"):  # a pipeline
        model, processor = model.model, _processor_of(model)
    if isinstance(model, nn.Module):
        model = unwrap(model)
    if processor is None:
        raise ExplainError(
            f"{type(model).__name__} needs its processor: mmcam.wrap(model, AutoProcessor.from_pretrained(…))."
        )
    name = type(model).__name__
    family = FAMILIES.get(CLASSIFIERS if name.endswith(CLASSIFIERS) else name)
    if family is None:
        raise ExplainError(
            f"There is no adapter for {name}; there are some for image classifiers, {', '.join(_known())}. Any module "
            "can be explained with explain_class, a target function and layer=."
        )
    adapted: nn.Module = importlib.import_module(f"mmcam.adapters.transformers.{family}").adapt(model, processor)
    adapted.training = model.training  # of the new module alone: a part of the model may be in another mode
    return adapted


def _known() -> list[str]:
    """The families' names, without what their models are for."""
    names = [re.sub("(For[A-Z]|Model$).*", "", name) for name, family in FAMILIES.items() if family != "classifier"]
    return list(dict.fromkeys(names))


def _processor_of(pipeline: Any) -> Any:
    """A pipeline's processor, or its image processor with its tokenizer as attributes of one."""
    whole = getattr(pipeline, "processor", None)
    return whole if whole is not None else Parts(pipeline.image_processor, getattr(pipeline, "tokenizer", None))


class Parts:
    """An image processor and a tokenizer that were handed over separately."""

    def __init__(self, image_processor: Any, tokenizer: Any = None) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
