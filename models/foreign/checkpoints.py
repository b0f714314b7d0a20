"""From files of weights and words to a captioner: parts renamed, everything checked, refusals in a sentence."""

import json
import pickle
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from mmcam.errors import ExplainError
from mmcam.models.state import fill, read_state

from ..encoder import Features
from ..speaker import UNKNOWN, Speaker
from .captioners import AttendTell, AttIn, ShowTell, Widths
from .infos import read_infos

File = str | PathLike[str]
Captioner = TypeVar("Captioner", bound=Speaker)

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
    kind = _kind(options, infos)
    state = _renamed(_plain(read_state(Path(weights)), kind, weights), KINDS[kind], weights)
    words = [_word(found["vocab"], i) for i in range(1, len(state["output.bias"]))]
    if len(words) != len(found["vocab"]):
        raise ExplainError(
            f"{weights} says {len(words)} words and {infos} lists {len(found['vocab'])}: they are of different models."
        )
    word, rows = state["embedding.weight"].shape[1], state["output.weight"].shape[1]
    dropout = float(options.get("drop_prob_lm", 0.5))
    if kind.startswith("att2in"):
        embedded = kind == "att2in2"
        _check_width(features, state["region.weight" if embedded else "key.weight"].shape[1], weights)
        widths = Widths(word=word, state=rows, key=len(state["key.bias"]))
        return _filled(AttIn(words, features, widths, embedded=embedded, dropout=dropout), state, weights)
    _check_width(features, state["picture.weight"].shape[1], weights)
    if kind == "show_tell" and "cell.weight_ih" in state and len(state["cell.weight_ih"]) != 4 * rows:
        raise ExplainError(f"{weights} holds no LSTM but a {options.get('rnn_type')}; only LSTMs can be read.")
    maxout = kind != "show_tell"
    return _filled(ShowTell(words, features, word=word, state=rows, maxout=maxout, dropout=dropout), state, weights)


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
    word, rows = mine["embedding.weight"].shape[1], mine["output.weight"].shape[1]
    widths = Widths(word=word, state=rows, key=len(mine["key.bias"]))
    return _filled(AttendTell([spelt[place] for place in order], features, widths), mine, weights)


def _kind(options: Mapping[str, Any], infos: File) -> str:
    """Which of `KINDS` the options of an infos file describe.

    Raises:
        ExplainError: none, or one with marks of its own.
    """
    kind = str(options.get("caption_model"))
    if kind not in KINDS:
        raise ExplainError(f"{infos} describes a captioner {kind!r}; those that can be read are {', '.join(KINDS)}.")
    if any(options.get(mark) for mark in ("bos_idx", "eos_idx", "pad_idx")):
        raise ExplainError(f"{infos} gives START and END tokens of their own; those that can be read are both 0.")
    return kind


def _plain(state: dict[str, Tensor], kind: str, weights: File) -> dict[str, Tensor]:
    """The weights, if their captioner is of the plain form.

    Raises:
        ExplainError: it has layers that ours has not.
    """
    if kind == "show_tell" and "core.weight_ih_l1" in state:
        raise ExplainError(f"{weights} holds an LSTM of several layers; those that can be read have one.")
    if "att_embed.1.weight" in state or "logit.0.weight" in state:
        raise ExplainError(f"{weights} normalises its regions or has several output layers; that cannot be read.")
    return state


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


def _filled(model: Captioner, state: Mapping[str, Tensor], weights: File) -> Captioner:
    """The model with these weights, and the features' own, in eval mode."""
    own = {key: value for key, value in model.state_dict().items() if key.startswith(("features.", "encoder."))}
    fill(model, {**own, **state}, f"The weights in {weights} do not fit")
    return model.eval()


def _check_width(features: Features, width: int, weights: File) -> None:
    if features.units != width:
        raise ExplainError(
            f"{weights} reads {width} features of a picture, and the maps have {features.units} units; pass the CNN it "
            "was trained on (2048 are a ResNet-50, 101 or 152: {__package__}.resnet_features)."
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
