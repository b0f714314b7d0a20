"""The ``infos_*.pkl`` of ImageCaptioning.pytorch, by an unpickler that knows nothing but data."""

import argparse
import collections
import json
import pickle
import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mmcam.errors import ExplainError


def read_infos(path: str | PathLike[str]) -> dict[str, Any]:
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
    infos: dict[str, Any] = found
    return infos


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
    number: int | float | bool = np.frombuffer(data, dtype.order.strip("|=") + dtype.code)[0].item()
    return number


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
