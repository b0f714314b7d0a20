"""Tiny random ViLT, CLIP, Chinese-CLIP, SigLIP and ALIGN with real processors, built without a network.

All enlarge by whole numbers and take the nearest pixel, so a block painted into a picture is a block of the input.
"""

import functools
import string
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

NEAREST = 0
GREY = (128 / 255,) * 3, (0.25,) * 3  # mean and deviation by which mid grey becomes zero
TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = "a is the what colour of dog cat grass red green yes no on it there ball near ? [MASK]"
TEXTS = ["a red ball near the dog", "green grass", "the cat is on it"]


@functools.cache
def wordpiece() -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return BertTokenizer(vocab={word: i for i, word in enumerate(dict.fromkeys([*special, *WORDS.split()]))})


@functools.cache
def letters() -> Any:
    """CLIP's tokenizer without merges: every letter is a token, and one at a word's end another."""
    from transformers import CLIPTokenizer

    vocab = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(vocab)}, merges=[])


def drawn(model: nn.Module, seed: int = 0, spread: float = 0.3) -> Any:
    """The model in eval mode with larger weights than transformers draws, so that attention and signs vary."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.rpartition(".")[2] in ("logit_scale", "logit_bias", "temperature"):
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 4:  # convolutions keep the size of what goes through them
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            elif parameter.ndim > 1:
                parameter.copy_(noise * spread)
            else:
                parameter.add_(noise * 0.1)
    return model.eval()


def fitted(model: nn.Module, sides: tuple[int, int] = (32, 64)) -> Any:
    """The model with batch-norm statistics of its vision side that fit its weights, so that no signal dies."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        seen = torch.randn(16, 3, *sides, generator=torch.Generator().manual_seed(0))
        getattr(model, "vision_model", model)(pixel_values=seen)
    return model.eval()


def vilt(**config: Any) -> tuple[Any, Any]:
    import transformers as hf

    answers = dict(enumerate(["yes", "no", "red", "green", "two"]))
    settings = TOWER | {"image_size": 32, "patch_size": 8, "max_position_embeddings": 16, "modality_type_vocab_size": 2}
    settings |= {"vocab_size": len(wordpiece()), "id2label": answers, "label2id": {v: k for k, v in answers.items()}}
    mean, std = GREY
    maker = hf.ViltImageProcessor(
        size={"shortest_edge": 35}, size_divisor=8, resample=NEAREST, image_mean=mean, image_std=std
    )
    model = hf.ViltForQuestionAnswering(hf.ViltConfig(**(settings | config)))
    return drawn(model), hf.ViltProcessor(maker, wordpiece())


def _cropped(kind: Any) -> Any:
    mean, std = GREY
    crop = {"height": 32, "width": 32}
    return kind(size={"shortest_edge": 32}, crop_size=crop, resample=NEAREST, image_mean=mean, image_std=std)


VISION = TOWER | {"image_size": 32, "patch_size": 8}


def clip() -> tuple[Any, Any]:
    import transformers as hf

    token = letters()
    ends = {"bos_token_id": token.bos_token_id, "eos_token_id": token.eos_token_id, "pad_token_id": token.pad_token_id}
    text = TOWER | ends | {"vocab_size": len(token), "max_position_embeddings": 32}
    config = hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    return drawn(hf.CLIPModel(config)), hf.CLIPProcessor(_cropped(hf.CLIPImageProcessor), token)


def chinese_clip() -> tuple[Any, Any]:
    import transformers as hf

    text = TOWER | {"vocab_size": len(wordpiece()), "max_position_embeddings": 16}
    config = hf.ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)
    model = drawn(hf.ChineseCLIPModel(config))
    return model, hf.ChineseCLIPProcessor(_cropped(hf.ChineseCLIPImageProcessor), wordpiece())


def siglip() -> tuple[Any, Any]:
    import transformers as hf

    mean, std = GREY
    text = TOWER | {"vocab_size": len(wordpiece()), "max_position_embeddings": 16, "projection_size": 16}
    model = drawn(hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=VISION)))
    with torch.no_grad():
        model.logit_scale.fill_(1.5)
        model.logit_bias.fill_(-2.5)
    size = {"height": 32, "width": 32}
    maker = hf.SiglipImageProcessor(size=size, resample=NEAREST, image_mean=mean, image_std=std)
    return model, hf.SiglipProcessor(maker, wordpiece())


def align() -> tuple[Any, Any]:
    import transformers as hf

    vision = {"image_size": 64, "width_coefficient": 1.0, "depth_coefficient": 1.0, "kernel_sizes": [3, 5, 3]}
    vision |= {"in_channels": [32, 16, 16], "out_channels": [16, 16, 24], "depthwise_padding": [], "strides": [1, 2, 2]}
    vision |= {"num_block_repeats": [1, 1, 1], "expand_ratios": [1, 2, 2], "hidden_dim": 64}
    text = TOWER | {"vocab_size": len(wordpiece()), "max_position_embeddings": 16}
    model = fitted(drawn(hf.AlignModel(hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=24))))
    # as the released one: squashed, cut, and brought to -1..1
    maker = hf.EfficientNetImageProcessor(
        size={"height": 48, "width": 80}, crop_size={"height": 32, "width": 64}, do_center_crop=True, resample=NEAREST,
        rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False, include_top=False,
    )  # fmt: skip
    return model, hf.AlignProcessor(maker, wordpiece())


SIMILAR = {"clip": clip, "chinese_clip": chinese_clip, "siglip": siglip, "align": align}


def without_positions(model: nn.Module) -> nn.Module:
    """Nothing tells one place from another any more: equal patches give equal tokens, wherever they lie."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "position" in name:
                parameter.zero_()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            pointwise(module)
    return model


def pointwise(convolution: nn.Conv2d) -> None:
    """Leave the middle of a kernel that looks over its stride, so that no picture's border shows in its output."""
    k, weight = convolution.kernel_size[0], convolution.weight
    if k > convolution.stride[0]:
        with torch.no_grad():
            middle = weight[:, :, k // 2, k // 2].clone()
            weight.zero_()
            weight[:, :, k // 2, k // 2] = middle * k


def photo(h: int, w: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8))


def grey_but(h: int, w: int, rows: slice, columns: slice, colour: tuple[int, int, int] = (250, 20, 90)) -> Image.Image:
    """A grey picture with one block painted."""
    pixels = np.full((h, w, 3), 128, dtype=np.uint8)
    pixels[rows, columns] = colour
    return Image.fromarray(pixels)
