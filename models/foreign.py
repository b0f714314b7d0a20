"""Other people's captioners: their checkpoints, read without running code from them, in the shape of ours.

* ImageCaptioning.pytorch (ruotianluo; "neuraltalk2 in PyTorch"): ``model-best.pth``, a state dict, and
  ``infos_*-best.pkl``, a pickle with the options and the vocabulary. Its models ``fc`` and ``newfc`` (an LSTM with
  maxout; Rennie et al. 2017, arXiv:1612.00563), ``show_tell`` (Vinyals et al. 2015, arXiv:1411.4555), and ``att2in``
  and ``att2in2`` (arXiv:1612.00563, section 2).
* a-PyTorch-Tutorial-to-Image-Captioning (sgrvinod): Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044). Its
  checkpoints are pickles of whole modules, which run code; they have to be made state dicts where that code is.

Neither comes with the CNN that saw the pictures, so a `Features` is passed beside them, e.g. from `resnet_features`.
"""

import argparse
import collections
import json
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models as zoo

from mmcam.errors import ExplainError
from mmcam.image import Preprocess
from mmcam.model_spec import fill, read_state
from models.encoder import Features
from models.photo import Pooled
from models.speaker import UNKNOWN, Parts, Speaker

File = str | PathLike[str]


class Maxout(nn.Module):
    """An LSTM cell whose candidate is the greater of two; gates in the order input, forget, output."""

    def __init__(self, inputs: int, state: int) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(inputs, 5 * state), nn.Linear(state, 5 * state)

    def forward(self, x: Tensor, state: Parts, more: Tensor | float = 0.0) -> Parts:
        """Input (R, inputs), h and c (R, state), and what is added to both candidates (R, 2·state) → h and c."""
        h, c = state
        sums = self.input(x) + self.hidden(h)
        gates, candidates = sums.split([3 * h.shape[1], 2 * h.shape[1]], dim=1)
        read, keep, show = gates.sigmoid().chunk(3, dim=1)
        first, second = (candidates + more).chunk(2, dim=1)
        c = keep * c + read * torch.maximum(first, second)
        return show * torch.tanh(c), c


