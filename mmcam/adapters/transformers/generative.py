"""Language models that read a picture's tokens among those of a text: BLIP-2, LLaVA, PaliGemma.

Apart from `structure` because their pictures have one size, so that a batch of them, their pixels and prepared inputs
go through the model together; and BLIP-2 because its queries have no place, so that its encoder's block is explained.

What they write depends on a prompt, which is built with the processor's own template. A caption is the answer to the
attribute ``prompt``; inside ``asked(questions)`` it is the answer to a question.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.pictures import preprocess_from, tokenizer_of
from mmcam.adapters.transformers.text import Wording, ends_of, tokens_inside, tokens_of, with_end
from mmcam.engine.layer import Grid, Size
from mmcam.engine.outputs import first_tensor
from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.places.grids import tokens
from mmcam.tasks.captioning import pad

LONGEST = 40
"""Tokens of a caption or an answer, where the model's own generation settings know no bound for new ones."""


class Generative(Wording, nn.Module):
    """A captioner (`mmcam.Captioner`) that also writes answers to questions (see `mmcam.explain_answer`).

    Attributes:
        prompt: what a caption answers, without the template around it.
        question: what is made of a question before the template, "{}" in its place.
        most_rows: bound on the rows sent through the language model at once: each is some hundred tokens long. More
            words than that share the pass and take a backward each, which gives the same maps.
    """

    most_rows = 4
    prompt = "Describe the picture in one sentence."
    question = "{}"
    options: ClassVar[dict[str, Any]] = {}  # of every call of the processor
    line_after_prompt = False  # the processor ends the prompt with a line break

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model, self.processor = model, processor
        self.tokenizer = tokenizer_of(processor)
        self.preprocess = self._prepares()
        self.explain_layer = self._default_layer()
        self.picture_encoder = self._name_of(self._tower())
        self._questions: list[str] | None = None

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        prompts = self._prompts(x)
        if len({tuple(prompt) for prompt in prompts}) == 1:
            return self._written(x, prompts[0], settings)
        # One at a time: prompts of different lengths would have to be padded, which positions feel.
        return [row for n, prompt in enumerate(prompts) for row in self._written(x[n : n + 1], prompt, settings)]

    @property
    def ends(self) -> set[int]:
        """The tokens that end what is written."""
        own = self._writer().generation_config
        return {*ends_of(own.eos_token_id), *ends_of(self.tokenizer.eos_token_id)}

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) behind picture and prompt; row r belongs to picture and question r modulo theirs."""
        prompts = self._prompts(x)
        rows = [prompts[r % len(prompts)] for r in range(len(tokens))]
        # Padded at the end only, where nothing that counts looks: so every row has the positions it has alone.
        ids = pad([[*row, *own] for row, own in zip(rows, tokens.tolist(), strict=True)], x.device)
        starts = torch.tensor([len(row) for row in rows], device=x.device)
        first = min(map(len, rows))
        logits = self._logits(x, ids, starts, ids.shape[1] - first + 1)
        at = starts[:, None] - first + torch.arange(tokens.shape[1], device=x.device)
        return logits[torch.arange(len(ids), device=x.device)[:, None], at]

    def encode(self, caption: str) -> list[int]:
        """The tokens of a whole caption or answer, as they go on after the prompt."""
        text = self._text(self._asked()[0])
        goes_on = text and not text[-1].isspace() and not self.line_after_prompt
        return tokens_inside(self.tokenizer, caption) if goes_on else tokens_of(self.tokenizer, caption)

    @contextlib.contextmanager
    def asked(self, questions: Sequence[str]) -> Iterator[None]:
        """Inside, captions are the answers to these questions, one a picture."""
        before = self._questions
        self._questions = [self.question.format(text) for text in questions]
        try:
            yield
        finally:
            self._questions = before

    def _prepares(self) -> Preprocess:
        """How pictures become the model's input."""
        return preprocess_from(self.processor)

    def _asked(self) -> list[str]:
        return [self.prompt] if self._questions is None else self._questions

    def _prompts(self, x: Tensor) -> list[list[int]]:
        """The prompt's tokens, the picture's places among them: one for all pictures, or one each."""
        known = {asked: self._prompt(self._text(asked), x.shape[-2:]) for asked in dict.fromkeys(self._asked())}
        return [known[asked] for asked in self._asked()]

    def _prompt(self, text: str, size: tuple[int, ...]) -> list[int]:
        """Tokens of one prompt, as the processor makes them beside a picture of the input's size."""
        blank = Image.new("RGB", (size[1], size[0]))
        options = dict(self.options)
        bos = self.tokenizer.bos_token
        if bos and text.startswith(bos):  # a chat template may write it, and the tokenizer would write it again
            options["add_special_tokens"] = False
        made = self.processor(images=blank, text=text, return_tensors="pt", **options)
        tokens: list[int] = made["input_ids"][0].tolist()
        return tokens

    def _text(self, asked: str) -> str:
        """The prompt with the template around it."""
        if not (getattr(self.processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)):
            raise ExplainError(
                f"{type(self.processor).__name__} has no chat template; set processor.chat_template to the model's."
            )
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": asked}]}
        text: str = self.processor.apply_chat_template([turn], add_generation_prompt=True)
        return text

    def _written(self, x: Tensor, prompt: list[int], more: Mapping[str, Any]) -> list[list[int]]:
        """What the model writes after one prompt for each picture."""
        ids = torch.tensor([prompt] * len(x), device=x.device)
        own = self._writer().generation_config
        settings = {"max_new_tokens": LONGEST} if own.max_new_tokens is None else {}
        out = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **self._pictures(x),
            **self._beside(ids, torch.full_like(ids[:, 0], len(prompt))),
            **settings,
            **more,
        )
        return with_end(out, self.ends, skip=len(prompt))

    def _writer(self) -> Any:
        """The part of the model whose generation settings count."""
        return self.model

    def _logits(self, x: Tensor, ids: Tensor, starts: Tensor, keep: int) -> Tensor:
        """Logits (R, keep, words) after the last positions of the tokens (R, all); answers begin at `starts` (R,)."""
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            use_cache=False,
            logits_to_keep=keep,
            **self._pictures(x),
            **self._beside(ids, starts),
        ).logits
        return logits

    def _pictures(self, x: Tensor) -> dict[str, Tensor]:
        """Pictures (N,3,H,W) as the model calls them."""
        return {"pixel_values": x}

    def _beside(self, ids: Tensor, starts: Tensor) -> dict[str, Tensor]:
        """What the model wants to know beside the tokens."""
        return {}

    def _tower(self) -> nn.Module:
        """The encoder of pictures."""
        tower: nn.Module = self.model.model.vision_tower
        return tower

    def _default_layer(self) -> str:
        """The encoder's last block: all its patches go on to the language model."""
        return self._name_of(blocks_of(self._tower())[-1])

    def _name_of(self, wanted: nn.Module) -> str:
        name: str = next(name for name, module in self.named_modules() if module is wanted)
        return name


