"""The adapter of every model whose language model is called with a picture's vectors (see `handover`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from mmcam.adapters.transformers.generative import LONGEST, Generative, blocks_of
from mmcam.adapters.transformers.pictures import image_processor_of, tokenizer_of
from mmcam.adapters.transformers.structure.cells import Cells, noise_picture
from mmcam.adapters.transformers.structure.declared import DECLARED, Declared
from mmcam.adapters.transformers.structure.guard import check_adapter
from mmcam.adapters.transformers.structure.handover import Handover, Memo, find_handover, given_instead, handed_over
from mmcam.adapters.transformers.structure.inputs import Original, answered, made_of, to_x
from mmcam.adapters.transformers.structure.inside import InsideLanguage
from mmcam.adapters.transformers.structure.layers import HANDED_OVER, HandedOver, MeasuredLayers
from mmcam.adapters.transformers.structure.routes import Routes, find_routes
from mmcam.adapters.transformers.text import with_end
from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Size
from mmcam.engine.modules import find_module
from mmcam.errors import ExplainError


@dataclass(frozen=True)
class _Seen:
    """A picture in front of the language model: the processor's inputs, the picture's vectors, what the tower gave."""

    inputs: dict[str, Any]
    vectors: Tensor
    memo: Memo


class Structural(MeasuredLayers, InsideLanguage, Generative):
    """A captioner that also writes answers, of any model that hands vectors of a picture over to a language model.

    Its input x is the original picture; the processor is part of the forward. So whatever that does with it, as tiles,
    thumbnails or windows, is done as transformers does it, and a map is one over the original picture.

    Attributes:
        handed_over: the layer that is explained by default: what the language model is given of the picture.
        at_a_time: pictures in a batch. Each has as many vectors as its size asks for.
    """

    at_a_time = 1

    def __init__(self, model: Any, processor: Any) -> None:
        nn.Module.__init__(self)
        self.model, self.processor = model, processor
        self.tokenizer = tokenizer_of(processor)
        self.declared = DECLARED.get(type(model).__name__, Declared())
        self.prompt, self.question = self.declared.prompt, self.declared.question
        self.line_after_prompt = self.declared.line_after_prompt
        self.preprocess = Original(processor=image_processor_of(processor), ready=self._ready)
        self.handed_over = HandedOver()
        self.explain_layer = self._default_layer()
        self._parts: Handover | None = None
        self._routes: dict[Size, Routes] = {}
        self._cells: dict[tuple[str, int, Size], Cells] = {}
        self._questions: list[str] | None = None

    def generated(self, x: Tensor, **settings: Any) -> list[list[int]]:
        """What the model writes by its own generation settings, or some others: rows of tokens, the end among them."""
        rows: list[list[int]] = []
        for n, text in enumerate(self._texts(len(x))):
            inputs = self._inputs(x[n], text)
            skip = 1 if self._answers_apart else inputs["input_ids"].shape[1]
            more = {"max_new_tokens": LONGEST} if self.model.generation_config.max_new_tokens is None else {}
            with self._as_it_was():
                out = self.model.generate(**inputs, **more, **settings)
            rows += with_end(out, self.ends, skip=skip)
        return rows

    def token_logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """The scores (R,L,V) behind picture and prompt; row r belongs to picture and question r modulo theirs."""
        texts, count = self._texts(len(x)), len(tokens)
        with self._as_it_was():
            seen = [self._seen(x[n], texts[n], tokens[n]) for n in range(len(x))]
            vectors = self.handed_over(torch.stack([each.vectors for each in seen]))
            if len(vectors) == len(x) != count:
                vectors = vectors[torch.arange(count, device=vectors.device) % len(x)]
            groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
            for r, row in enumerate(tokens.tolist()):
                groups.setdefault((r % len(x), tuple(row)), []).append(r)
            logits, order = list[Tensor](), list[int]()
            for (n, _), members in groups.items():
                logits.append(self._written_out(x[n], seen[n], tokens[members[0]], vectors[members]))
                order += members
        at = torch.tensor(order, device=x.device).argsort()
        return torch.cat(logits)[at]

    def _ready(self, picture: Image.Image) -> None:
        """Find the routes of pictures of a size, and check the adapter on one, if that was not done."""
        self._routes_of(to_x(picture).to(self._device))

    def _routes_of(self, x: Tensor) -> Routes:
        size = (x.shape[-2], x.shape[-1])
        if size not in self._routes:
            with as_found(self), self._as_it_was():
                text = self._texts(1)[0]
                own, other = (self._inputs(each, text) for each in (x.detach(), self._noise(size)))
                if self._parts is None:
                    self._parts = find_handover(self.model, partial(self._first, own))
                ids = own["input_ids"][0]
                self._routes[size] = find_routes(self._call(own), self._call(other), ids)
                try:
                    check_adapter(self, x.detach(), self._noise(size))
                except ExplainError:
                    del self._routes[size]
                    raise
        return self._routes[size]

    def _first(self, inputs: dict[str, Any]) -> Tensor:
        """The model's own forward on what its processor made: if that fails, the two do not belong together."""
        try:
            return self._forward(inputs, 1)
        except ExplainError:
            raise
        except Exception as error:
            raise ExplainError(
                f"{type(self.model).__name__} itself fails on what {type(self.processor).__name__} makes of a picture "
                f"({' '.join(str(error).split())[:200]}); pass the processor that was saved with the model."
            ) from error

    def _noise(self, size: Size) -> Tensor:
        return to_x(noise_picture(size)).to(self._device)

    def _seen(self, x: Tensor, text: str, tokens: Tensor) -> _Seen:
        routes = self._routes_of(x)
        inputs = self._inputs(x, text, tokens)
        assert self._parts is not None
        memo = Memo(self.model, self._parts.tower)
        with memo.written():
            call = self._call(inputs)
        return _Seen(inputs, routes.take(call, inputs["input_ids"][0]), memo)

    def _written_out(self, x: Tensor, seen: _Seen, tokens: Tensor, vectors: Tensor) -> Tensor:
        """Logits (R,L,V) of one text for rows of vectors (R,P,K)."""
        assert self._parts is not None
        routes, count = self._routes[(x.shape[-2], x.shape[-1])], len(tokens)
        inputs = self._with_answer(seen.inputs, tokens, replaces=True)
        ids = inputs["input_ids"][0]
        change = lambda call: routes.put(call, ids, vectors)  # noqa: E731
        with seen.memo.read(), given_instead(self.model, self._parts.language, change):
            logits = self._forward(inputs, count + 1)
        return logits[:, :count] if self._answers_apart else logits[:, -count - 1 : -1]

    def _call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        assert self._parts is not None
        return handed_over(self.model, self._parts.language, lambda: self._forward(inputs, 1))

    def _forward(self, inputs: dict[str, Any], keep: int) -> Tensor:
        """Logits (R, keep or more, V) of the model's own forward."""
        known = signature(self.model.forward).parameters
        more: dict[str, Any] = {"use_cache": False}
        if "logits_to_keep" in known and not self._answers_apart:
            more["logits_to_keep"] = keep
        if self._answers_apart and "decoder_input_ids" not in inputs:
            more["decoder_input_ids"] = inputs["input_ids"].new_tensor([[self._start]])
        logits: Tensor = self.model(**inputs, **more).logits
        return logits

    def _inputs(self, x: Tensor, text: str, tokens: Tensor | None = None) -> dict[str, Any]:
        """What the processor makes of a picture (3,H,W) and a prompt, and the answer's tokens behind it."""
        made = made_of(self.processor, x, text, self._options(text))
        kind = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)
        inputs = {
            name: t.to(self._device, kind) if t.is_floating_point() else t.to(self._device)
            for name, t in made.items()
            if isinstance(t, Tensor)
        }
        return inputs if tokens is None else self._with_answer(inputs, tokens)

    def _with_answer(self, inputs: dict[str, Any], tokens: Tensor, replaces: bool = False) -> dict[str, Any]:
        if self._answers_apart:
            start = tokens.new_tensor([[self._start]])
            return {**inputs, "decoder_input_ids": torch.cat([start, tokens[None, :-1]], 1)}
        if replaces:
            same = inputs["input_ids"].shape[1] - len(tokens)
            ids = torch.cat([inputs["input_ids"][:, :same], tokens[None]], 1)
            return {**inputs, "input_ids": ids}
        made = answered(inputs, tokens, self.declared.kinds)
        most = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if isinstance(most, int) and made["input_ids"].shape[1] > most:
            raise ExplainError(
                f"{type(self.model).__name__} reads {most} tokens, and picture, prompt and answer have "
                f"{made['input_ids'].shape[1]}; explain a shorter answer or a smaller picture."
            )
        return made

    def _options(self, text: str) -> dict[str, Any]:
        options = dict(self.declared.options)
        bos = self.tokenizer.bos_token
        if bos and text.startswith(bos):  # a chat template may write it, and the tokenizer would write it again
            options["add_special_tokens"] = False
        return options

    def _texts(self, count: int) -> list[str]:
        """The prompts of so many pictures."""
        texts = [self._text(asked) for asked in self._asked()]
        return [texts[n % len(texts)] for n in range(count)]

    def _text(self, asked: str) -> str:
        if getattr(self.processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None):
            return super()._text(asked)
        if self.declared.text is None:
            return super()._text(asked)  # which tells that there is none
        return self.declared.text(asked, str(getattr(self.processor, "image_token", "<image>")))

    @property
    def _answers_apart(self) -> bool:
        """Whether answers are written by a decoder of their own."""
        config = self.model.config
        return bool(config.is_encoder_decoder or getattr(config.get_text_config(), "is_encoder_decoder", False))

    @property
    def _start(self) -> int:
        text = self.model.config.get_text_config()
        every = (self.model.generation_config, self.model.config, text)
        named = [getattr(each, "decoder_start_token_id", None) for each in every]
        named += [getattr(each, "bos_token_id", None) for each in every]
        return next(int(each) for each in named if isinstance(each, int))

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @contextlib.contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """Models with rotary positions in three directions remember some from one call to the next."""
        found = [(m, m.rope_deltas) for m in self.model.modules() if hasattr(m, "rope_deltas")]
        try:
            yield
        finally:
            for module, deltas in found:
                module.rope_deltas = deltas

    def _default_layer(self) -> str:
        if not self.declared.tower:
            return HANDED_OVER
        return self._name_of(blocks_of(find_module(self.model, self.declared.tower))[-1])