class Foreign(Speaker):
    """What these captioners have in common: they know words that are not spelt in ASCII."""

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption, as in `Speaker.encode`; words are what stands between spaces and punctuation.

        Raises:
            ValueError: a word the captioner does not know, or no word at all.
        """
        words = re.findall(r"[^\s.,;:!?\"()]+", caption.lower())
        if words and all(word in self._token for word in words):
            return [self._token[word] for word in words]
        return super().encode(caption)


class ShowTell(Foreign):
    """Mean of the map → Linear → an LSTM's first input, then START and the words (ruotianluo's fc, newfc, show_tell).

    Args:
        vocabulary: the words it can say.
        features: from pictures to maps.
        word: width of the words' embedding and of the picture's.
        state: width of the LSTM.
        maxout: its candidate is the greater of two (fc, newfc), and it has biases.
        dropout: before the output, while training.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        features: Features,
        *,
        word: int,
        state: int,
        maxout: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.encoder, self.preprocess = Pooled(features), features.preprocess
        self.picture = nn.Linear(self.encoder.width, word)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell: nn.Module = Maxout(word, state) if maxout else nn.LSTMCell(word, state, bias=False)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)
        self.state = state

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    @property
    def convolutions(self) -> Features:
        """The encoder up to its last map."""
        return self.encoder.features

    def look(self, seen: Tensor) -> Parts:
        """Mean of the map (N, units) → the LSTM's first input (N, word)."""
        return (self.picture(seen),)

    def begin(self, looked: Parts) -> Parts:
        """Let the LSTM read the picture: its h and c."""
        nothing = looked[0].new_zeros(len(looked[0]), self.state)
        return self.cell(looked[0], (nothing, nothing))

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Read a word: h, and h and c."""
        state = self.cell(self.embedding(words), state)
        return state[0], state


class Attending(Foreign):
    """A captioner with soft attention, whose step's state ends with that attention."""

    features: Features

    def even(self, regions: Tensor) -> Tensor:
        """The attention before anything is said (R, side²)."""
        return torch.full_like(regions[:, :, 0], 1 / regions.shape[1])

    def attention(self, x: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Where it looked before it said each of the tokens (R, L): one map, "attention" (R, L, side, side)."""
        looked, side = self.look(self.see(x)), self.features.side
        steps = self.unroll(looked, tokens[:, :-1].clamp(0, len(self.vocabulary)))
        return {"attention": torch.stack([state[-1] for _, state in steps], dim=1).unflatten(2, (side, side))}


class AttendTell(Attending):
    """Show, Attend and Tell as sgrvinod built it: attention by ReLU, the next word from the LSTM's state alone.

    The attention follows Bahdanau et al. (arXiv:1409.0473) with a ReLU for the tanh; the gate β is section 4.2.1 of Xu
    et al.; h and c start from linear layers of the regions' mean.

    Args:
        vocabulary: the words it can say, marks such as "<pad>" included.
        features: from pictures to maps.
        word, state, key: widths of the words' embedding, the LSTM, and the space in which state and regions meet.
        dropout: before the output, while training.
    """

    def __init__(
        self, vocabulary: Sequence[str], features: Features, *, word: int, state: int, key: int, dropout: float = 0.5
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.features, self.preprocess = features, features.preprocess
        units = features.units
        self.key, self.query, self.energy = nn.Linear(units, key), nn.Linear(state, key), nn.Linear(key, 1)
        self.start_h, self.start_c = nn.Linear(units, state), nn.Linear(units, state)
        self.gate = nn.Linear(state, units)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell = nn.LSTMCell(word + units, state)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)

    def look(self, seen: Tensor) -> Parts:
        """The map → its regions (N, side², units) and their keys (N, side², key)."""
        regions = seen.flatten(2).transpose(1, 2)
        return regions, self.key(regions)

    def begin(self, looked: Parts) -> Parts:
        """The LSTM's h and c from the mean of the regions, and an even attention."""
        mean = looked[0].mean(1)
        return self.start_h(mean), self.start_c(mean), self.even(looked[0])

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Look, read a word: h, and h, c and the attention (R, side²) of this step."""
        (regions, keys), (h, c, _) = looked, state
        attention = self.energy(torch.relu(keys + self.query(h)[:, None]))[:, :, 0].softmax(dim=1)
        context = torch.sigmoid(self.gate(h)) * torch.bmm(attention[:, None], regions)[:, 0]
        h, c = self.cell(torch.cat([self.embedding(words), context], dim=1), (h, c))
        return h, (h, c, attention)


class AttIn(Attending):
    """What is attended to enters the maxout LSTM's candidate alone (ruotianluo's att2in and att2in2).

    Args:
        vocabulary: the words it can say.
        features: from pictures to maps.
        word, state, key: widths of the words' embedding, the LSTM, and the space in which state and regions meet.
        embedded: words and regions pass a ReLU first, regions through a linear layer as wide as the state (att2in2).
        dropout: before the output, while training.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        features: Features,
        *,
        word: int,
        state: int,
        key: int,
        embedded: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.features, self.preprocess = features, features.preprocess
        units = state if embedded else features.units
        self.region: nn.Module = nn.Linear(features.units, units) if embedded else nn.Identity()
        self.read: nn.Module = nn.ReLU() if embedded else nn.Identity()
        self.key, self.query, self.energy = nn.Linear(units, key), nn.Linear(state, key), nn.Linear(key, 1)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell, self.context = Maxout(word, state), nn.Linear(units, 2 * state)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)
        self.state = state

    def look(self, seen: Tensor) -> Parts:
        """The map → its regions (N, side², units or state) and their keys (N, side², key)."""
        regions = self.read(self.region(seen.flatten(2).transpose(1, 2)))
        return regions, self.key(regions)

    def begin(self, looked: Parts) -> Parts:
        """The LSTM's h and c, both zero, and an even attention."""
        nothing = looked[0].new_zeros(len(looked[0]), self.state)
        return nothing, nothing, self.even(looked[0])

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Look, read a word: h, and h, c and the attention (R, side²) of this step."""
        (regions, keys), (h, c, _) = looked, state
        attention = self.energy(torch.tanh(keys + self.query(h)[:, None]))[:, :, 0].softmax(dim=1)
        context = torch.bmm(attention[:, None], regions)[:, 0]
        h, c = self.cell(self.read(self.embedding(words)), (h, c), self.context(context))
        return h, (h, c, attention)


def load_neuraltalk2(weights: File, infos: File, features: Features) -> Speaker:
    """A captioner of ruotianluo's ImageCaptioning.pytorch, in eval mode.

    Args:
        weights: ``model-best.pth``, its state dict, read with ``weights_only=True``.
        infos: ``infos_*-best.pkl``, read by an unpickler that knows nothing but data (see `read_infos`); or a JSON file
            of the same: {"opt": {"caption_model": …}, "vocab": {"1": "a", …}}.
        features: the CNN: pictures → the maps whose mean, or whose regions, the captioner was trained on; for most of
            these checkpoints ``resnet_features("resnet101", weights, stride_first=True)``.

    Raises:
        ExplainError: a file that cannot be read; a kind of captioner that is not among `KINDS`; weights, vocabulary and
            features that do not fit each other.
    """
    found = read_infos(infos)
    options = found["opt"] if isinstance(found["opt"], Mapping) else vars(found["opt"])
    kind = str(options.get("caption_model"))
    if kind not in KINDS:
        raise ExplainError(f"{infos} describes a captioner {kind!r}; those that can be read are {', '.join(KINDS)}.")
    if any(options.get(mark) for mark in ("bos_idx", "eos_idx", "pad_idx")):
        raise ExplainError(f"{infos} gives START and END tokens of their own; those that can be read are both 0.")
    state = read_state(Path(weights))
    renamed = KINDS[kind]
    if kind == "show_tell" and "core.weight_ih_l1" in state:
        raise ExplainError(f"{weights} holds an LSTM of several layers; those that can be read have one.")
    if "att_embed.1.weight" in state or "logit.0.weight" in state:
        raise ExplainError(f"{weights} normalises its regions or has several output layers; that cannot be read.")
    mine = _renamed(state, renamed, weights)
    words = [_word(found["vocab"], i) for i in range(1, len(mine["output.bias"]))]
    if len(words) != len(found["vocab"]):
        raise ExplainError(
            f"{weights} says {len(words)} words and {infos} lists {len(found['vocab'])}: they are of different models."
        )
    width, rows = mine["embedding.weight"].shape[1], mine["output.weight"].shape[1]
    shared: dict[str, Any] = {"word": width, "state": rows, "dropout": float(options.get("drop_prob_lm", 0.5))}
    if kind.startswith("att2in"):
        shared |= {"key": len(mine["key.bias"]), "embedded": kind == "att2in2"}
        regions = "region.weight" if kind == "att2in2" else "key.weight"
        _check_width(features, mine[regions].shape[1], weights)
        return _filled(AttIn(words, features, **shared), mine, weights)
    _check_width(features, mine["picture.weight"].shape[1], weights)
    if kind == "show_tell" and "cell.weight_ih" in mine and len(mine["cell.weight_ih"]) != 4 * rows:
        raise ExplainError(f"{weights} holds no LSTM but a {options.get('rnn_type')}; only LSTMs can be read.")
    return _filled(ShowTell(words, features, maxout=kind != "show_tell", **shared), mine, weights)


def load_attend_tell(weights: File, word_map: File, features: Features) -> AttendTell:
    """The captioner of sgrvinod's a-PyTorch-Tutorial-to-Image-Captioning, in eval mode.

    Args:
        weights: the state dict of its decoder. The published checkpoints are pickles of whole modules; where the code
            they were trained with can be imported, ``torch.save(checkpoint["decoder"].state_dict(), "decoder.pth")``
            makes one.
        word_map: ``WORDMAP_*.json``: {"a": 1, …, "<unk>": …, "<start>": …, "<end>": …, "<pad>": 0}.
        features: the CNN, ``resnet_features("resnet101", weights, pool=14)`` with torchvision's weights, or with the
            state dict of the checkpoint's encoder if that was trained on.

    Every word's log-probability is the published model's. Marks such as "<pad>" are words of the vocabulary, since they
    have a share in every softmax; they are hardly ever said.

    Raises:
        ExplainError: a file that cannot be read, the pickle of whole modules among them; files and features that do not
            fit each other.
    """
    try:
        state = read_state(Path(weights))
    except ExplainError as error:
        if isinstance(error.__cause__, pickle.UnpicklingError):
            raise ExplainError(
                f"{weights} is a pickle of whole modules, which would run code, so it is not read; where the code it "
                'was trained with can be imported, call torch.save(checkpoint["decoder"].state_dict(), "decoder.pth") '
                "and pass that file."
            ) from error
        raise
    state = {name.removeprefix("decoder."): value for name, value in state.items()}
    mine = _renamed(state, _TUTORIAL, weights)
    places = _word_map(Path(word_map))
    if sorted(places.values()) != list(range(len(mine["output.bias"]))):
        raise ExplainError(
            f"{weights} says {len(mine['output.bias'])} words and {word_map} numbers {len(places)}: they are of "
            "different models."
        )
    # Ours has one token for START and END, which reads as the one and is said as the other; all others follow in order.
    order = sorted(set(places.values()) - {places["<end>"]})
    for name, first in (("embedding.weight", "<start>"), ("output.weight", "<end>"), ("output.bias", "<end>")):
        mine[name] = mine[name][[places[first], *order]]
    spelt = {place: word for word, place in places.items()}
    _check_width(features, mine["key.weight"].shape[1], weights)
    model = AttendTell(
        [spelt[place] for place in order],
        features,
        word=mine["embedding.weight"].shape[1],
        state=mine["output.weight"].shape[1],
        key=len(mine["key.bias"]),
    )
    return _filled(model, mine, weights)


def resnet_features(
    name: str = "resnet101",
    weights: File | None = None,
    *,
    pool: int | None = None,
    stride_first: bool = False,
    preprocess: Preprocess | None = None,
) -> Features:
    """A torchvision ResNet up to its last map, as both repositories use it.

    Args:
        name: resnet18 … resnet152.
        weights: a state dict: torchvision's, or that of the tutorial's encoder; default random weights.
        pool: resize the map to so many cells a side by averaging; the tutorial's encoder pools to 14.
        stride_first: Caffe's ResNet, whose weights ImageCaptioning.pytorch used: a block's stride lies in its first
            convolution, and the first pooling has no padding.
        preprocess: default pictures squashed to 256×256 if the map is pooled, as in the tutorial, else to 448×448;
            ImageCaptioning.pytorch computed its features from pictures at their own size.

    Raises:
        ExplainError: no such network, or weights that do not fit it.
    """
    if not re.fullmatch(r"resnet\d+", name) or name not in zoo.list_models(module=zoo):
        raise ExplainError(f"torchvision has no {name!r}; resnet101 is what most checkpoints were trained on.")
    network = zoo.get_model(name, weights=None)
    if stride_first:
        network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        for layer in (network.layer2, network.layer3, network.layer4):
            layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    children = dict(list(network.named_children())[:-2])
    if weights is not None:
        places = {child: str(i) for i, child in enumerate(children)}
        state = {}
        for key, value in read_state(Path(weights)).items():
            first, _, rest = key.removeprefix("encoder.").removeprefix("resnet.").partition(".")
            if first != "fc":
                state[f"{places.get(first, first)}.{rest}"] = value
        fill(nn.Sequential(*children.values()), state, f"The weights in {weights} do not fit")
    if preprocess is None:
        size = 448 if pool is None else 256
        preprocess = Preprocess(size=(size, size), mode="squash")
    layers = [*children.values(), *([] if pool is None else [nn.AdaptiveAvgPool2d(pool)])]
    with torch.no_grad():
        _, units, height, width = nn.Sequential(*layers).eval()(torch.zeros(1, 3, *preprocess.size)).shape
    if height != width:
        raise ExplainError(f"The map of {name} is {height}×{width} here; take a square size, or pool=14.")
    return Features(*layers, units=units, side=height, preprocess=preprocess).eval()


def read_infos(path: File) -> dict[str, Any]:
    """The ``infos_*.pkl`` of ImageCaptioning.pytorch, or a JSON file of the same, without running code from it.

    A pickle, also one that Python 2 wrote (its texts are read as latin-1), may hold dicts, lists, texts, numbers,
    ``argparse.Namespace`` and numpy's numbers. Whatever else it names is refused before it is looked up.

    Returns:
        At least {"opt": a Namespace or dict, "vocab": {"1": "a", …}}.

    Raises:
        ExplainError: no such file, a pickle of anything else, or no options or vocabulary in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ExplainError(f"There is no infos file at {path}; check the path.")
    try:
        with path.open("rb") as file:
            found = json.load(file) if path.suffix == ".json" else _Data(file, encoding="latin-1").load()
    except _RefusedError as error:
        raise ExplainError(
            f"{path} names {error}, which no infos file needs, so it was not run; get the file from someone you trust, "
            "or write its opt and vocab as JSON."
        ) from error
    except Exception as error:  # a broken pickle raises nearly anything
        raise ExplainError(f"{path} cannot be read as an infos file ({error}); is it whole?") from error
    options = isinstance(found, dict) and found.get("opt")
    if not isinstance(options, (dict, argparse.Namespace)) or not isinstance(found.get("vocab"), dict):
        raise ExplainError(f"{path} holds no options `opt` or no vocabulary `vocab`; it is no infos file.")
    return found


