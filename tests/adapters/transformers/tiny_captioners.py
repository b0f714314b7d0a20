"""Tiny random captioners of the transformers library with real processors and tokenizers, built without a network.

Each family is a `Family`: how to build it, and how transformers itself computes the logits, as a reference.
"""

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import mmcam

TEXTS = [
    "a dog runs on the red grass .",
    "a man in a t-shirt is playing , and the dog's ball is blue .",
    "what is on the grass ? a café with rock-and-roll 😀 and a boat",
    "is the cat playing in the park ? yes , no",
]
CAPTION = "a dog is playing in the park"
QUESTION = "what is on the grass ?"
MEAN, STD = (128 / 255,) * 3, (0.25,) * 3  # so that mid grey becomes zero, and zero says nothing


@functools.cache
def wordpiece() -> Any:
    """BERT's tokenizer, which BLIP and GIT use."""
    from transformers import BertTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    marks = ["-", "'", ".", ",", "?", "!", '"']
    whole = (
        "a dog man t shirt in the play is on grass red ball blue cat park boat what yes no rock and roll run cafe it"
    )
    parts = ["##ing", "##s", "s", "don", "o", "clock", "of", "says", "stop"]
    vocab = list(dict.fromkeys([*special, *marks, *whole.split(), *parts]))
    return BertTokenizerFast(vocab={word: i for i, word in enumerate(vocab)})


@functools.cache
def bytelevel() -> Any:
    """GPT-2's tokenizer, with merges learnt from a few sentences."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2TokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXTS * 4, vocab_size=330, min_frequency=2, show_progress=False)
    vocab = trained.get_vocab()
    vocab["<|endoftext|>"] = len(vocab)
    merges = [tuple(merge) for merge in json.loads(trained._tokenizer.to_str())["model"]["merges"]]
    return GPT2TokenizerFast(vocab=vocab, merges=merges)


@functools.cache
def sentencepiece() -> Any:
    """T5's kind of tokenizer, which Pix2Struct uses."""
    from transformers import T5TokenizerFast

    words = ["▁" + word for word in " ".join(TEXTS).replace("t-shirt", "t").replace("dog's", "dog").split()]
    parts = ["▁", "s", "t", "-", "shirt", "'", "ing", "▁play", ".", ",", "?", "!", "▁in", *"abcdefghijklmnopqruvwxyz"]
    pieces = dict.fromkeys([*words, *parts])
    scores = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", -20.0),
        *((piece, -float(len(pieces) ** 0.5)) for piece in pieces),
    ]
    return T5TokenizerFast(vocab=scores, extra_ids=0)


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


SIDE, PATCH = 32, 8
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"image_size": SIDE, "patch_size": PATCH, "initializer_range": 0.2}
TEXT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT |= {"max_position_embeddings": 40, "initializer_range": 0.2}
ENDLESS = {"min_length": 5, "max_length": 8}


def blip(name: str) -> tuple[Any, Any]:
    import transformers as hf

    token = wordpiece()
    ids = {"bos_token_id": len(token), "sep_token_id": token.sep_token_id, "pad_token_id": 0, "eos_token_id": 2}
    text = TEXT | ids | {"vocab_size": len(token) + 2, "encoder_hidden_size": 16}
    config = hf.BlipConfig(text_config=text, vision_config=VISION, image_text_hidden_size=8)
    model = seeded(lambda: getattr(hf, name)(config))
    if hasattr(model, "text_decoder"):
        model.text_decoder.generation_config.update(**ENDLESS)
    size = {"height": SIDE, "width": SIDE}
    return model, hf.BlipProcessor(hf.BlipImageProcessor(size=size, image_mean=MEAN, image_std=STD), token)


def git() -> tuple[Any, Any]:
    import transformers as hf

    token = wordpiece()
    ids = {"bos_token_id": token.cls_token_id, "eos_token_id": token.sep_token_id, "pad_token_id": 0}
    config = hf.GitConfig(vision_config=VISION, **TEXT, **ids, vocab_size=len(token))
    model = seeded(lambda: hf.GitForCausalLM(config))
    model.generation_config.update(**ENDLESS)
    crop = {"height": SIDE, "width": SIDE}
    maker = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=crop, image_mean=MEAN, image_std=STD)
    return model, hf.GitProcessor(maker, token)


def vision_gpt2(encoder: str) -> tuple[Any, Any]:
    import transformers as hf

    from mmcam.adapters.transformers import Parts

    token = bytelevel()
    if encoder == "swin":
        # 32×48 in windows of 4 patches of 4: 4×6 cells after one merging
        seen = hf.SwinConfig(
            image_size=(32, 48), patch_size=4, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=2
        )
        size = {"height": 32, "width": 48}
    else:
        seen, size = hf.ViTConfig(**VISION), {"height": SIDE, "width": SIDE}
    end = token.eos_token_id
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40, "vocab_size": len(token)}
    said = hf.GPT2Config(**sizes, initializer_range=0.2, bos_token_id=end, eos_token_id=end)
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(seen, said)
    model = seeded(lambda: hf.VisionEncoderDecoderModel(config))
    model.generation_config.update(decoder_start_token_id=5, eos_token_id=end, pad_token_id=end, **ENDLESS)
    maker = hf.ViTImageProcessor(size=size, image_mean=MEAN, image_std=STD)
    return model, Parts(maker, token)


