"""A tiny random model of any family of `AutoModelForImageTextToText`, with its real processor, from nothing.

The family's own configuration is taken and its numbers made small by their names, the tokenizer learns a few sentences
and knows all the special tokens that processors ask for; what a family needs besides stands in `families`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import nn

from experiments.lib.vlm.parts import MEAN, STD, seeded, tokenizer, written
from experiments.lib.vlm.small import PLAIN, SMALL, TEMPLATE, TOKENS


@dataclass(frozen=True)
class Recipe:
    """What a family needs besides what all do.

    Attributes:
        config: of its configuration, nested; laid over the small one.
        maker: of its image processor.
        processor: of its processor.
        place: what stands for the picture in a prompt; "" for the processor's own ``image_token``.
        names: of special tokens, where they differ; "" for one that the tokenizer does not know.
        ids: the tokens whose numbers stand in the configuration, by their names there.
        text: the prompt where there is no chat template: None to have one.
        change: of the model, once it is built.
        size: (width, height) of the picture it is tried on.
        blanks: the tokenizer is of the kind that writes a blank before every text.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    maker: Mapping[str, Any] = field(default_factory=dict)
    processor: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    template: bool = True
    change: Callable[[Any], None] | None = None
    size: tuple[int, int] = (64, 48)
    begin: bool = False
    maker_class: str = ""
    processor_class: str = ""


def build(kind: str, recipe: Recipe = Recipe()) -> tuple[Any, Any]:
    """A model type's tiny model and its processor."""
    import transformers as hf
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MODELS

    named: dict[str, Any] = {name: text for name, text in {**TOKENS, **recipe.names}.items() if text}
    token = tokenizer(*PLAIN, begin=recipe.begin, **named)
    processor = _processor(kind, recipe, token)
    place = recipe.place or str(getattr(processor, "image_token", "<image>"))
    if recipe.template:
        processor.chat_template = TEMPLATE.replace("PLACE", place)
    made = CONFIG_MAPPING[kind]
    small = _numbered(_small(made().to_dict(), token, processor), recipe.ids, token)
    config = made(**_laid_over(small, recipe.config))
    model = seeded(lambda: getattr(hf, MODELS[kind])(config))
    if recipe.change is not None:
        recipe.change(model)
    _awake(model)
    return written(model, token), processor


def _small(given: Mapping[str, Any], token: Any, processor: Any) -> dict[str, Any]:
    """A configuration with small numbers, and the tokenizer's."""
    made: dict[str, Any] = {}
    layers = 2
    for name, value in given.items():
        if name in (
            "transformers_version",
            "architectures",
            "dtype",
            "torch_dtype",
            "quantization_config",
            "per_layer_config",
        ):
            continue
        if isinstance(value, Mapping) and (name.endswith("config") or "model_type" in value):
            made[name] = _small(value, token, processor)
        elif name == "vocab_size" and isinstance(value, int):
            made[name] = len(token)
        elif name in SMALL and value is not None and not isinstance(value, str):
            many = isinstance(value, (list, tuple)) and not isinstance(SMALL[name], list)
            made[name] = [SMALL[name]] * len(value) if many else SMALL[name]
        elif name.endswith("layer_types") and isinstance(value, (list, tuple)):
            made[name] = [*dict.fromkeys(value), *value][:layers]
        elif name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            made[name] = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}[name]
        elif name.endswith(("_token_id", "_token_index")) and isinstance(value, int):
            made[name] = _id_of(name, token, processor)
        elif name == "mrope_section":
            made[name] = [1, 1, 2]
        elif name in ("rope_parameters", "rope_scaling") and isinstance(value, Mapping):
            made[name] = _rope(value)
        else:
            made[name] = value
    return made


def _numbered(given: Mapping[str, Any], ids: Mapping[str, str], token: Any) -> dict[str, Any]:
    made = {n: _numbered(v, ids, token) if isinstance(v, Mapping) else v for n, v in given.items()}
    return {**made, **{n: token.convert_tokens_to_ids(text) for n, text in ids.items() if n in made}}