class _RefusedError(Exception):
    """A pickle named something that is no data."""


class _Data(pickle.Unpickler):
    """Reads data; what a pickle calls by name is answered by the few stand-ins below, or refused."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle."""
        module = {"copy_reg": "copyreg", "__builtin__": "builtins"}.get(module, module)
        module = module.replace("numpy._core", "numpy.core")
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]


class _Options(argparse.Namespace):
    """An ``argparse.Namespace``; the class itself cannot be changed by what is read, as that one could."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Dtype:
    """Numpy's dtype of one number."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[biuf][1248]", code):
            raise _RefusedError(f"the dtype {code}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Call:
    """A function a pickle may call, and do nothing else to."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError("a change to the reader")


def _number(dtype: _Dtype, data: str | bytes) -> int | float | bool:
    """One of numpy's numbers as Python's."""
    data = data.encode("latin-1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype.order.strip("|=") + dtype.code)[0].item()


def _instance(kind: type, base: type, state: None) -> object:
    """What protocols 0 and 1 call to make an object of a class written in Python."""
    if (kind, base, state) != (_Options, object, None):
        raise _RefusedError(f"an object of {kind}")
    return _Options()


def _bytes(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes where the reader may be Python 2."""
    if encoding != "latin1":
        raise _RefusedError(f"a text in {encoding}")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("argparse", "Namespace"): _Options,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("copyreg", "_reconstructor"): _Call(_instance),
    ("builtins", "object"): object,
    ("numpy.core.multiarray", "scalar"): _Call(_number),
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Call(_bytes),
}

