"""Files of weights, ``.safetensors`` and ``torch.save``'s, and their way into a network."""

import torch
from fuzz.harness import in_a_sentence, workplace
from torch import nn

from mmcam.models.state import fill, read_state

ROOT = workplace()
ZIP = b"PK\x03\x04"


def read(data: bytes) -> None:
    file = ROOT / ("w.pth" if data.startswith((ZIP, b"\x80")) else "w.safetensors")
    file.write_bytes(data)
    with in_a_sentence():
        state = read_state(file)
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2))
        with in_a_sentence():
            fill(net, state, f"The weights in {file} do not fit the network")