def _rope(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [1, 1, 2] if name == "mrope_section" else _rope(value) if isinstance(value, Mapping) else value
        for name, value in given.items()
    }


def _id_of(name: str, token: Any, processor: Any) -> int:
    """The number of the special token that a configuration names."""
    kind = name.rpartition("_token_")[0]
    own = getattr(processor, f"{kind}_token_id", None)
    if isinstance(own, int):
        return own
    text = getattr(processor, f"{kind}_token", None) or TOKENS.get(f"{kind}_token", f"<{kind}>")
    found = token.convert_tokens_to_ids(str(text))
    return int(found) if isinstance(found, int) and found != token.unk_token_id else 0


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for name, value in above.items():
        both = isinstance(value, Mapping) and isinstance(made.get(name), Mapping)
        made[name] = _laid_over(made[name], value) if both else value
    return made


def _processor(kind: str, recipe: Recipe, token: Any) -> Any:
    import transformers as hf

    makers, processors = _known("image_processing", "IMAGE_PROCESSOR"), _known("processing", "PROCESSOR")
    name: Any = recipe.maker_class
    if not name:
        found = makers.get(kind)
        name = (found.get("torchvision") or found.get("pil")) if isinstance(found, Mapping) else found
    maker_class = getattr(hf, name)
    maker = maker_class(**{**_maker_settings(maker_class), **recipe.maker})
    wanted = getattr(hf, recipe.processor_class or processors[kind])
    known = inspect.signature(wanted.__init__).parameters
    given: dict[str, Any] = {"image_processor": maker, "tokenizer": token}
    if "video_processor" in known:
        given["video_processor"] = _video_processor(kind)
    if "qformer_tokenizer" in known:
        given["qformer_tokenizer"] = token
    if "feature_extractor" in known:
        given["feature_extractor"] = _ears(kind)
    usual = {"patch_size": 8, "vision_feature_select_strategy": "default"}
    given |= {key: value for key, value in usual.items() if key in known}
    return wanted(**{**given, **recipe.processor})


def _video_processor(kind: str) -> Any:
    import transformers as hf

    found = _known("video_processing", "VIDEO_PROCESSOR").get(kind)
    name = (found.get("torchvision") or next(iter(found.values()))) if isinstance(found, Mapping) else found
    return getattr(hf, name or "Qwen2VLVideoProcessor")()


def _ears(kind: str) -> Any:
    """A feature extractor for sounds, which nobody plays."""
    import transformers as hf

    return getattr(hf, _known("feature_extraction", "FEATURE_EXTRACTOR").get(kind) or "WhisperFeatureExtractor")()


def _known(module: str, names: str) -> Any:
    """transformers' table of the classes of a kind, by type of model."""
    return getattr(import_module(f"transformers.models.auto.{module}_auto"), f"{names}_MAPPING_NAMES")


def _maker_settings(kind: Any) -> dict[str, Any]:
    """An image processor's sizes made small."""
    made: dict[str, Any] = {"image_mean": MEAN, "image_std": STD}
    size, crop = getattr(kind, "size", None), getattr(kind, "crop_size", None)
    if isinstance(size, Mapping):
        if "height" in size:
            made["size"] = {"height": 32, "width": 32}
        elif "longest_edge" in size and "shortest_edge" in size:
            made["size"] = {"shortest_edge": 64, "longest_edge": 4096}
        else:
            made["size"] = dict.fromkeys(size, 32)
    if isinstance(crop, Mapping):
        made["crop_size"] = {"height": 32, "width": 32}
    if isinstance(getattr(kind, "patch_size", None), int):
        made["patch_size"] = 4
    return made


def _awake(model: nn.Module) -> None:
    """Parameters that start at zero, as gates and projections do, say nothing; they get a value."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(std=0.2)
            elif "gate" in name and parameter.ndim == 1 and parameter.numel() == 1 and not parameter.any():
                parameter.fill_(0.5)