_FC = {"embed": "embedding", "logit": "output"}
_ATT = {
    "ctx2att": "key",
    "core.attention.h2att": "query",
    "core.attention.alpha_net": "energy",
    "core.i2h": "cell.input",
    "core.h2h": "cell.hidden",
    "core.a2c": "context",
    "logit": "output",
}
KINDS: dict[str, dict[str, str]] = {
    "fc": {**_FC, "img_embed": "picture", "core.i2h": "cell.input", "core.h2h": "cell.hidden"},
    "newfc": {**_FC, "fc_embed": "picture", "_core.i2h": "cell.input", "_core.h2h": "cell.hidden"},
    "show_tell": {
        **_FC,
        "img_embed": "picture",
        "core.weight_ih_l0": "cell.weight_ih",
        "core.weight_hh_l0": "cell.weight_hh",
    },
    "att2in": {**_ATT, "embed": "embedding"},
    "att2in2": {**_ATT, "embed.0": "embedding", "att_embed.0": "region"},
}
"""The captioners of ImageCaptioning.pytorch that can be read: what they call their parts, and what we do."""

_TUTORIAL = {
    "attention.encoder_att": "key",
    "attention.decoder_att": "query",
    "attention.full_att": "energy",
    "embedding": "embedding",
    "decode_step": "cell",
    "init_h": "start_h",
    "init_c": "start_c",
    "f_beta": "gate",
    "fc": "output",
}


