"""Files are whole or not there, and what is said of one that cannot be written names it."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.files import is_file, is_folder, json_text, parsed, read_json, write_all, write_whole

FULL = OSError(28, "No space left on device")


def put(content):
    return lambda file: file.write(content)


def fail(file):
    file.write(b"half")
    raise FULL


def test_several_files_are_written_or_none(tmp_path):
    before = {tmp_path / "a": b"old a", tmp_path / "b": b"old b"}
    for path, content in before.items():
        path.write_bytes(content)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_all({tmp_path / "a": put(b"new"), tmp_path / "b": fail})
    assert caught.value.filename == str(tmp_path / "b")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert write_all({path: put(b"new") for path in before}) == list(before)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(before, b"new")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("file/x.png", FileExistsError),
        ("file/below/x.png", NotADirectoryError),
        ("folder", IsADirectoryError),
        ("n" * 256, OSError),
        ("/proc/nothing/x.png", OSError),
    ],
)
def test_an_error_names_the_file_that_was_asked_for(tmp_path, place, kind):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    path = tmp_path / place
    with pytest.raises(kind) as caught:
        write_whole(path, put(b"new"))
    assert caught.value.filename == str(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_the_longest_name_there_can_be(tmp_path):
    for name in ("n" * 255, "é" * 127):
        assert write_whole(tmp_path / name, put(b"new")).read_bytes() == b"new"


texts = st.text('aé\n"\\\x00\U0001f600\udcff', max_size=4)  # the last one stands for a byte that is no text
values = st.recursive(
    st.none() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


def expected(value):
    if isinstance(value, dict):
        return {key: expected(each) for key, each in value.items()}
    if isinstance(value, list):
        return [expected(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def no_constant(name):
    pytest.fail(f"{name} is no JSON")


@settings(max_examples=60, deadline=None)
@given(values)
def test_json_is_json(value):
    """Every reader takes it: no NaN, and bytes of UTF-8."""
    text = json_text(value).encode("utf-8")
    assert json.loads(text, parse_constant=no_constant) == expected(value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b"9" * 5000])
def test_what_is_no_json_is_a_sentence(tmp_path, content):
    (tmp_path / "it.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"it\.json is no JSON in UTF-8"):
        read_json(tmp_path / "it.json")
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path)
    assert parsed("[1e999, NaN]")[0] == math.inf


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b", "missing", "", os.fsdecode(b"\xff")])
def test_what_nothing_can_be_called_is_not_there(tmp_path, name):
    path = tmp_path / (name or "empty")
    assert not is_file(path)
    assert not is_folder(path)
    assert is_folder(tmp_path)
    assert is_file(Path(__file__))
