"""The folder of a run: its card (JSON), of a bundled kind of model or a finetuned one, beside weights that stay.

``SHA256`` in the card stands for the checksum of the weights, without which nothing behind it would be reached.
"""

import hashlib

import safetensors.torch
import torch
from fuzz.harness import in_a_sentence, workplace

from mmcam.models import load

FOLDER = workplace() / "run"
FOLDER.mkdir()
WEIGHTS = safetensors.torch.save({"output.weight": torch.zeros(2, 512), "output.bias": torch.zeros(2)})
(FOLDER / "run.safetensors").write_bytes(WEIGHTS)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest().encode()


def read(data: bytes) -> None:
    (FOLDER / "run.json").write_bytes(data.replace(b"SHA256", SHA256))
    with in_a_sentence():
        load(FOLDER)
