"""Network Dissection: which concept does each unit of a layer detect? (Bau et al., arXiv 1704.05796)

Two passes over labelled pictures. The first finds each unit's threshold T_k with P(a_k > T_k) = 0.005 over all places
of all pictures; the second brings every unit's map to the labels' resolution, cuts it at T_k, and counts the pixels it
shares with each concept, and the points that it would share with it by chance.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmcam.datasets.concepts import ConceptData
from mmcam.engine.modules import unwrap
from mmcam.engine.record import activations
from mmcam.errors import ExplainError, PictureError
from mmcam.files import is_file, json_text, write_whole
from mmcam.image import Batch
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.fingerprint import cast_fingerprints, fingerprint
from mmcam.neurons.quantile import TopQuantile
from mmcam.neurons.same_pictures import SamePictures
from mmcam.neurons.shuffled import COUNTS, Shuffled
from mmcam.neurons.tally import TALLIES, Tally
from mmcam.places.find import find_layer
from mmcam.places.survey import layer_at
from mmcam.preparation import batch_of
from mmcam.progress import with_progress
from mmcam.tasks.anything import forward_of
from mmcam.version import __version__

SAVE_EVERY = 50  # batches between two savings of a resumable dissection


@torch.inference_mode(False)
def dissect(
    model: nn.Module,
    data: ConceptData,
    layer: str | nn.Module | None = None,
    *,
    quantile: float = 0.005,
    counted: Literal["carrying", "touched"] = "carrying",
    exemplars: int = 8,
    shuffles: int = 199,
    batch: int = 32,
    memory: int = 2**30,
    resume: str | os.PathLike[str] | None = None,
    preprocess: Any = None,
    call: int | None = None,
) -> Dissection:
    """Compare every unit of a layer with every concept.

    The intersection over union of a unit and a concept is counted over the whole data set: pixels of both, over pixels
    where the unit is active, in the pictures that count, plus pixels of the concept, less those of both. A label of the
    whole picture covers every pixel. What a crop hides from the model is active nowhere.

    Args:
        model: of any task; only its encoder up to the layer is run, on the device it is on. Left as found.
        data: pictures with concepts, e.g. of `mmcam.datasets.concepts`.
        layer: dotted name, or the module itself; default the layer that is explained by default.
        quantile: share of all places at which a unit is active.
        counted: the pictures whose active pixels count against a concept: all that carry some concept of its category
            (the paper; github.com/CSAILVision/NetDissect), or only those where the unit's active pixels touch one of
            them (github.com/CSAILVision/NetDissect-Lite), which gives larger IoUs.
        exemplars: how many of its strongest pictures to note for each unit.
        shuffles: how often the labels are dealt out anew among the pictures (each block of 256 for itself) to see which
            IoU chance gives; the smallest p that can be found is 1/(shuffles + 1), and 0 leaves the test out. It takes
            ``4·K·L·(shuffles + 1)`` bytes, and reads the labels once more.
        batch: pictures at a time.
        memory: bytes for finding the thresholds. They are exact if this holds ``16·K·quantile`` bytes a place: 0.5 GB
            for 512 units of 14×14 over 63,000 pictures. With less, from as many places as fit, drawn at random.
        resume: a file that keeps the state every 50 batches; a dissection that is started again goes on from it, and
            takes it away at the end. It knows model, layer, settings and pictures: some pictures are read again before
            it goes on, and each is compared with what the first pass read, so they have to stay the same.
        preprocess: as in `mmcam.explain_class`.
        call: as in `mmcam.attribute`.

    Returns:
        A Dissection on the CPU.

    Raises:
        ExplainError: no picture can be read; the layer is unknown or no spatial map; a label of no concept; `resume`
            belongs to another dissection, or to other pictures.
    """
    module: Any = unwrap(model)
    _check(data, quantile, counted, exemplars, shuffles, batch)
    forward = forward_of(module)
    read_once = None if resume is None else SamePictures(data)
    data = data if read_once is None else read_once
    skipped: dict[int, str] = {}
    first = next((made for _, made in _batches(module, data, 1, preprocess, range(len(data)), skipped)), None)
    if first is None:
        raise ExplainError(f"No picture of {data.name} can be read; the first: {skipped[0]}")
    found = find_layer(module, forward, first.x) if layer is None else layer
    place = layer_at(module, forward, first.x, found, call)
    whose = fingerprint(module, place.name)
    seen = activations(module, forward, first.x, [place])[0]
    units, shape = seen.shape[1], (seen.shape[2], seen.shape[3])
    state = _State(
        TopQuantile(quantile, units, len(data) * shape[0] * shape[1], memory, seen.device),
        Tally(data, units, exemplars, counted == "touched", seen.device),
        Shuffled(data, units, shuffles, counted == "touched", seen.device) if shuffles else None,
        skipped,
        read_once,
    )
    about = {
        "fingerprint": whose, "layer": place.name, "data": data.name, "pictures": len(data), "quantile": quantile,
        "counted": counted, "exemplars": exemplars, "shuffles": shuffles, "memory": memory, "batch": batch,
        "call": call,
        "preprocess": str(preprocess or getattr(module, "preprocess", None)),
        "concepts": [(concept.category, concept.name) for concept in data.concepts], "version": __version__,
    }  # fmt: skip
    kept = None if resume is None else Path(resume)
    start = state.load(kept, about) if kept is not None and is_file(kept) else 0

    def read(rows: range) -> Iterator[tuple[list[int], Batch, Tensor]]:
        for where, made in _batches(module, data, len(rows), preprocess, rows, skipped):
            yield where, made, activations(module, forward, made.x, [place])[0].float()

    def keep(step: int) -> None:
        if kept is not None:
            state.save(kept, about, step)

    chunks = [range(begin, min(begin + batch, len(data))) for begin in range(0, len(data), batch)]
    thresholds = _two_passes(state, read, chunks, start, keep)
    if kept is not None:
        kept.unlink(missing_ok=True)
    tally = state.tally
    return Dissection(
        concepts=tuple(data.concepts),
        thresholds=thresholds.cpu(),
        both=tally.both.cpu(),
        active=tally.active[:, tally.category].cpu(),
        truth=tally.truth.cpu(),
        exemplars=tally.exemplars.cpu(),
        spots=tally.spots.cpu(),
        peaks=tally.peaks.cpu(),
        shape=shape,
        layer=place.name,
        model=type(module).__name__,
        data=data.name,
        pictures=len(data) - len(skipped),
        quantile=quantile,
        sampled=state.quantile.fraction,
        skipped=tuple(sorted(skipped.items())),
        fingerprint=whose,
        casts=cast_fingerprints(module, place.name),
        reached=None if state.shuffled is None else state.shuffled.reached().cpu(),
        shuffles=shuffles,
    )


def _check(data: ConceptData, quantile: float, counted: str, exemplars: int, shuffles: int, batch: int) -> None:
    """Refuse settings with which nothing would be found."""
    if not 0 < quantile < 1:
        raise ExplainError(f"quantile={quantile} is no share of the places; choose one between 0 and 1, as 0.005.")
    if counted not in ("carrying", "touched"):
        raise ExplainError(f"There is no counted={counted!r}; choose 'carrying' or 'touched'.")
    if batch < 1:
        raise ExplainError(f"With batch={batch} no picture is read; pass at least 1.")
    if exemplars < 0:
        raise ExplainError(f"exemplars={exemplars} pictures cannot be noted for a unit; pass 0 or more.")
    if shuffles < 0:
        raise ExplainError(f"shuffles={shuffles} tell nothing of chance; pass 0 for no test, or 199.")
    if not len(data) or not data.concepts:
        raise ExplainError(f"{data.name} holds no pictures or no concepts, so there is nothing to dissect with.")


def _two_passes(
    state: _State,
    read: Callable[[range], Iterable[tuple[list[int], Batch, Tensor]]],
    chunks: Sequence[range],
    start: int,
    keep: Callable[[int], None],
) -> Tensor:
    """Find the thresholds over all chunks of pictures, then count over all of them again.

    Args:
        state: what is filled.
        read: the pictures of a chunk: their numbers, their batch, and the layer's maps (N,K,h,w).
        chunks: the data set, some pictures at a time.
        start: the step to go on with; both passes are one count, so that one bar shows both.
        keep: called with the next step now and then.

    Returns:
        The thresholds (K).
    """
    thresholds = state.quantile.thresholds() if start >= len(chunks) else None
    for step in with_progress(range(start, 2 * len(chunks)), "Dissecting"):
        if step == len(chunks):
            thresholds = state.quantile.thresholds()
        for where, made, maps in read(chunks[step % len(chunks)]):
            if thresholds is None:
                state.quantile.add(maps)
            else:
                state.tally.add(maps, thresholds, where, made.geometries, state.skipped)
                if state.shuffled is not None:
                    state.shuffled.add(maps, thresholds, where, made.geometries, state.skipped)
        if (step + 1) % SAVE_EVERY == 0:
            keep(step + 1)
    assert thresholds is not None
    return thresholds


def _batches(
    module: nn.Module, data: ConceptData, size: int, preprocess: Any, rows: range, skipped: dict[int, str]
) -> Iterator[tuple[list[int], Batch]]:
    """The pictures of some rows that can be read, `size` at a time; those that cannot are noted in `skipped`."""
    ready: list[tuple[int, Batch]] = []
    for index in rows:
        if index in skipped:
            continue
        try:  # one by one: a picture may be readable and yet too elongated for the model's crop
            ready.append((index, batch_of(module, [data.picture(index)], preprocess)))
        except PictureError as error:
            skipped[index] = str(error)
        if len(ready) == size:
            yield _joined(ready)
            ready = []
    if ready:
        yield _joined(ready)


def _joined(ready: Sequence[tuple[int, Batch]]) -> tuple[list[int], Batch]:
    """Several batches of one picture as one."""
    batches = [batch for _, batch in ready]
    x = torch.cat([batch.x for batch in batches])
    pictures, geometries = [batch.pictures[0] for batch in batches], [batch.geometries[0] for batch in batches]
    return [index for index, _ in ready], Batch(x, pictures, geometries, False)


class _State:
    """All that a dissection has found so far."""

    def __init__(
        self,
        quantile: TopQuantile,
        tally: Tally,
        shuffled: Shuffled | None,
        skipped: dict[int, str],
        read_once: SamePictures | None,
    ) -> None:
        self.quantile, self.tally, self.shuffled = quantile, tally, shuffled
        self.skipped, self.read_once = skipped, read_once

    def owners(self) -> dict[str, Tally | Shuffled]:
        """By the name of each count of the second pass: whose it is."""
        owners: dict[str, Tally | Shuffled] = dict.fromkeys(TALLIES, self.tally)
        return owners if self.shuffled is None else owners | dict.fromkeys(COUNTS, self.shuffled)

    def tensors(self) -> dict[str, Tensor]:
        """All that is counted, on the CPU."""
        counts = {name: getattr(of, name).cpu().contiguous() for name, of in self.owners().items()}
        return {**counts, **self.quantile.state(), **(self.read_once.digests if self.read_once else {})}

    def save(self, path: Path, about: dict[str, Any], step: int) -> None:
        from safetensors.torch import save

        meta = {"about": json_text(about), "step": str(step), "skipped": json_text(self.skipped)}
        content = save(self.tensors(), metadata=meta)
        write_whole(path, lambda file: file.write(content))

    def load(self, path: Path, about: dict[str, Any]) -> int:
        """Go on from a file; the step to go on with."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError) as error:
            raise ExplainError(
                f"{path} is no state of a dissection; delete it, or name another with resume=."
            ) from error
        if meta.get("about") != json_text(about):
            raise ExplainError(
                f"{path} belongs to a dissection of another model, layer, data set or setting; delete it, or name "
                "another file with resume=."
            )
        assert self.read_once is not None
        self.read_once.go_on({kind: tensors[kind] for kind in self.read_once.digests})
        self.quantile.restore(tensors)
        for name, of in self.owners().items():
            setattr(of, name, tensors[name].to(self.tally.both.device))
        self.skipped.update({int(index): why for index, why in json.loads(meta["skipped"]).items()})
        return int(meta["step"])
