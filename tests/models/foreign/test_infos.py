"""Infos files: pickles that are read and pickles that are not."""

import argparse
import builtins
import collections
import json
import os
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import pictures

from mmcam import ExplainError
from models.foreign import infos as infos_module
from models.foreign import load_neuraltalk2, read_infos
from tests.models.foreign.files import (
    WORDS,
    features,
    infos,
    options,
    written,
)


def python2(value: Any) -> bytes:
    """What Python 2's pickle writes with protocol 2; str are byte strings, as they were there."""
    if isinstance(value, argparse.Namespace):
        return b"cargparse\nNamespace\nq\x01)\x81" + python2(vars(value)) + b"b"
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(key) + python2(entry) for key, entry in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, str):
        text = value.encode("latin-1")
        return b"U" + bytes([len(text)]) + text
    if isinstance(value, np.float64):
        dtype = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        return b"cnumpy.core.multiarray\nscalar\n(" + dtype + b"U\x08" + struct.pack("<d", value) + b"tR"
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    return b"J" + struct.pack("<i", value)


def python2_text(value: Any) -> bytes:
    """What Python 2's cPickle writes by default: protocol 0."""
    if isinstance(value, argparse.Namespace):
        made = b"ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR"
        return made + python2_text(vars(value)) + b"b"
    if isinstance(value, dict):
        return b"(d" + b"".join(python2_text(key) + python2_text(entry) + b"s" for key, entry in value.items())
    if isinstance(value, str):
        return b"S" + repr(value.encode("latin-1"))[1:].encode() + b"\n"
    if isinstance(value, float):
        return b"F" + repr(float(value)).encode() + b"\n"
    return b"I" + str(value).encode() + b"\n"


@pytest.mark.parametrize(
    "dump",
    [
        lambda found: b"\x80\x02" + python2(found) + b".",
        lambda found: python2_text({**found, "best_val_score": 0.9}) + b".",
        lambda found: pickle.dumps(found, protocol=2),
        lambda found: pickle.dumps(found, protocol=4),
        lambda found: pickle.dumps({**found, "kept": collections.OrderedDict(a=[1, (2.0, None)])}, protocol=0),
    ],
    ids=["Python 2", "Python 2, protocol 0", "Python 3", "Python 3, protocol 4", "Python 3, protocol 0"],
)
def test_infos_of_every_python(dump, tmp_path):
    path = tmp_path / "infos_fc-best.pkl"
    path.write_bytes(dump(infos("fc")))
    found = read_infos(path)
    assert found["vocab"] == {str(i): word for i, word in enumerate(WORDS, start=1)}
    assert vars(found["opt"]) == options("fc")
    assert found["iter"] == 9
    assert found["best_val_score"] == 0.9
    assert type(found["best_val_score"]) is float
    assert isinstance(found["opt"], argparse.Namespace)


def test_infos_as_json(tmp_path):
    weights, _ = written(tmp_path, "fc")
    path = tmp_path / "infos.json"
    path.write_text(json.dumps({"opt": options("fc"), "vocab": infos()["vocab"]}))
    model = load_neuraltalk2(weights, path, features())
    x, tokens = pictures(1, 32), torch.tensor([[1, 2]])
    other = load_neuraltalk2(*written(tmp_path, "fc"), features())
    torch.testing.assert_close(model.token_log_probs(x, tokens), other.token_log_probs(x, tokens))


class Attack:
    """Runs a function when an ordinary unpickler reads it."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def touched(path: str) -> None:
    Path(path).touch()


def test_a_malicious_pickle_is_not_run(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "infos.pkl"
    mine = re.escape(f"{touched.__module__}.touched")
    attacks = {
        r"posix\.system": Attack(os.system, f"touch {mark}"),
        r"builtins\.eval": Attack(builtins.eval, f"open({str(mark)!r}, 'w')"),
        r"builtins\.getattr": Attack(getattr, argparse.Namespace, "__init__"),
        mine: Attack(touched, str(mark)),
        r"collections\.defaultdict": collections.defaultdict(list),
    }
    for protocol in (0, 2, 4):
        for named, attack in attacks.items():
            path.write_bytes(pickle.dumps({**infos(), "more": attack}, protocol=protocol))
            with pytest.raises(ExplainError, match=rf"names {named}, which no infos file needs, so it was not run"):
                read_infos(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(attacks[mine]))
    assert mark.exists(), "the attack itself would work"


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cargparse\nNamespace\n(N}U\x08__init__K\x01stb",  # sets an attribute of the class
        b"cnumpy.core.multiarray\nscalar\n(N}U\x0c__defaults__K\x01stb",
        b"cnumpy\ndtype\n(U\x01OtR",  # numpy's objects hold anything
        b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR",
        b"c_codecs\nencode\n(U\x01aU\x06base64tR",
        b"\x82\x01",  # an extension code
        b"Pmine\n",  # a persistent id
    ],
)
def test_what_data_may_be_is_all_they_can_make(opcodes, tmp_path):
    path = tmp_path / "infos.pkl"
    body = python2(infos())
    path.write_bytes(b"\x80\x02" + body[:-1] + python2("more") + opcodes + b"u.")
    before = dict(vars(argparse.Namespace))
    with pytest.raises(ExplainError, match=r"infos\.pkl (names|cannot be read)"):
        read_infos(path)
    assert dict(vars(argparse.Namespace)) == before
    assert infos_module._Options(a=1) == argparse.Namespace(a=1)


def test_infos_that_are_none(tmp_path):
    path = tmp_path / "infos.pkl"
    with pytest.raises(ExplainError, match="no infos file at"):
        read_infos(path)
    for content in (b"", b"\x80\x02", b"not a pickle", b"\x80\x02]."):
        path.write_bytes(content)
        with pytest.raises(ExplainError, match=r"cannot be read as an infos file|it is no infos file"):
            read_infos(path)
