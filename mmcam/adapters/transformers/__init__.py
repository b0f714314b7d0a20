"""Models of the transformers library as mmcam's tasks take them, one small module a family.

Nothing here imports transformers: a model and its processor come from the user, who has imported it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import nn

from mmcam.adapters.transformers.blip import BlipAnswerer, BlipCaptioner, BlipMatcher
from mmcam.adapters.transformers.classifier import Classifier
from mmcam.adapters.transformers.detection import QueryDetector
from mmcam.adapters.transformers.encoder_decoder import EncoderDecoder
from mmcam.adapters.transformers.generative import Blip2, Llava, PaliGemma
from mmcam.adapters.transformers.git import GitCaptioner
from mmcam.adapters.transformers.pix2struct import Pix2Struct
from mmcam.adapters.transformers.qwen import Qwen
from mmcam.adapters.transformers.segmentation import DepthEstimator, Segmenter
from mmcam.adapters.transformers.similarity import Similarity
from mmcam.adapters.transformers.structure.adapter import Structural
from mmcam.adapters.transformers.vilt import Vilt
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError

KINDS: dict[str, Callable[[Any, Any], nn.Module]] = {
    "ForImageClassification": Classifier,
    "ForSemanticSegmentation": Segmenter,
    "ForInstanceSegmentation": Segmenter,
    "ForUniversalSegmentation": Segmenter,
    "ForObjectDetection": QueryDetector,
    "ForDepthEstimation": DepthEstimator,
}
"""The adapter of a task, by how the names of its classes end."""

FAMILIES: dict[str, Callable[[Any, Any], nn.Module]] = {
    "DeiTForImageClassificationWithTeacher": Classifier,
    "VisionEncoderDecoderModel": EncoderDecoder,
    "BlipForConditionalGeneration": BlipCaptioner,
    "BlipForQuestionAnswering": BlipAnswerer,
    "BlipForImageTextRetrieval": BlipMatcher,
    "GitForCausalLM": GitCaptioner,
    "Pix2StructForConditionalGeneration": Pix2Struct,
    "ViltForQuestionAnswering": Vilt,
    "CLIPModel": Similarity,
    "ChineseCLIPModel": Similarity,
    "SiglipModel": Similarity,
    "Siglip2Model": Similarity,
    "AlignModel": Similarity,
    "Blip2ForConditionalGeneration": Blip2,
    "LlavaForConditionalGeneration": Llava,
    "PaliGemmaForConditionalGeneration": PaliGemma,
    "Qwen2VLForConditionalGeneration": Qwen,
    "Qwen2_5_VLForConditionalGeneration": Qwen,
}
"""The adapter of a class, by the class's name: a module made of a model and its processor."""


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
    model = _inside(model)
    if processor is None:
        raise ExplainError(
            f"{type(model).__name__} needs its processor: mmcam.wrap(model, AutoProcessor.from_pretrained(…))."
        )
    adapter = _adapter_of(type(model)) or (Structural if _writes_of_pictures(model, processor) else None)
    if adapter is None:
        raise ExplainError(
            f"There is no adapter for {type(model).__name__}; there are some for image classifiers, networks "
            f"that segment, detect or estimate depth, "
            f"{', '.join(_known())}. Any module can be explained with explain_class, a target function and layer=."
        )
    adapted = adapter(model, processor)
    adapted.training = model.training  # of the new module alone: a part of the model may be in another mode
    return adapted


def _inside(model: Any) -> Any:
    """The model inside compiled, parallel and PEFT wrappers.

    Raises:
        ExplainError: PEFT's wrapper holds a learned prompt, which the model inside would be run without.
    """
    while isinstance(model, nn.Module):
        model = unwrap(model)
        if not (hasattr(model, "peft_config") and hasattr(model, "get_base_model")):
            break
        if any(getattr(config, "is_prompt_learning", False) for config in model.peft_config.values()):
            raise ExplainError(
                f"{type(model).__name__} puts a learned prompt before its text, which no adapter knows; drop it."
            )
        model = model.get_base_model()  # with the adapters' layers in it
    return model


def _adapter_of(kind: type) -> Callable[[Any, Any], nn.Module] | None:
    """The adapter of a class, or of the library's class that a user's own is derived from.

    The search ends at the first class of the library: one that it derives from another may be built differently.
    """
    for base in kind.__mro__:
        if base.__name__ in FAMILIES:
            return FAMILIES[base.__name__]
        for ending, adapter in KINDS.items():
            if base.__name__.endswith(ending):
                return adapter
        if base.__module__.startswith("transformers."):
            return None
    return None


def _writes_of_pictures(model: Any, processor: Any) -> bool:
    """A model of the library that writes texts, with a processor of pictures and texts."""
    library = next((b.__module__ for b in type(model).__mro__ if b.__module__.startswith("transformers.")), "")
    ours = library.startswith("transformers.models.")
    both = all(getattr(processor, part, None) is not None for part in ("image_processor", "tokenizer"))
    return ours and both and callable(getattr(model, "generate", None))


def _known() -> list[str]:
    """The families' names, without what their models are for."""
    names = [re.sub("(For[A-Z]|Model$).*", "", name) for name, adapter in FAMILIES.items() if adapter is not Classifier]
    return list(dict.fromkeys(names))


def _processor_of(pipeline: Any) -> Any:
    """A pipeline's processor, or its image processor with its tokenizer as attributes of one."""
    whole = getattr(pipeline, "processor", None)
    return whole if whole is not None else Parts(pipeline.image_processor, getattr(pipeline, "tokenizer", None))


class Parts:
    """An image processor and a tokenizer that were handed over separately."""

    def __init__(self, image_processor: Any, tokenizer: Any = None) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
