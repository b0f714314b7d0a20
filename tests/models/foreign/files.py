"""Files in exactly the formats of others, and features of pictures to read them beside."""

import argparse
import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SMALL, seeded
from torch import Tensor, nn

from models.encoder import Features

WORDS = ("a", "dog", "café", "runs", "on", "UNK")
UNITS, WORD, STATE, KEY = 5, 7, 6, 4


def features(units: int = UNITS) -> Features:
    """32 pixels → 5 units on 8×8 places."""

    def build() -> Features:
        layers = (nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, units, 3, 2, 1), nn.ReLU())
        return Features(*layers, units=units, side=8, preprocess=SMALL)

    return seeded(build)


def tensors(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """A state dict of these shapes, lively enough that a forgotten term shows."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) * 0.7 for name, shape in shapes.items()}


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


V = len(WORDS) + 1
MAXOUT = linear("i2h", WORD, 5 * STATE) | linear("h2h", STATE, 5 * STATE)
ATTENTION = linear("core.attention.h2att", STATE, KEY) | linear("core.attention.alpha_net", KEY, 1)
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "fc": linear("img_embed", UNITS, WORD)
    | {f"core.{name}": shape for name, shape in MAXOUT.items()}
    | {"embed.weight": (V, WORD)}
    | linear("logit", STATE, V),
    "newfc": {"embed.weight": (V, WORD)}
    | linear("fc_embed", UNITS, WORD)
    | linear("logit", STATE, V)
    | {f"_core.{name}": shape for name, shape in MAXOUT.items()},
    "show_tell": linear("img_embed", UNITS, WORD)
    | {"core.weight_ih_l0": (4 * STATE, WORD), "core.weight_hh_l0": (4 * STATE, STATE), "embed.weight": (V, WORD)}
    | linear("logit", STATE, V),
    "att2in": {"embed.weight": (V, WORD)}
    | linear("logit", STATE, V)
    | linear("ctx2att", UNITS, KEY)
    | linear("core.a2c", UNITS, 2 * STATE)
    | {f"core.{name}": shape for name, shape in MAXOUT.items()}
    | ATTENTION,
    "att2in2": {"embed.0.weight": (V, WORD)}
    | linear("att_embed.0", UNITS, STATE)
    | linear("logit", STATE, V)
    | linear("ctx2att", STATE, KEY)
    | linear("core.a2c", STATE, 2 * STATE)
    | {f"core.{name}": shape for name, shape in MAXOUT.items()}
    | ATTENTION,
}
EACH = pytest.mark.parametrize("kind", list(SHAPES))


def options(kind: str) -> dict[str, Any]:
    return {"caption_model": kind, "rnn_type": "lstm", "rnn_size": STATE, "drop_prob_lm": 0.5, "num_layers": 1}


def infos(kind: str = "fc", words: tuple[str, ...] = WORDS) -> dict[str, Any]:
    vocabulary = {str(i): word for i, word in enumerate(words, start=1)}
    return {
        "iter": 9,
        "opt": argparse.Namespace(**options(kind)),
        "vocab": vocabulary,
        "best_val_score": np.float64(0.9),
    }


def written(folder: Path, kind: str, **changes: Any) -> tuple[Path, Path]:
    """``model-best.pth`` and ``infos_*-best.pkl`` as ImageCaptioning.pytorch writes them under Python 3."""
    weights, info = folder / "model-best.pth", folder / f"infos_{kind}-best.pkl"
    torch.save(collections.OrderedDict(tensors(SHAPES[kind])), weights)
    info.write_bytes(pickle.dumps({**infos(kind), **changes}, protocol=2))
    return weights, info
