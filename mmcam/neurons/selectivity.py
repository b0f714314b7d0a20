"""Which class's photographs drive each unit? Names from labels of whole photographs, where no mask says more.

Morcos et al., On the importance of single directions for generalization, arXiv 1803.06959, section 2.3: the class
selectivity index (μ_class - μ_others)/(μ_class + μ_others) of a unit's mean activity. It is another kind of evidence
than a mask: the unit answers to such photographs, and nobody knows to what in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from mmcam.datasets.concepts import Concept, ConceptData
from mmcam.engine.modules import unwrap
from mmcam.engine.record import activations
from mmcam.errors import ExplainError, PictureError
from mmcam.image import Batch
from mmcam.neurons.fingerprint import fingerprint
from mmcam.neurons.names import UnitName, as_word, of_a_layer
from mmcam.neurons.shuffled import orders
from mmcam.places.survey import layer_at
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of

SELECTIVE: Final = 0.5
"""A unit is called after a class above this index: its photographs drive it three times as much as others."""

LEAST: Final = 10
"""A class is tried if so many photographs, at least, are of it, and as many are not."""


@dataclass(frozen=True, eq=False)
class Selectivity:
    """The class that each unit of a layer answers to most.

    Attributes:
        concept: (K) the number of the class in `concepts`, from 0.
        index: (K) the class selectivity index, -1 … 1; 0 where the unit is silent.
        p: (K) how often chance gives a class that stands out as much.
        concepts: all classes that were tried.
        data: what the photographs come from.
        photographs: how many there were.
        fingerprint: of the weights (see `mmcam.neurons.fingerprint`).
    """

    concept: Tensor
    index: Tensor
    p: Tensor
    concepts: tuple[Concept, ...]
    data: str
    photographs: int
    fingerprint: str

    def names(self, threshold: float = SELECTIVE) -> dict[int, UnitName]:
        """The units whose index is above a threshold, with the class."""
        named, tested = {}, of_a_layer(self.p)
        for unit in (self.index > threshold).nonzero()[:, 0].tolist():
            of = self.concepts[int(self.concept[unit])]
            index, p = float(self.index[unit]), float(tested[unit])
            named[unit] = UnitName(as_word(of.name, of.category), of.category, index, p, "photographs")
        return named


@dataclass(frozen=True, eq=False)
class Activity:
    """How active each unit of a layer is in photographs whose classes are known.

    Attributes:
        means: (N,K) mean over the layer's cells.
        member: (N,G) bool: of which classes a photograph is.
        concepts: G of them.
        data: what the photographs come from.
        fingerprint: of the weights.
    """

    means: Tensor
    member: Tensor
    concepts: tuple[Concept, ...]
    data: str
    fingerprint: str


@torch.inference_mode(False)
def activity(
    model: nn.Module,
    photographs: ConceptData,
    layer: str | nn.Module,
    *,
    batch: int = 32,
    preprocess: Any = None,
    call: int | None = None,
) -> Activity:
    """Look at labelled photographs; those that cannot be read are left out.

    A photograph is of every class that it carries a label of, wherever in it; classes may hold one another, as animals
    hold dogs.

    Args:
        model: of any task; only its encoder up to the layer is run.
        photographs: what is labelled.
        layer: dotted name, or the module itself; its values may not be below 0, as after a ReLU.
        batch: photographs at a time.
        preprocess: as in `mmcam.explain_class`.
        call: as in `mmcam.attribute`.

    Raises:
        ExplainError: the layer has values below 0, or is unknown; no photograph can be read.
    """
    module: Any = unwrap(model)
    forward = forward_of(module)
    means, members, place = [], [], None
    for made, labels in _batches(module, photographs, batch, preprocess):
        place = place or layer_at(module, forward, made.x, layer, call)
        maps = activations(module, forward, made.x, [place])[0].float()
        if bool((maps < 0).any()):
            raise ExplainError(
                f"{place.name} has values below 0, and class selectivity is an index of activity: take a layer after a "
                "ReLU."
            )
        means.append(maps.mean(dim=(2, 3)).cpu())
        members.append(labels)
    if place is None:
        raise ExplainError(f"No photograph of {photographs.name} can be read, so nothing drives a unit.")
    concepts = tuple(photographs.concepts)
    return Activity(torch.cat(means), torch.cat(members), concepts, photographs.name, fingerprint(module, place.name))


def selectivity(seen: Activity, shuffles: int = 199) -> Selectivity:
    """Find the class of photographs that each unit answers to most; see `most_selective` for the choice.

    Args:
        seen: of a layer.
        shuffles: how often the labels are dealt out anew among the photographs.

    Raises:
        ExplainError: no class has enough photographs.
    """
    sizes = seen.member.sum(0)
    tried = ((sizes >= LEAST) & (len(seen.member) - sizes >= LEAST)).nonzero()[:, 0]
    if not len(tried):
        raise ExplainError(f"No class of {seen.data} has {LEAST} photographs and as many that are of others.")
    concept, index, p = most_selective(seen.means, seen.member[:, tried], shuffles)
    concepts = tuple(seen.concepts[number] for number in tried.tolist())
    return Selectivity(concept, index, p, concepts, seen.data, len(seen.member), seen.fingerprint)


def most_selective(means: Tensor, member: Tensor, shuffles: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """The class that each unit answers to, its class selectivity index, and its p.

    The index says how much more a class drives a unit, and is large for few photographs by chance. So the class is the
    one that `outstanding` finds, and p says how often the greatest of all classes stands out as much once the labels
    are dealt out anew (Westfall & Young 1993).

    Args:
        means: (N,K) mean activity, not below 0.
        member: (N,G) bool: who is of which class.
        shuffles: how often the labels are dealt out anew.
        seed: of the shuffles.

    Returns:
        (K) the class, (K) its index, (K) its p.
    """
    dealt = orders(len(member), shuffles, seed)
    most, best = outstanding(means, member).max(dim=1)
    reached = torch.ones_like(most)  # row 0 itself
    for order in dealt[1:]:
        reached += outstanding(means, member[order]).amax(dim=1) >= most - 1e-6  # what rounding may lose
    index = class_selectivity(means, member).gather(1, best[:, None])[:, 0]
    return best, index.float(), (reached / len(dealt)).float()


def outstanding(means: Tensor, member: Tensor) -> Tensor:
    """(K,G) float64: by how many standard deviations a class's mean activity lies above that of all photographs.

    Those of the mean of as many photographs drawn without replacement, σ·√((N - n)/(n·(N - 1))); 0 for a unit that is
    the same in all.
    """
    values, sizes = means.double(), member.sum(0).double()
    of_class = (means.T @ member.to(means.dtype)).double() / sizes
    spread = values.std(dim=0, correction=0)[:, None]
    drawn = ((len(member) - sizes) / (sizes * (len(member) - 1))).sqrt()
    mean = values.mean(0)[:, None]
    far = (of_class - mean) / (spread * drawn).clamp(min=1e-12)
    return far.where(spread > 1e-6 * mean, 0.0)  # of a constant only rounding is left


def class_selectivity(means: Tensor, member: Tensor) -> Tensor:
    """(K,G) float64: (μ_class - μ_others)/(μ_class + μ_others), the others being all that are not of the class."""
    sums = (means.T @ member.to(means.dtype)).double()
    sizes = member.sum(0)
    own = sums / sizes
    others = ((means.double().sum(0)[:, None] - sums) / (len(member) - sizes)).clamp(min=0)  # rounding goes below 0
    return (own - others) / (own + others).clamp(min=1e-12)


def _batches(module: nn.Module, data: ConceptData, size: int, preprocess: Any) -> Iterator[tuple[Batch, Tensor]]:
    """Photographs with their classes (n,G), `size` at a time; those that cannot be read are left out."""
    for begin in with_progress(range(0, len(data), size), "Reading photographs"):
        pictures, members = [], []
        for index in range(begin, min(begin + size, len(data))):
            try:
                picture, labels = data.picture(index), data.labels(index)
            except PictureError:
                continue
            carried = np.unique(np.concatenate([np.ravel(label) for label in labels] or [np.zeros(0, int)]))
            member = torch.zeros(len(data.concepts), dtype=torch.bool)
            member[torch.from_numpy(carried[carried > 0].astype(np.int64)) - 1] = True
            pictures.append(picture)
            members.append(member)
        if pictures:
            yield batch_of(module, pictures, preprocess), torch.stack(members)
