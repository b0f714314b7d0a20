"""Grey values of 10, 12 or 14 bits in wider types are seen, and what was read off them is said."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from torch import nn

import mmcam
from mmcam import PictureError, load_image
from mmcam.image.depth import to_bytes


@settings(deadline=None)
@given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    kind=st.sampled_from(["uint16", ">u2", "int32", "uint32", "int64"]),
    data=st.data(),
)
def test_white_is_the_greatest_number_of_the_depth(bits, kind, data):
    """Against exact fractions: to the nearest byte."""
    white = 2**bits - 1
    values = data.draw(arrays.arrays(np.int64, (2, 3), elements=st.integers(0, white)))
    values[0, 0] = white
    seen, note = to_bytes(values.astype(kind))
    assert np.abs(seen.astype(float) - values * 255 / white).max() <= 0.5
    # Bytes in a wide type that is not meant for pictures need no explanation.
    told = bits < 16 and (bits > 8 or kind in ("uint16", ">u2"))
    assert note == (f"The picture's values end at {white}, so they are read as {bits} bits." if told else "")


def test_sixteen_bits_stay_as_they_were():
    values = np.arange(65536, dtype=np.uint16)[None]
    assert np.array_equal(to_bytes(values)[0], (values / 257).round().astype(np.uint8))


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 100.4, 255.0]]), [0, 100, 255]),
        (np.array([[0.0, 2047.5, 4095.0]]), [0, 128, 255]),
        (np.array([[0, 0, 0]], np.uint16), [0, 0, 0]),
        (np.array([[0, 1, 255]], np.int64), [0, 1, 255]),
    ],
)
def test_other_numbers(values, seen):
    assert to_bytes(values)[0][0].tolist() == seen


@pytest.mark.parametrize("values", [[[0.0, 1.02]], [[-1, 3]], [[70000, 1]], [[np.nan, 0.0]], [[1j, 0]], [["a", "b"]]])
def test_what_has_no_scale_is_one_sentence(values):
    with pytest.raises(PictureError):
        load_image(np.array(values))


def packed_tiff(values: np.ndarray, bits: int, said: int) -> bytes:
    """A grey TIFF file of 16-bit words, or of 12 bits packed one behind the other, that says its depth itself."""
    h, w = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        data = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)
    else:
        data = values.astype("<u2").tobytes()
    tags = [(256, w), (257, h), (258, said), (259, 1), (262, 1), (273, 8), (277, 1), (278, h), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)


@pytest.mark.parametrize(("bits", "white", "note"), [(12, 4095, False), (16, 4095, True), (16, 65535, False)])
def test_a_tiff_file_that_says_its_depth_is_believed(tmp_path, bits, white, note):
    """The greatest value of the first is 2000: by the values alone it would be taken for 11 bits or more."""
    values = np.linspace(0, 2000 if bits == 12 else white, 24).astype(np.uint16).reshape(4, 6)
    (tmp_path / "deep.tif").write_bytes(packed_tiff(values, bits, bits))
    seen = np.asarray(load_image(tmp_path / "deep.tif"))[:, :, 0]
    assert np.abs(seen - values * 255.0 / white).max() <= 0.5
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    exp = mmcam.explain_class(net.eval(), tmp_path / "deep.tif", 0, preprocess=mmcam.Preprocess(size=(16, 16)))
    assert ("read as 12 bits" in exp.note) == note


def test_a_deep_png_shows_what_it_would_as_bytes(tmp_path):
    values = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.array_equal(np.asarray(load_image(tmp_path / "deep.png")), np.asarray(load_image(values)))
    assert load_image(values).getextrema() == ((0, 255),) * 3