def pix2struct() -> tuple[Any, Any]:
    import transformers as hf

    class Small(hf.Pix2StructProcessor):
        images_kwargs = {"max_patches": 26}  # noqa: RUF012 - as its parent has it

    token = sentencepiece()
    seen = {"hidden_size": 16, "patch_embed_hidden_size": 3 * PATCH**2, "d_ff": 24, "d_kv": 8, "num_hidden_layers": 2}
    seen |= {"num_attention_heads": 2, "seq_len": 64}
    text = {"vocab_size": len(token), "hidden_size": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    config = hf.Pix2StructConfig(text_config=text, vision_config=seen, initializer_range=0.2)
    model = seeded(lambda: hf.Pix2StructForConditionalGeneration(config))
    model.generation_config.update(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, **ENDLESS)
    maker = hf.Pix2StructImageProcessor(patch_size={"height": PATCH, "width": PATCH}, max_patches=26)
    return model, Small(maker, token)


@dataclass(frozen=True)
class Family:
    """A captioner and its reference.

    Attributes:
        build: a new model and its processor.
        layer: the default layer, by its name in the transformers model.
        others: tokens before the patches.
            logits: (model, processor, picture, tokens (1,L)) → (1, L, vocabulary), by the model's own forward.
        own: (model, processor, picture) → the output of its own ``generate``, with logits.
    """

    build: Callable[[], tuple[Any, Any]]
    layer: str
    others: int
    logits: Callable[[Any, Any, Any, Tensor], Tensor]
    own: Callable[[Any, Any, Any], Any]

    def __call__(self) -> tuple[Any, Any, Any]:
        """The adapted model, the model itself and its processor; always the same ones."""
        return _wrapped(self.build)

    def fresh(self) -> tuple[Any, Any, Any]:
        """New ones, to be edited."""
        model, processor = self.build()
        return mmcam.wrap(model, processor), model, processor


@functools.cache
def _wrapped(build: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any, Any]:
    model, processor = build()
    return mmcam.wrap(model, processor), model, processor


def asking(wrapped: Any, n: int = 1) -> contextlib.AbstractContextManager[None]:
    """Within it, a model that answers is a captioner too."""
    return wrapped.asked([QUESTION] * n) if hasattr(wrapped, "asked") else contextlib.nullcontext()


def pixels(processor: Any, picture: Any) -> Any:
    """The processor's own input, by name."""
    maker = processor if callable(processor) else processor.image_processor
    return maker(images=picture, return_tensors="pt")


def after(start: int, tokens: Tensor) -> Tensor:
    return torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], dim=1)


LOGITS = {"output_logits": True, "return_dict_in_generate": True}


def _blip_logits(model: Any, processor: Any, picture: Any, tokens: Tensor) -> Tensor:
    return model(**pixels(processor, picture), input_ids=after(model.decoder_input_ids, tokens)).logits


def _blip_own(model: Any, processor: Any, picture: Any) -> Any:
    return model.generate(**pixels(processor, picture), **LOGITS)


def _vqa_logits(model: Any, processor: Any, picture: Any, tokens: Tensor) -> Tensor:
    caught = []
    handle = model.text_decoder.register_forward_hook(lambda module, args, output: caught.append(output.logits))
    asked = processor(images=picture, text=QUESTION, return_tensors="pt")
    model(**asked, decoder_input_ids=after(model.decoder_start_token_id, tokens))
    handle.remove()
    return caught[0]


def _vqa_own(model: Any, processor: Any, picture: Any) -> Any:
    return model.generate(**processor(images=picture, text=QUESTION, return_tensors="pt"), **LOGITS)


def _git_logits(model: Any, processor: Any, picture: Any, tokens: Tensor) -> Tensor:
    read = after(processor.tokenizer.cls_token_id, tokens)
    return model(**pixels(processor, picture), input_ids=read).logits[:, 1 + (SIDE // PATCH) ** 2 :]


def _decoder_logits(model: Any, processor: Any, picture: Any, tokens: Tensor) -> Tensor:
    read = after(model.generation_config.decoder_start_token_id, tokens)
    return model(**pixels(processor, picture), decoder_input_ids=read).logits


VIT = "vision_model.encoder.layers.1"
FAMILIES = {
    "blip": Family(functools.partial(blip, "BlipForConditionalGeneration"), VIT, 1, _blip_logits, _blip_own),
    "blip-vqa": Family(functools.partial(blip, "BlipForQuestionAnswering"), VIT, 1, _vqa_logits, _vqa_own),
    "git": Family(git, f"git.image_encoder.{VIT}", 1, _git_logits, _blip_own),
    "vit-gpt2": Family(functools.partial(vision_gpt2, "vit"), "encoder.layers.1", 1, _decoder_logits, _blip_own),
    "swin-gpt2": Family(
        functools.partial(vision_gpt2, "swin"), "encoder.encoder.layers.1", 0, _decoder_logits, _blip_own
    ),
    "pix2struct": Family(pix2struct, "encoder.encoder.layer.1", 0, _decoder_logits, _blip_own),
}


def matcher() -> tuple[Any, Any]:
    return blip("BlipForImageTextRetrieval")


def encoder_of(model: Any) -> Any:
    """The part that sees the picture."""
    if hasattr(model, "git"):
        return model.git.image_encoder
    return model.vision_model if hasattr(model, "vision_model") else model.encoder


@torch.no_grad()
def make_local(model: Any) -> None:
    """Edit the encoder so that every token knows its own patch alone, and a patch of zeros gives a token of zeros.

    The residual branches of its blocks say nothing, nor do positions and biases.
    """
    encoder = encoder_of(model)
    for name, parameter in encoder.named_parameters():
        branch = any(part in name for part in (".self_attn.", ".attention.", ".mlp.", ".intermediate.", ".output."))
        if (
            branch
            or name.endswith("bias")
            or any(part in name for part in ("position", "row_", "column_", "class", "cls"))
        ):
            parameter.zero_()
