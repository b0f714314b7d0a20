"""ImageNet's 1,000 classes: what they are called, and what they are kinds of.

`imagenet.json` was made of WordNet by `experiments/train/imagenet_names.py`, which says how; WordNet's licence lies
beside it.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class ClassNames:
    """Names of classes, by which `mmcam.explain_class` finds them.

    Attributes:
        classes: one each, all different: "tabby", "crane (wading bird)".
        synonyms: the classes that each further name belongs to; a few have two: "tabby cat", "crane".
        hypernyms: the classes under each wider word: "cat", "vehicle".
    """

    classes: tuple[str, ...]
    synonyms: dict[str, tuple[int, ...]]
    hypernyms: dict[str, tuple[int, ...]]


@cache
def imagenet_names() -> ClassNames:
    """Those of ImageNet."""
    read = json.loads((Path(__file__).parent / "imagenet.json").read_text(encoding="utf-8"))
    synonyms: dict[str, tuple[int, ...]] = {}
    for index, entry in enumerate(read["classes"]):
        for word in entry["words"]:
            synonyms[word] = (*synonyms.get(word, ()), index)
    hypernyms = {word: tuple(_indices(runs)) for word, runs in read["hypernyms"].items()}
    return ClassNames(tuple(entry["name"] for entry in read["classes"]), synonyms, hypernyms)


def _indices(runs: str) -> list[int]:
    """ "1-3 7" as [1, 2, 3, 7]."""
    found: list[int] = []
    for run in runs.split():
        first, _, last = run.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
