"""What goes on in the language model at the picture's places: how high tokens score there, and who attends to them."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmcam.adapters.transformers.structure.cells import Cells
from mmcam.adapters.transformers.structure.handover import Handover
from mmcam.adapters.transformers.structure.layers import HANDED_OVER
from mmcam.adapters.transformers.structure.routes import Routes
from mmcam.engine.attention_rows import AttentionRows
from mmcam.engine.modules import find_module
from mmcam.engine.shown import HeadAttention, TokenActivations
from mmcam.errors import ExplainError


class InsideLanguage(nn.Module):
    """The part of the adapter that reads the language model where the picture's vectors stand among the words."""

    model: Any
    tokenizer: Any
    _parts: Handover | None

    def token_activations(self, x: Tensor, tokens: Tensor) -> list[TokenActivations]:
        """Of each of the pictures x (N,3,H,W) how high the tokens of its prompt and of its caption (N,L) score in it.

        Raises:
            ExplainError: the picture's vectors do not stand among the words; the model has no head of its own.
        """
        texts = self._texts(len(x))
        return [self._activations(x[n], texts[n], tokens[n]) for n in range(len(x))]

    def head_attention(self, x: Tensor, tokens: Tensor) -> list[HeadAttention]:
        """Of each of the pictures x (N,3,H,W) what each head pays its places when each token (N,L) is said.

        Raises:
            ExplainError: the picture's vectors do not stand among the words; no attention is seen, or layers differ.
        """
        texts = self._texts(len(x))
        return [self._attention(x[n], texts[n], tokens[n]) for n in range(len(x))]

    def _attention(self, x: Tensor, text: str, tokens: Tensor) -> HeadAttention:
        inputs, at, cells = self._placed(x, text, tokens)
        count = inputs["input_ids"].shape[1]
        rows = torch.arange(count - len(tokens), count, device=at.device) - 1  # a token is said at the place before
        found = self._noted(inputs, AttentionRows(count, rows, at))
        if not found or len({each.shape for each in found}) > 1:
            seen = f"{len(found)} layers of attention with different heads" if found else "no attention"
            raise ExplainError(
                f"{type(self.model).__name__} shows {seen} among its {count} tokens, so there are no heads to choose "
                "from; method='tam' needs none."
            )
        paid = torch.stack(found).permute(2, 0, 1, 3)  # (L,layers,heads,P)
        maps = self._over_picture(paid.flatten(0, 2).T, cells)
        return HeadAttention(maps.unflatten(0, paid.shape[:3]), paid.sum(3))

    def _noted(self, inputs: dict[str, Any], mode: AttentionRows) -> list[Tensor]:
        """What a mode notes while the language model runs."""
        assert self._parts is not None
        stack = contextlib.ExitStack()
        language = find_module(self.model, self._parts.language)
        handles = [
            language.register_forward_pre_hook(lambda *_: stack.enter_context(mode) and None),
            language.register_forward_hook(lambda *_: stack.close()),
        ]
        try:
            with stack, self._as_it_was():
                self._forward(inputs, 1)
        finally:
            for handle in handles:
                handle.remove()
        return mode.found

    def _activations(self, x: Tensor, text: str, tokens: Tensor) -> TokenActivations:
        inputs, at, cells = self._placed(x, text, tokens)
        states, head = self._last_states(inputs)
        ids: Tensor = inputs["input_ids"][0]
        said = len(ids) - len(tokens)
        special = torch.tensor(self.tokenizer.all_special_ids, device=ids.device)
        behind = torch.arange(len(ids), device=ids.device)
        prompt = behind[(behind > at.max()) & (behind < said) & ~torch.isin(ids, special)]
        each = torch.cat([prompt, behind[said:]])  # what is read at a place is said at the one before
        read_at = torch.cat([prompt, behind[said:] - 1])
        weight, bias = head.weight[ids[each]].float(), getattr(head, "bias", None)
        scores = states.float() @ weight.T + (0 if bias is None else bias[ids[each]].float())  # (all, M)
        maps = self._over_picture(scores[at].relu(), cells)
        return TokenActivations(maps, scores[read_at].relu().T, ids[each])

    def _placed(self, x: Tensor, text: str, tokens: Tensor) -> tuple[dict[str, Any], Tensor, Cells]:
        """What the model is called with, where among its tokens the picture's places are, and where these lie."""
        name = type(self.model).__name__
        routes = self._routes_of(x)
        inputs = self._inputs(x, text, tokens)
        at = None if self._answers_apart else routes.among_words(inputs["input_ids"][0])
        if at is None:
            raise ExplainError(
                f"{name} does not read the picture's vectors among its words, so its states there tell nothing of a "
                "word; method='gradcam' explains it."
            )
        size = (x.shape[-2], x.shape[-1])
        return inputs, at, self._cells_of(HANDED_OVER, 0, size, partial(self._vectors, routes))

    def _last_states(self, inputs: dict[str, Any]) -> tuple[Tensor, Any]:
        """What the head of the language model is given at all places (L,K), and the head."""
        head = self.model.get_output_embeddings()
        found: list[Tensor] = []

        def shorten(module: nn.Module, args: tuple[Any, ...]) -> tuple[Tensor]:
            found.append(args[0])
            return (args[0][:, -1:],)  # the scores of all tokens at all places would be much, and nobody reads them

        if isinstance(getattr(head, "weight", None), Tensor):
            handle = head.register_forward_pre_hook(shorten)
            try:
                with self._as_it_was():
                    self._forward(inputs, 0)  # from place −0 on: all
            finally:
                handle.remove()
        if len(found) != 1 or found[0].shape[:2] != inputs["input_ids"].shape:
            raise ExplainError(
                f"{type(self.model).__name__} shows no head that reads its states at all places; method='gradcam' "
                "needs none."
            )
        return found[0][0], head

    def _over_picture(self, vectors: Tensor, cells: Cells) -> Tensor:
        """Numbers (P,M) at the picture's places as maps (M,h,w); the mean of several levels, as of tiles."""
        maps = cells.grid().read(vectors[None])[0]
        return torch.unflatten(maps, 0, (len(cells.levels), -1)).mean(0)

    if TYPE_CHECKING:  # what the adapter has

        @property
        def _answers_apart(self) -> bool: ...

        def _routes_of(self, x: Tensor) -> Routes: ...

        def _inputs(self, x: Tensor, text: str, tokens: Tensor | None = None) -> dict[str, Any]: ...

        def _texts(self, count: int) -> list[str]: ...

        def _as_it_was(self) -> Any: ...

        def _forward(self, inputs: dict[str, Any], keep: int) -> Tensor: ...

        def _vectors(self, routes: Routes, picture: Any) -> Tensor: ...

        def _cells_of(self, name: str, call: int, size: tuple[int, int], vectors_of: Any) -> Cells: ...
