"""A dissection as a job: its own resumable one, in a folder with manifest and lock, and its units as a table."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmcam.datasets.concepts import ConceptData
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.jobs import manifest
from mmcam.jobs.lock import locked
from mmcam.jobs.run import check_arrow
from mmcam.jobs.store import Store, remote
from mmcam.neurons.dissect import dissect
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.version import __version__

NAME = "dissection"
TABLE = "units.parquet"


def run_dissection(
    model: Any, spec: str, data: ConceptData, out: str, *, layer: str | None, batch: int, preprocess: Any,
    tell: Callable[[str], object] = print,
) -> Dissection:  # fmt: skip
    """Do what is left of a dissection.

    Args:
        model: of any task.
        spec: as it was named.
        data: pictures with concepts.
        out: the folder of the job.
        layer, batch, preprocess: as in `mmcam.dissect`.
        tell: is told what is of note.

    Returns:
        The dissection, which is in OUT/dissection.json and .safetensors, and by unit in OUT/units.parquet.

    Raises:
        ExplainError: the folder is another job's, or another process works on it.
        OSError: what is made cannot be written.
    """
    check_arrow()
    if remote(out):
        raise ExplainError("A dissection keeps its state in a file on a disk; name a folder with --out.")
    store, folder = Store(out), Path(out)
    module = unwrap(model)
    of = {
        "task": "dissect",
        "version": __version__,
        "model": {"name": spec, "class": type(module).__name__, "weights": manifest.weights_of(module)},
        "pictures": {"items": len(data), "data": data.name},
        "how": {"layer": layer},
    }
    with locked(out):
        manifest.begin(store, of, {"images": data.name})
        if store.read(f"{NAME}.json") is not None and store.read(f"{NAME}.safetensors") is not None:
            tell("The dissection is done already.")
            found = Dissection.load(folder / NAME)
        else:
            found = dissect(model, data, layer, batch=batch, preprocess=preprocess, resume=folder / f"{NAME}.part")
            found.save(folder / NAME)
        store.write(TABLE, _units(found))
    return found


def _units(found: Dissection) -> bytes:
    """A row a unit: its threshold, and its name where one fits better than `DETECTOR`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = found.names(DETECTOR).units
    rows = [
        {
            "unit": unit,
            "threshold": float(found.thresholds[unit]),
            "name": names[unit].name if unit in names else None,
            "category": names[unit].category if unit in names else None,
            "iou": names[unit].score if unit in names else None,
        }
        for unit in range(found.units)
    ]
    buffer = io.BytesIO()
    kinds = [("unit", pa.int32()), ("threshold", pa.float64()), ("name", pa.string()), ("category", pa.string())]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([*kinds, ("iou", pa.float64())])), buffer)
    return buffer.getvalue()
