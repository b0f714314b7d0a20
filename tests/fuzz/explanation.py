"""A saved explanation: its ``.npz`` as it lies there, or its description (JSON) beside arrays that stay as they are."""

import io

import numpy as np
from fuzz.harness import in_a_sentence, workplace
from PIL import Image

from mmcam import load_explanation

FILE = workplace() / "one.npz"
_PNG = io.BytesIO()
Image.new("RGB", (8, 6), "red").save(_PNG, "PNG")
ARRAYS = {
    "picture": np.frombuffer(_PNG.getvalue(), np.uint8),
    "values": np.arange(6, dtype=np.float32).reshape(2, 3),
    "weights": np.ones(4, np.float32),
    "activations": np.ones((4, 2, 3), np.float32),
}


def read(data: bytes) -> None:
    if data.startswith(b"PK"):
        FILE.write_bytes(data)
    else:
        np.savez(FILE, meta=np.array(data.decode("utf-8", "replace")), **ARRAYS)
    with in_a_sentence():
        found = load_explanation(FILE)
        repr(found)
        found.summary()
        for one in getattr(found, "words", (found,)):
            assert one.heatmap.shape == (6, 8) or data.startswith(b"PK")
            one.peak()
            one.overlay()
