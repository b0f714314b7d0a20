"""The two files of a dissection, which prove that they belong together: PATH.json has a checksum of both."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcam.datasets.concepts import Concept
from mmcam.errors import ExplainError
from mmcam.files import json_text, parsed, write_all
from mmcam.neurons.selectivity import Selectivity

_SHAPES = {
    "thresholds": "K",
    "both": "KL",
    "active": "KL",
    "truth": "L",
    "exemplars": "Kn",
    "spots": "Kn2",
    "peaks": "Kn",
}
"""Units, concepts and noted pictures: what the tensors' axes are."""

ALWAYS = tuple(_SHAPES)
"""The tensors that every dissection has."""

_SELECTIVITY = {"selectivity.concept": "K", "selectivity.index": "K", "selectivity.p": "K"}

_MOST = 2**48
"""Pictures, cells or shuffles; whoever claims more has counted nothing."""

_FLOATS = ("thresholds", "spots", "peaks", "selectivity.index", "selectivity.p")


def write(path: Path, tensors: dict[str, Tensor], rest: Mapping[str, object]) -> tuple[Path, Path]:
    """Write the tensors and the rest; both files are complete before the first takes its place.

    Raises:
        OSError: they cannot be written there.
    """
    from safetensors.torch import save

    arrays = save(tensors)
    text = json_text({**rest, "checksum": checksum(arrays, rest)}, indent=1).encode()
    at = Path(f"{path}.safetensors"), Path(f"{path}.json")
    write_all({at[0]: lambda file: file.write(arrays), at[1]: lambda file: file.write(text)})
    return at


def checksum(arrays: bytes, rest: Mapping[str, object]) -> str:
    """SHA-256 of the tensors' file and of the rest as compact JSON, its keys sorted."""
    return hashlib.sha256(arrays + json_text(dict(sorted(rest.items()))).encode()).hexdigest()


def read(base: str) -> dict[str, Any]:
    """The fields of a `mmcam.neurons.dissection.Dissection`.

    Raises:
        ExplainError: a file is missing, is no dissection's, or is another dissection's than the other.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        rest = parsed(Path(f"{base}.json").read_text(encoding="utf-8"))
        arrays = Path(f"{base}.safetensors").read_bytes()
        proof = rest.pop("checksum", None)
        if proof not in (None, checksum(arrays, rest)):
            raise ExplainError(
                f"{base}.json and {base}.safetensors are not of one dissection, or were changed, as the checksum says; "
                "copy both from where they were made, or make them again with `mmcam dissect`."
            )
        tensors = load(arrays)
        fields = _fields(rest)
        shapes = _SHAPES | ({"reached": "KL"} if fields["shuffles"] else {})
        if (found := rest.get("selectivity")) is not None:
            shapes |= _SELECTIVITY
        fields |= _tensors(tensors, shapes, len(fields["concepts"]))
        if fields["shuffles"] and int(fields["reached"].max()) > fields["shuffles"]:
            raise ValueError("more shuffles reached an IoU than there were")
        if found is not None:
            fields["selectivity"] = _selectivity(found, fields)
    except ExplainError:
        raise
    except FileNotFoundError as error:
        raise ExplainError(
            f"There is no dissection at {base}: it has a .json and a .safetensors beside each other; "
            "`mmcam dissect` makes them."
        ) from error
    except OSError as error:
        raise ExplainError(f"The dissection at {base} cannot be read ({error.strerror}); check the path.") from error
    except (SafetensorError, TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise ExplainError(f"{base} holds no dissection of mmcam; make it again with `mmcam dissect`.") from error
    if proof is None:
        warnings.warn(
            f"{base}.json is of an older mmcam and has no checksum of {base}.safetensors, so nothing proves that they "
            "belong together; load and save it to add one.",
            stacklevel=3,
        )
    return fields


def _fields(rest: Mapping[str, Any]) -> dict[str, Any]:
    """What is no tensor, checked.

    Raises:
        TypeError, KeyError or ValueError: something is missing, or of another kind.
    """
    fields = dict(rest)
    fields["shuffles"] = rest.get("shuffles", 0)  # older files have none, as below
    lists = (rest["concepts"], rest["skipped"], rest["shape"], rest.get("casts", []))
    if not all(isinstance(each, list) for each in lists):
        raise TypeError("a list is none")
    fields["concepts"] = tuple(Concept(**concept) for concept in rest["concepts"])
    fields["skipped"] = tuple((int(index), why) for index, why in rest["skipped"])
    fields["shape"] = height, width = tuple(rest["shape"])
    fields["casts"] = tuple(rest.get("casts", ()))
    texts = [rest[name] for name in ("layer", "model", "data", "fingerprint", "version")]
    texts += [text for concept in fields["concepts"] for text in (concept.name, concept.category)]
    texts += [*fields["casts"], *(why for _, why in fields["skipped"])]
    if not fields["concepts"] or not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is none, or there are no concepts")
    "".join(texts).encode()  # a lone surrogate, which no file can hold, is no text
    if any(
        type(count) is not int or not 0 <= count < _MOST
        for count in (rest["pictures"], height, width, fields["shuffles"])
    ):
        raise TypeError("a count is none")
    shares = rest["quantile"], rest["sampled"]
    if any(type(share) not in (int, float) or not 0 < share <= 1 for share in shares):
        raise TypeError("a share is none")
    return fields


def _selectivity(found: Mapping[str, Any], fields: dict[str, Any]) -> Selectivity:
    """What is known of photographs, checked; its tensors leave `fields`.

    Raises:
        TypeError, KeyError or ValueError: something is missing, or of another kind.
    """
    concept, index, p = (fields.pop(name) for name in _SELECTIVITY)
    concepts, photographs = tuple(Concept(**each) for each in found["concepts"]), found["photographs"]
    texts = [found["data"], *(text for each in concepts for text in (each.name, each.category))]
    if not all(isinstance(text, str) for text in texts) or type(photographs) is not int or photographs < 0:
        raise TypeError("a text or a count is none")
    if int(concept.max()) >= len(concepts) or not bool(((p > 0) & (p <= 1) & (index.abs() <= 1)).all()):
        raise ValueError("a class that is not listed, or no p or index")
    return Selectivity(concept, index, p, concepts, found["data"], photographs, fields["fingerprint"])


def _tensors(tensors: Mapping[str, Tensor], shapes: Mapping[str, str], concepts: int) -> dict[str, Tensor]:
    """The tensors, with whole numbers as int64 and others in float32, checked.

    Raises:
        KeyError or ValueError: one is missing, too many, or of another shape or kind.
    """
    if tensors.keys() != shapes.keys():
        raise KeyError("not a dissection's tensors")
    sizes = {"L": concepts, "2": 2}
    for name, axes in shapes.items():
        tensor = tensors[name]
        known = tuple(sizes.setdefault(axis, size) for axis, size in zip(axes, tensor.shape, strict=True))
        counts = name not in _FLOATS and name != "exemplars"  # which are -1 where there are fewer
        if (
            tensor.shape != known
            or tensor.is_floating_point() != (name in _FLOATS)
            or tensor.is_complex()
            or (counts and bool((tensor < 0).any()))
        ):
            raise ValueError(f"{name} is of another shape or kind")
    if not sizes["K"]:
        raise ValueError("there are no units")
    return {name: t.float() if t.is_floating_point() else t.long() for name, t in tensors.items()}
