"""Deep Feature Factorization: the few concepts that the activations of a layer over many pictures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmcam.adapters.class_names import class_names
from mmcam.engine.as_found import as_found
from mmcam.engine.layer import Layer
from mmcam.engine.modules import find_module, unwrap
from mmcam.engine.outputs import picture_of, replace_tensor
from mmcam.engine.record import activations
from mmcam.engine.tap import read_grid
from mmcam.errors import ExplainError
from mmcam.image import Geometry
from mmcam.neurons.nmf import nmf
from mmcam.places.find import find_layer
from mmcam.places.survey import layer_at
from mmcam.preparation import batch_of
from mmcam.tasks.anything import forward_of
from mmcam.tasks.classification import check_classifier
from mmcam.tasks.logits import finder


@dataclass(frozen=True, eq=False)
class Factors:
    """The concepts of a layer over N pictures, the one that makes up most of the activations first.

    Attributes:
        maps: W (N,k,h,w), where each concept is; its maximum over all pictures is 1.
        concepts: H (k,K), what the layer's units say where the concept is strongest.
        share: of the activations' sum of squares, what concepts make up.
        speaks: (k,classes), what the concept alone adds to each logit; None of a model without classes.
        names: of the classes; empty where they have none.
        layer: where activations were read.
        geometries: how each picture lies in the model's input.
    """

    maps: Tensor
    concepts: Tensor
    share: float
    speaks: Tensor | None
    names: Mapping[int, str]
    layer: str
    geometries: Sequence[Geometry]

    def heatmap(self, picture: int, concept: int) -> NDArray[np.float32]:
        """Where a concept is in a picture, over its own pixels: float32 (H,W)."""
        made: NDArray[np.float32] = self.geometries[picture].to_original(self.maps[picture, concept]).cpu().numpy()
        return made

    def mask(self, picture: int, concept: int, threshold: float = 0.5) -> NDArray[np.bool_]:
        """Where a concept has at least a share of its maximum over all pictures: bool (H,W)."""
        return np.asarray(self.heatmap(picture, concept) >= threshold, bool)

    def classes(self, concept: int, count: int = 3) -> list[tuple[str, float]]:
        """The classes that a concept speaks for most, with what it adds to their logits.

        Raises:
            ExplainError: the model has no classes.
        """
        if self.speaks is None:
            raise ExplainError("The model has no classes, so its concepts speak for none; look at their maps.")
        best = self.speaks[concept].topk(min(count, self.speaks.shape[1]))
        return [
            (self.names.get(index, str(index)), value)
            for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


@torch.inference_mode(False)
def factorise(
    model: nn.Module,
    images: Sequence[Any],
    k: int = 5,
    *,
    layer: str | nn.Module | None = None,
    names: Sequence[str] | None = None,
    preprocess: Any = None,
    batch: int = 32,
) -> Factors:
    """Split a layer's activations over pictures into k concepts (Collins et al., ECCV 2018, arXiv 1806.10206, eq. 3).

    A (N·h·w, K) ≈ W·H, none negative, with the least ‖A − WH‖ that `mmcam.neurons.nmf.nmf` finds: a row of H is a
    concept, a column of W where it is in the pictures, which share it. What a concept speaks for (ours, after
    pytorch-grad-cam, which feeds it to the last linear layer): the logits of the first picture when the layer gives H_j
    at every cell, less those when it gives 0. Where a global average pool and a linear layer follow, that is that
    layer's answer to H_j without its bias.

    Args:
        model: of any task; left as found.
        images: paths, PIL pictures, arrays or tensors; the more of one kind, the clearer its parts.
        k: how many concepts.
        layer: one whose activations are at least 0, as behind a ReLU; default the one that is explained.
        names: of the classes, in order; default what the model, torchvision or timm says.
        preprocess: as in `explain_class`.
        batch: pictures that are sent through the model at a time.

    Raises:
        ExplainError: activations below 0, or all 0; more concepts than cells or channels, or none; no such layer.
        PictureError: a picture that cannot be used.

    Example:
        >>> found = factorise(model, pictures, k=3)
        >>> found.mask(0, 1).shape, found.classes(1)
    """
    pictures = list(images)
    if not pictures:
        raise ExplainError("There are no pictures, so there is nothing to split into concepts.")
    module = unwrap(model)
    forward = forward_of(module)
    parts, geometries = list[Tensor](), list[Geometry]()
    place: Layer | None = None
    for start in range(0, len(pictures), batch):
        own = batch_of(module, pictures[start : start + batch], preprocess)
        if place is None:
            first = own.x[:1]
            place = layer_at(module, forward, first, find_layer(module, forward, first) if layer is None else layer)
        parts.append(activations(module, forward, own.x, [place])[0].float())
        geometries += own.geometries
    assert place is not None
    a = torch.cat(parts)
    rows = a.movedim(1, -1).flatten(0, 2)
    _check(rows, k, place.name)
    w, h = nmf(rows, k)
    order = (w.norm(dim=0) * h.norm(dim=1)).argsort(descending=True)
    unit = w.amax(0).clamp(min=torch.finfo(w.dtype).tiny)
    maps = (w / unit)[:, order].unflatten(0, (len(a), *a.shape[2:])).movedim(-1, 1)
    concepts = (h * unit[:, None])[order]
    share = 1 - float(((rows - w @ h) ** 2).sum() / (rows**2).sum())
    known = class_names(module) if names is None else names
    speaks = _speaks(module, first, place, concepts, known)
    return Factors(maps, concepts, share, speaks, dict(enumerate(known or ())), place.name, geometries)


def _check(rows: Tensor, k: Any, layer: str) -> None:
    """Raise ExplainError for activations (cells,channels) that are no sum of k parts that are there or not."""
    cells, channels = rows.shape
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= min(cells, channels):
        raise ExplainError(
            f"k={k!r} concepts cannot be found in {cells} cells of {channels} channels; pass 1…{min(cells, channels)}."
        )
    if bool((rows < 0).any()):
        raise ExplainError(
            f"Layer {layer!r} has activations below 0, which are no sum of parts; name one behind a ReLU with layer=."
        )
    if not bool((rows > 0).any()):
        raise ExplainError(f"Layer {layer!r} is 0 in all of these pictures, so there is nothing to split.")


def _speaks(module: nn.Module, x: Tensor, place: Layer, concepts: Tensor, names: Sequence[str] | None) -> Tensor | None:
    """What each concept adds to each logit (k,classes), by the layers behind; None of a model without classes."""
    try:
        check_classifier(module, [0], names)
    except ExplainError:
        return None
    forward, find = forward_of(module), finder(names)

    def logits(vector: Tensor) -> Tensor:
        def put(layer: nn.Module, inputs: Any, output: Any) -> Any:
            tensor, grid = read_grid(place, output, picture_of(x))
            cells = grid.read(tensor)
            return replace_tensor(output, grid.write(tensor, vector.to(cells)[None, :, None, None].expand_as(cells)))

        handle = find_module(module, place.name).register_forward_hook(put)
        try:
            scores: Tensor = find(forward(x.clone()))[0].float()
        finally:
            handle.remove()
        return scores

    with as_found(module):
        nothing = logits(torch.zeros_like(concepts[0]))
        return torch.stack([logits(concept) - nothing for concept in concepts])
