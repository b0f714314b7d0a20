"""What stands behind a map of a model: its layer, the places of its cells, its answer and rows, each with a proof."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from torch import Tensor, nn

from mmcam.adapters.class_names import class_names
from mmcam.engine import independence
from mmcam.engine.as_found import as_found
from mmcam.engine.computation import Computation
from mmcam.engine.layer import Layer
from mmcam.engine.modules import unwrap
from mmcam.engine.run import run
from mmcam.errors import ExplainError, IndependentError
from mmcam.explain.stock import stock_question
from mmcam.image import Batch, PictureLike
from mmcam.places.find import find_layer, find_layer_of
from mmcam.places.survey import Spot, layer_at, look, spot_at
from mmcam.preparation import batch_of
from mmcam.tasks.anything import has_forward
from mmcam.tasks.logits import finder, parts
from mmcam.tasks.names import named

TOLERANCE = 1e-3
"""Of the largest gradient: what rounding may make of another number of rows."""


@dataclass(frozen=True)
class Finding:
    """One thing a map stands on.

    Attributes:
        what: "picture", "answer", "layer", "cells", "rows" or "one pass".
        found: what it is.
        proof: how that is known, or the sentence by which it is refused.
        right: maps can be made with it.
    """

    what: str
    found: str
    proof: str
    right: bool = True


@dataclass(frozen=True)
class Check:
    """What was found out about a model. As text it is a table.

    Attributes:
        model: its class.
        findings: in the order they were made; what hangs on something that was refused is left out.
    """

    model: str
    findings: tuple[Finding, ...]

    @property
    def right(self) -> bool:
        """Nothing was refused."""
        return all(finding.right for finding in self.findings)

    def __str__(self) -> str:
        table = Table("", Column("found", overflow="fold"), Column("proof", overflow="fold"), title=self.model)
        for finding in self.findings:
            mark = "" if finding.right else "[red]refused[/]: "
            table.add_row(finding.what, escape(finding.found), mark + escape(finding.proof))
        text = io.StringIO()
        Console(file=text, width=110, force_jupyter=False).print(table)  # a notebook's own would show it at once
        return text.getvalue()


@torch.inference_mode(False)
def check(
    model: nn.Module,
    picture: PictureLike,
    layer: Any = None,
    *,
    target: Any = None,
    preprocess: Any = None,
    call: int | None = None,
) -> Check:
    """Print what the maps of a model stand on, and the proof of each: the first thing to run on a foreign model.

    Args:
        model: of any task; left as found. One with a language side reads a stock text.
        picture, preprocess: as in `explain_class`.
        layer, call: as in `attribute`.
        target: of a classifier, as in `explain_class`.

    Returns:
        The same as a value.

    Raises:
        PictureError: the picture cannot be used.

    Example:
        >>> mmcam.check(torchvision.models.resnet18(), "photo.jpg").right
        True
    """
    module: Any = unwrap(model)
    batch = batch_of(module, picture, preprocess)
    shape = " × ".join(map(str, batch.x.shape[1:]))
    whose = "the model's own preparation" if preprocess is None else "the preparation that was given"
    made = Finding("picture", f"{shape}, {batch.x.dtype}".replace("torch.", ""), f"as {whose} makes it")
    result = Check(type(module).__name__, (made, *_findings(module, batch, layer, target, call)))
    print(result)
    return result


def _findings(module: Any, batch: Batch, layer: Any, target: Any, call: int | None) -> list[Finding]:
    """Everything behind the picture, as far as it goes."""
    found: list[Finding] = []
    try:
        asked = stock_question(module, batch, target)
        c = asked.computation
        with as_found(module), torch.enable_grad():
            output = c.forward(c.x.clone(), c.rows())
            score = float(c.targets[0](output).detach())
        label = asked.label(0, 0, score)
        found.append(Finding("answer", f"{label.target}: {score:.4g}", _answer(module, output, target)))
        c = replace(c, targets=[c.targets[0]])
        place = _default(c, call) if layer is None else layer_at(c.model, c.alone, c.x, layer, call)
    except ExplainError as error:
        what = "layer" if found else "answer"
        return [*found, Finding(what, "", str(error), right=False)]
    how = "the last one that shows a map and has a say" if layer is None else "as it was named"
    found.append(Finding("layer", place.name, how))
    known = look(c.model, c.alone, c.x, place.name, call)
    spot = spot_at(c.model, known, (place.name, call or 0))
    found.append(_cells(spot, place.reason))
    if spot is not None:
        found += [_rows(c), _one_pass(c, place)]
    return found


def _default(c: Computation, call: int | None) -> Layer:
    """The layer of the explain functions: the model's, or the last one that the target depends on."""
    place = layer_at(c.model, c.alone, c.x, find_layer(c.model, c.alone, c.x, c), call)
    try:
        run(c, place)
    except IndependentError:
        other = find_layer_of(c, c.targets)
        if other is None:
            raise
        return layer_at(c.model, c.alone, c.x, other, call)
    return place


def _answer(module: Any, output: Any, target: Any) -> str:
    """What holds the answer."""
    if any(hasattr(module, name) for name in ("answer_scores", "token_log_probs", "asked")):
        return "by the model's own methods for texts"
    if hasattr(module, "similarity") and not has_forward(module):
        return "by the model's own method for pictures and texts"
    if callable(target):
        return "a function of the output"
    scores = finder(named(class_names(module)))(output)
    path = next((part.path for part in parts(output) if part.tensor is scores), "")
    return f"out{path} {tuple(scores.shape)}: {scores.shape[1]:,} classes"


def _cells(spot: Spot | None, reason: str) -> Finding:
    if spot is None:
        return Finding("cells", "", f"{reason or 'it shows no map'}; name another layer", right=False)
    channels, h, w = spot.map
    found = f"{channels} × {h} × {w}: {spot.form}"
    proof = {
        "convolutional": "no operation before it moves a cell",
        "declared": "declared by the model, and not contradicted by a measurement",
        "measured": "measured: bands of the picture were changed",
    }[spot.layer.cells]
    return Finding("cells", found, proof + (f" ({spot.bits:.0f} bits of evidence)" if spot.bits else ""))


def _rows(c: Computation) -> Finding:
    with as_found(c.model):
        apart = independence.of_pictures(c)
    if apart:
        return Finding("rows", "independent", "a row comes out as it does alone, and has no gradient at another one")
    return Finding("rows", "coupled", "a picture's score hangs on its neighbours, so each gets a pass of its own")


def _one_pass(c: Computation, layer: Layer) -> Finding:
    """The gradients of two targets in one pass against those of each alone."""
    target = c.targets[0]

    def against(output: Any) -> Tensor:
        return -target(output)

    try:
        both = run(replace(c, targets=[target, against]), layer).gradients
        each = [run(replace(c, targets=[one]), layer).gradients[0] for one in (target, against)]
    except ExplainError as error:
        return Finding("one pass", "", str(error), right=False)
    most = max(float(one.abs().max()) for one in each)
    apart = max(float((one - two).abs().max()) for one, two in zip(each, both, strict=True)) / most
    proof = f"two targets in one pass differ from one at a time by {apart:.1g} of the largest gradient"
    return Finding("one pass", "equal" if apart <= TOLERANCE else "not equal", proof, right=apart <= TOLERANCE)
