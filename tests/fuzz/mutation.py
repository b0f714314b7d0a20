"""Changes of an input that keep its JSON JSON: of bytes changed blindly hardly any gets past the parser."""

import contextlib
import copy
import json
import random
from typing import Any

from fuzz.harness import CUT

VALUES = (
    *(None, True, False, 0, -1, 1, 3, 1.5, 1e999, -1e999, float("nan"), 2**31, 2**63, 10**40, -(10**40)),
    *("", "x", "\0", "\ud800", "a\nb", "../../x", "/etc/passwd", "9" * 5000, "a" * 2000, "<b>", "nan"),
    *([], {}, [[]], [None], {"a": 1}, [0] * 3, [1e999] * 8, ["a"] * 8, [[1, 1, 2, 2, 3, 1]], "SHA256"),
)
"""What stands where nobody expects it."""


def mutated(data: bytes, seed: int) -> bytes | None:
    """One to four values of one of an input's JSON texts taken away, doubled or replaced; None where it has no such."""
    rnd = random.Random(seed)
    files = data.split(CUT)
    texts = [number for number, file in enumerate(files) if file.lstrip()[:1] in (b"{", b"[")]
    if not texts:
        return None
    chosen = rnd.choice(texts)
    try:
        document = json.loads(files[chosen])
    except (ValueError, RecursionError):
        return None
    for _ in range(rnd.choice((1, 1, 1, 2, 4))):
        _change(document, rnd)
    with contextlib.suppress(ValueError, RecursionError):
        files[chosen] = json.dumps(document, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return CUT.join(files)


def _change(document: Any, rnd: random.Random) -> None:
    places = list(_places(document))
    if not places:
        return
    box, key = rnd.choice(places)
    how = rnd.randrange(6)
    if how == 0:
        del box[key]
    elif how == 1 and isinstance(box, list):
        box.append(copy.deepcopy(box[key]))
    elif how == 2:
        other, name = rnd.choice(places)
        box[key] = copy.deepcopy(other[name])
    else:
        box[key] = copy.deepcopy(rnd.choice(VALUES))


def _places(document: Any) -> Any:
    """Every container with every key or index of it."""
    if isinstance(document, dict):
        keys: Any = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    else:
        return
    for key in keys:
        yield document, key
        yield from _places(document[key])
