"""What a job is of: written before anything else, and the same whenever the job goes on."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmcam.errors import ExplainError
from mmcam.files import is_file, is_folder, json_text, parsed
from mmcam.jobs.store import Store
from mmcam.version import __version__

NAME = "manifest.json"
FORMAT = 1

Manifest = dict[str, Any]

_CALLED = {
    "model": "the model",
    "version": "the version of mmcam",
    "how": "the layer, contrast or score",
    "true": "what is explained",
    "keep_weights": "whether unit weights are kept",
    "batch": "the size of batches",
    "shard": "the size of parts",
}


def weights_of(model: nn.Module) -> str:
    """Sixteen hex digits of all parameters and buffers of a model, with their names, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def begin(store: Store, of: Mapping[str, Any], about: Mapping[str, Any]) -> Manifest:
    """Write the manifest of a new job, or find that of one that goes on.

    Args:
        store: of the job.
        of: everything the results hang on: JSON values.
        about: what a reader wants to know besides, as where the pictures are.

    Raises:
        ExplainError: the folder is of another job, or holds other things.
    """
    new = {"format": FORMAT, "of": dict(of), "about": {**about, "made_with": versions()}}
    before = read(store)
    written = any(name.endswith(".parquet") for folder in ("results", "") for name in store.names(folder))
    if before is None and written:
        raise ExplainError(f"{store.root} holds results without a manifest; name another place with --out.")
    if before is None or not written:  # of a job of which nothing is there yet, what was asked may be mended
        store.write(NAME, (json_text(new, indent=1) + "\n").encode("utf-8", "backslashreplace"))
        return new
    mine = parsed(json_text(new["of"]))
    differs = [key for key in {**mine, **before["of"]} if mine.get(key) != before["of"].get(key)]
    if differs:
        what, *others = [_CALLED.get(key, f"the {key}") for key in differs]
        was, now = (_short(each.get(differs[0])) for each in (before["of"], mine))
        also = f"; also {', '.join(others)}" if others else ""
        raise ExplainError(
            f"{store.root} is of another job ({what}: there {was}, here {now}{also}); name another place with --out."
        )
    return before


def read(store: Store) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises:
        ExplainError: it is none of ours, or of another format.
    """
    content = store.read(NAME)
    if content is None:
        return None
    try:
        manifest: Manifest = parsed(content.decode("utf-8"))
        known = manifest["format"], manifest["of"].keys(), manifest["about"].keys()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExplainError(f"{store.path(NAME)} is no manifest of a job; name another place.") from error
    if known[0] != FORMAT:
        raise ExplainError(f"{store.root} was written by another mmcam (format {known[0]!r}); install that one.")
    return manifest


def is_job(path: Path) -> bool:
    """Whether a folder holds a job of explanations."""
    return is_file(path / NAME) and is_folder(path / "results")


def versions() -> dict[str, str]:
    """Of what computes."""
    return {"mmcam": __version__, "torch": torch.__version__, "python": platform.python_version()}


def _short(value: Any) -> str:
    text = json_text(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
