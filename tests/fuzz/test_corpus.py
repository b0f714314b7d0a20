"""Every seed, and every input that once broke a reader, is read or refused in a sentence; and the rule itself bites."""

import importlib
import json
from pathlib import Path

import pytest
from fuzz.harness import CUT, in_a_sentence
from fuzz.mutation import mutated

from mmcam.errors import ExplainError

FOLDER = Path(__file__).parent / "corpus"
READERS = sorted(folder.name for folder in FOLDER.iterdir())


def test_every_reader_has_a_corpus():
    modules = {file.stem for file in FOLDER.parent.glob("*.py")} - {"harness", "mutation", "run", "test_corpus"}
    assert modules == set(READERS)


@pytest.mark.parametrize("reader", READERS)
def test_the_corpus(reader):
    read = importlib.import_module(f"fuzz.{reader}").read
    files = sorted((FOLDER / reader).iterdir())
    assert files
    for file in files:
        read(file.read_bytes())


@pytest.mark.parametrize("reader", READERS)
def test_nothing_and_noise(reader):
    read = importlib.import_module(f"fuzz.{reader}").read
    for data in (b"", b"\0", b"\n", b"{}", b"[]", b"null", b"<a/>", b"PK\x03\x04", b"\xff\xfe" * 40, b"\n--\n" * 6):
        read(data)


def test_a_foreign_error_is_no_sentence():
    with pytest.raises(AssertionError, match="not ours"), in_a_sentence():
        int("x")
    with pytest.raises(KeyError), in_a_sentence():
        {}["x"]
    with pytest.raises(AssertionError, match="not ours"), in_a_sentence():
        raise ExplainError("Raised by a test, and not by mmcam.")


def test_json_stays_json_when_it_is_changed():
    """And the other files of an input stay as they are."""
    given = json.dumps({"a": [1, {"b": "c"}], "d": None}).encode() + CUT + b"\x00not json"
    results = {mutated(given, seed) for seed in range(200)}
    assert len(results) > 50
    for result in results:
        text, rest = result.split(CUT)
        json.loads(text)
        assert rest == b"\x00not json"
    assert mutated(given, 7) == mutated(given, 7)
    assert mutated(b"{broken", 1) is None
    assert mutated(b"", 1) is None