def _renamed(state: Mapping[str, Tensor], names: Mapping[str, str], weights: File) -> dict[str, Tensor]:
    """A state dict with parts called as ours are.

    Raises:
        ExplainError: it holds a part that is not listed, or lacks one.
    """
    renamed, used = {}, set()
    for key, value in state.items():
        part = next((part for part in names if key == part or key.startswith(f"{part}.")), None)
        if part is None:
            raise ExplainError(f"{weights} holds {key!r}, which this kind of captioner has not; is it the right file?")
        renamed[names[part] + key.removeprefix(part)] = value
        used.add(part)
    if missing := set(names) - used:
        raise ExplainError(f"{weights} lacks {', '.join(sorted(missing))}; is it the right file?")
    return renamed


def _filled(model: Any, state: Mapping[str, Tensor], weights: File) -> Any:
    """The model with these weights, and the features' own, in eval mode."""
    own = {key: value for key, value in model.state_dict().items() if key.startswith(("features.", "encoder."))}
    fill(model, {**own, **state}, f"The weights in {weights} do not fit")
    return model.eval()


def _check_width(features: Features, width: int, weights: File) -> None:
    if features.units != width:
        raise ExplainError(
            f"{weights} reads {width} features of a picture, and the maps have {features.units} units; pass the CNN it "
            "was trained on (2048 are a ResNet-50, 101 or 152: models.foreign.resnet_features)."
        )


def _word(vocabulary: Mapping[Any, Any], token: int) -> str:
    """A token's word; what stands for rare words is called as ours is."""
    word = vocabulary.get(str(token), vocabulary.get(token))
    if not isinstance(word, str):
        raise ExplainError(f"The vocabulary has no word {token}; its keys are to be 1, 2, …, as texts.")
    return UNKNOWN if word == "UNK" else word


def _word_map(path: Path) -> dict[str, int]:
    """A WORDMAP file.

    Raises:
        ExplainError: no such file, or another form.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExplainError(f"There is no word map at {path}; check the path.") from error
    except ValueError as error:
        raise ExplainError(f"{path} cannot be read as JSON ({error}); pass the WORDMAP_….json.") from error
    if not isinstance(found, dict) or not all(isinstance(place, int) for place in found.values()):
        raise ExplainError(f"{path} does not map words to numbers; pass the WORDMAP_….json.")
    if missing := {"<start>", "<end>"} - found.keys():
        raise ExplainError(f"{path} has no {' and '.join(sorted(missing))}; pass the WORDMAP_….json.")
    return found
