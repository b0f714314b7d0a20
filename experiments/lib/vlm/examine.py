"""What is checked of a family: score, planted patch, all words in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import mmcam
from experiments.lib.vlm.parts import CAPTION, picture
from mmcam.adapters.transformers.structure.adapter import Structural
from mmcam.adapters.transformers.structure.declared import DECLARED
from mmcam.adapters.transformers.structure.layers import HANDED_OVER
from mmcam.engine.modules import find_module

BLOCKS = 6
"""Blocks of a side that are painted to see which one decides."""


@dataclass(frozen=True)
class Row:
    """What was found.

    Attributes:
        works_by: "structure" or "declaration", and whether `mmcam.wrap` takes another adapter.
        layer: that is explained.
        cells: of the map, in words.
        score: how far the adapter's score is from the model's own forward, relative.
        planted: whether the map's peak lies in the block of the picture that decides; None at an encoder's block.
        decides: what share of the largest change the second block makes.
        one_pass: how far a word's map is from the one made alone, relative.
    """

    works_by: str
    layer: str
    cells: str
    score: float
    planted: bool | None
    decides: float
    one_pass: float


def examine(model: Any, processor: Any, size: tuple[int, int]) -> Row:
    """Check a family on a picture of (width, height)."""
    image = picture(size, seed=3)
    wrapped: Any = Structural(model, processor)
    words = mmcam.explain_caption(wrapped, image, caption=CAPTION)
    alone = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION)
    together = words[1]
    most = float(alone.values.abs().max())
    one_pass = float((alone.values - together.values).abs().max()) / max(most, 1e-12)
    tokens = wrapped.encode(CAPTION)
    truth = own_score(wrapped, processor, image, tokens)
    score = abs(words.whole.score - truth) / max(1.0, abs(truth))
    layer = wrapped.explain_layer
    hit, second = planted(model, processor, size) if layer == HANDED_OVER else (None, 0.0)
    by = "declaration" if type(model).__name__ in DECLARED else "structure"
    if not isinstance(mmcam.wrap(model, processor), Structural):
        by = "structure; by default its own adapter"
    return Row(by, layer, wrapped._cells[(layer, 0, size[::-1])].form, score, hit, second, one_pass)


def own_score(wrapped: Any, processor: Any, image: Image.Image, tokens: list[int]) -> float:
    """The log-probability of an answer by the model's own forward on what its processor makes."""
    model = wrapped.model
    text = wrapped._text(wrapped._asked()[0])
    made = dict(processor(images=[image], text=[text], return_tensors="pt", **wrapped._options(text)))
    made.pop("labels", None)
    ids = made["input_ids"]
    answer = torch.tensor([tokens])
    if wrapped._answers_apart:
        start = torch.tensor([[wrapped._start]])
        made["decoder_input_ids"] = torch.cat([start, answer[:, :-1]], 1)
    else:
        for name, value in made.items():
            if isinstance(value, Tensor) and value.ndim > 1 and value.shape[:2] == ids.shape and name != "input_ids":
                kind = {"attention_mask": 1, **wrapped.declared.kinds}.get(name, 0)
                shape = (1, len(tokens), *value.shape[2:])
                more = value[:, -1:].expand(shape) if name == "cross_attention_mask" else value.new_full(shape, kind)
                made[name] = torch.cat([value, more], 1)
        made["input_ids"] = torch.cat([ids, answer], 1)
    with torch.no_grad():
        logits = model(**made, use_cache=False).logits
    logits = logits[:, : len(tokens)] if wrapped._answers_apart else logits[:, -len(tokens) - 1 : -1]
    return float(logits.float().log_softmax(-1).gather(2, answer[..., None]).sum())


def localise(module: nn.Module) -> None:
    """Take what mixes places out of an encoder: the last projection of every attention gives nothing."""
    with torch.no_grad():
        for part in module.modules():
            if "attention" in type(part).__name__.lower():
                linear = [m for m in part.children() if isinstance(m, nn.Linear)]
                named = [m for n, m in part.named_children() if n in ("proj", "out_proj", "o_proj", "dense", "wo")]
                for last in named[:1] or linear[-1:]:
                    for parameter in last.parameters():
                        parameter.zero_()


