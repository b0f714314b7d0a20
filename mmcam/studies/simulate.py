"""Simulated raters take part in a study: over HTTP, with the same trials, and named as what they are."""

from __future__ import annotations

import io
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from torch import Tensor

from mmcam.image.open import open_raster
from mmcam.studies.build import training_of
from mmcam.studies.design import read_design
from mmcam.studies.raters import eyes, simulated
from mmcam.studies.store import SIMULATED

NOMINAL: Final = 1000.0
"""Milliseconds that every simulated answer is said to have taken: a program's time means nothing."""
SENT: Final = 50
"""Answers at a time."""


def simulate(
    folder: Path, eyes_of: Any, count: int, seed: int = 0, tell: Callable[[str], object] = lambda text: None
) -> list[str]:
    """Let simulated raters take part; one who has taken part already changes nothing.

    Args:
        folder: of the study, built with training pictures.
        eyes_of: a classifier of photographs, which is none of the study's models.
        count: how many raters.
        seed: of what each has seen, and of his taste.
        tell: is told what is done.

    Returns:
        Their IDs.

    Raises:
        ExplainError: the study was built without training pictures.
    """
    design, training = read_design(folder), training_of(folder)
    tell(f"{len(training)} training pictures are looked at …")
    seen = eyes(eyes_of, [_opened(path.read_bytes()) for path, _ in training])
    raters = simulated(seen, [label for _, label in training], count, seed)
    features: dict[str, Tensor] = {}
    ids = [f"{SIMULATED}-{seed}-{number}" for number in range(count)]
    with served(folder) as url:
        for rater, name in zip(raters, ids, strict=True):
            begun = posted(url, "session", {"source": SIMULATED, "rater": name})
            left = [trial for trial in begun["trials"] if trial["trial"] not in begun["answered"]]
            new = sorted({image for trial in left for image in trial["images"]} - features.keys())
            if new:
                tell(f"{len(new)} stimuli are looked at …")
                shown = eyes(eyes_of, [_opened(fetched(f"{url}/stimuli/{image}")) for image in new])
                features |= dict(zip(new, shown, strict=True))
            answers = [
                {
                    "id": f"{name}-{trial['trial']}", "trial": trial["trial"], "ms": NOMINAL,
                    "choice": rater.choice(design.kind, design.question, trial, features),
                }
                for trial in left
            ]  # fmt: skip
            for start in range(0, len(answers), SENT):
                posted(url, "answers", {"session": begun["session"], "answers": answers[start : start + SENT]})
            posted(url, "finish", {"session": begun["session"]})
    return ids


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The study's server on a free port of this machine, for as long as it is needed: its address."""
    import uvicorn

    from mmcam.studies.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(folder), port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def posted(url: str, what: str, body: dict[str, Any]) -> Any:
    """What the server answers to a request of its API."""
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/{what}", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def fetched(url: str) -> bytes:
    """The bytes at an address of the server."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return bytes(answer.read())


def _opened(data: bytes) -> Image.Image:
    return open_raster(io.BytesIO(data)).convert("RGB")