class Blip2(Generative):
    """BLIP-2 with a decoder-only language model (OPT)."""

    prompt = ""
    question = "Question: {} Answer:"

    def __init__(self, model: Any, processor: Any) -> None:
        if not model.config.use_decoder_only_language_model:
            raise ExplainError("BLIP-2 is explained with a decoder-only language model (OPT), not with T5.")
        if model.config.image_token_id is None:
            raise ExplainError("The model's config names no image_token_index; use a checkpoint that has one.")
        super().__init__(model, processor)

    def _writer(self) -> Any:
        return self.model.language_model

    def _tower(self) -> nn.Module:
        tower: nn.Module = self.model.vision_model
        return tower

    def _text(self, asked: str) -> str:
        return asked

    def _prompt(self, text: str, size: tuple[int, ...]) -> list[int]:
        tokens = super()._prompt(text, size)
        place = self.model.config.image_token_id
        # Older processors do not know how many places the picture takes, and leave them out.
        return tokens if place in tokens else [place] * self.model.config.num_query_tokens + tokens


class Llava(Generative):
    """LLaVA 1.5 and those built like it.

    The model takes the blocks' outputs that it reads from hooks of its own. They may have been set before the engine's,
    and then do not see what the engine puts in place of an output; so the features are read here, after it.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        if 0 in _listed(model.config.vision_feature_layer):
            raise ExplainError("A LLaVA that reads the patches' embeddings (vision_feature_layer=0) is not known here.")
        super().__init__(model, processor)

    def _text(self, asked: str) -> str:
        if getattr(self.processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None):
            return super()._text(asked)
        return f"USER: {self.processor.image_token}\n{asked} ASSISTANT:"

    def _blocks(self) -> list[nn.Module]:
        """The blocks whose outputs are read: -1 is the last one's, and 1 the first one's."""
        blocks = blocks_of(self._tower())
        read = _listed(self.model.config.vision_feature_layer)
        return [blocks[index - 1 if index > 0 else index] for index in read]

    def grid(self, layer: str, tensor: Tensor, picture: Size) -> Grid | None:
        """The tower's patches and the projector's stand row by row, behind a class token where there is one."""
        side = getattr(self.model.config.vision_config, "patch_size", None)
        seen = self._name_of(self._tower()), self._name_of(self.model.model.multi_modal_projector)
        if not isinstance(side, int) or tensor.ndim != 3 or not layer.startswith(seen):
            return None
        h, w = picture[0] // side, picture[1] // side
        skip = tensor.shape[1] - h * w
        return tokens(h, w, skip) if skip in (0, 1) else None

    def _default_layer(self) -> str:
        # Only what leads to the block that is read has a say; where several are, they meet in the projector.
        blocks = self._blocks()
        return self._name_of(blocks[0] if len(blocks) == 1 else self.model.model.multi_modal_projector)

    def _logits(self, x: Tensor, ids: Tensor, starts: Tensor, keep: int) -> Tensor:
        seen = recorded(self._blocks(), lambda: self._tower()(pixel_values=x))
        if self.model.config.vision_feature_select_strategy == "default":
            seen = [block[:, 1:] for block in seen]  # without the class token
        features = self.model.model.multi_modal_projector(torch.cat(seen, dim=-1))
        embeds = with_pictures(self.model, ids, features)
        logits: Tensor = self.model(
            inputs_embeds=embeds, attention_mask=torch.ones_like(ids), use_cache=False, logits_to_keep=keep
        ).logits
        return logits


class PaliGemma(Generative):
    """PaliGemma 1 and 2: picture and prompt see each other whole, and only the answer runs from left to right."""

    prompt = "caption en"
    question = "answer en {}"
    line_after_prompt = True

    def _text(self, asked: str) -> str:
        return f"{self.processor.image_token}{asked}"

    def _beside(self, ids: Tensor, starts: Tensor) -> dict[str, Tensor]:
        places = torch.arange(ids.shape[1], device=ids.device)
        return {"token_type_ids": (places >= starts[:, None]).long()}


def _listed(layers: int | Sequence[int]) -> list[int]:
    return [layers] if isinstance(layers, int) else list(layers)


def blocks_of(tower: nn.Module) -> nn.ModuleList:
    """The blocks of a transformer, first to last."""
    return max((module for module in tower.modules() if isinstance(module, nn.ModuleList)), key=len)


def recorded(modules: Sequence[nn.Module], forward: Callable[[], Any]) -> list[Tensor]:
    """The outputs of some modules in a forward pass, as whatever hooks were set before leave them."""
    seen: dict[int, Tensor] = {}

    def keep(index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = first_tensor(output)
            assert tensor is not None
            seen[index] = tensor

        return hook

    handles = [module.register_forward_hook(keep(index)) for index, module in enumerate(modules)]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return [seen[index] for index in range(len(modules))]


def with_pictures(model: Any, ids: Tensor, features: Tensor) -> Tensor:
    """The embeddings (R, all, D) of tokens (R, all), the features (R, places, D) of the pictures in their places.

    Raises:
        ValueError: other numbers of rows or places.
    """
    places = ids == model.config.image_token_id
    if not bool((places.sum(1) == features.shape[1]).all()) or len(ids) != len(features):
        raise ValueError(
            f"{len(features)} pictures of {features.shape[1]} tokens do not fit into {len(ids)} texts with "
            f"{sorted(set(places.sum(1).tolist()))} places."
        )
    embeds: Tensor = model.get_input_embeddings()(ids)
    return embeds.masked_scatter(places[..., None], features.to(embeds.dtype))