def planted(model: Any, processor: Any, size: tuple[int, int]) -> tuple[bool, float]:
    """Whether the map points at the one block that decides what is said, by pixels and the model's own forward.

    The language model is made blind but for one of a picture's vectors; which block of the picture that is, is seen by
    painting each.
    """
    wrapped: Any = Structural(model, processor)
    image = picture(size, seed=5)
    mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION)  # which finds the parts
    parts, routes = wrapped._parts, wrapped._routes[size[::-1]]
    tower = find_module(model, parts.tower)
    state = {name: value.clone() for name, value in tower.state_dict().items()}
    localise(tower)
    wrapped = Structural(model, processor)
    tokens = wrapped.encode(CAPTION)
    mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION)
    cells = wrapped._cells[(wrapped.explain_layer, 0, size[::-1])]
    finest = cells.levels[0].reshape(cells.h, cells.w)
    at = int(finest[(2 * cells.h) // 3, cells.w // 3])
    ids = wrapped._inputs(torch.from_numpy(np.array(image)).permute(2, 0, 1).float() - 127.5, wrapped._texts(1)[0])
    whole = torch.cat([ids["input_ids"][0], torch.tensor(tokens)])
    try:
        with blind(find_module(model, parts.language), routes, whole, ids["input_ids"][0], at):
            fresh: Any = Structural(model, processor)
            before = own_score(fresh, processor, image, tokens)
            change = np.zeros((BLOCKS, BLOCKS))
            for row, column in np.ndindex(change.shape):
                painted = image.copy()
                left, top, right, bottom = (round(v) for v in _box(row, column, size))
                painted.paste((250, 5, 5), (left, top, right, bottom))
                change[row, column] = abs(own_score(fresh, processor, painted, tokens) - before)
            fresh._cells, fresh._routes, fresh._parts = wrapped._cells, wrapped._routes, parts
            exp = mmcam.explain_caption(fresh, image, caption=CAPTION, method="hirescam", relu=False).whole
    finally:
        tower.load_state_dict(state)
    if change.max() < 1e-4:
        return False, 1.0  # nothing decides
    strength = np.abs(exp.heatmap)
    row, column = np.unravel_index(change.argmax(), change.shape)
    x0, y0, x1, y1 = _box(int(row), int(column), size)
    ys, xs = np.nonzero(strength >= 0.95 * strength.max())
    y, x = ys.mean(), xs.mean()
    slack = max(size) / BLOCKS / 2, max(size[0] / cells.w, size[1] / cells.h) / 2
    near = max(slack)
    inside = x0 - near <= x < x1 + near and y0 - near <= y < y1 + near
    return bool(inside), float(np.sort(change.ravel())[-2] / max(change.max(), 1e-12))


def _box(row: int, column: int, size: tuple[int, int]) -> tuple[float, float, float, float]:
    w, h = size
    return column * w / BLOCKS, row * h / BLOCKS, (column + 1) * w / BLOCKS, (row + 1) * h / BLOCKS


@contextmanager
def blind(language: nn.Module, routes: Any, whole: Tensor, ids: Tensor, at: int) -> Iterator[None]:
    """Inside, a language model sees only one of a picture's vectors."""
    original: Callable[..., Any] = language.forward

    def seeing(value: Any, path: tuple[Any, ...], wanted: dict[Any, Any]) -> Any:
        if isinstance(value, Tensor):
            return _masked(value, wanted[path], whole, ids, at) if path in wanted else value
        if isinstance(value, dict):
            return {name: seeing(part, (*path, name), wanted) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(seeing(part, (*path, place), wanted) for place, part in enumerate(value))
        return value

    wanted = {route.path: route for route in routes.each}

    def forward(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **seeing(kwargs, (), wanted))

    vars(language)["forward"] = forward
    try:
        yield
    finally:
        del vars(language)["forward"]


def _masked(tensor: Tensor, route: Any, whole: Tensor, ids: Tensor, at: int) -> Tensor:
    flat = tensor.flatten(0, -2)
    places = route.at
    if route.marks:
        places = torch.isin(ids, torch.tensor(sorted(route.marks))).nonzero()[:, 0][route.at]
    length = tensor.shape[1] if route.marks and tensor.ndim == 3 else None
    rows = len(flat) // length if length else 1
    if not length:
        length = len(flat)
        if len(route.at) and length % len(route.at) == 0 and int(route.at.max()) + 1 == len(route.at):
            rows, length = length // len(route.at), len(route.at)
    mask = flat.new_ones(length)
    mask[places] = 0
    mask[places[at]] = 1
    return (flat * mask.repeat(rows)[:, None]).view_as(tensor)
