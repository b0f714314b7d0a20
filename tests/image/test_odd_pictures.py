"""Whatever is called a picture is opened, or refused with a PictureError of one sentence."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import mmcam
from mmcam import PictureError, Preprocess, load_image
from mmcam.image import prepare

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000")


def file_of(kind: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x112] = 6
    more = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **more)
    return buffer.getvalue()


FILES = {kind: [file_of(kind, "RGB")] for kind in KINDS}
for kind in ("PNG", "TIFF"):
    FILES[kind] += [file_of(kind, mode) for mode in ("L", "1", "P", "LA", "RGBA", "I;16")]


def refused(error: pytest.ExceptionInfo[Exception] | PictureError) -> None:
    message = str(getattr(error, "value", error))
    assert "\n" not in message
    assert 10 < len(message) < 800


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_files(data):
    """Cut off, overwritten, with bytes too many or too few."""
    good = data.draw(st.sampled_from(FILES[data.draw(st.sampled_from(KINDS))]))
    start, length = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 60))
    new = data.draw(st.binary(max_size=60))
    damage = data.draw(st.sampled_from(["cut", "replace", "insert", "remove"]))
    bad = {
        "cut": good[:start],
        "replace": good[:start] + new + good[start + len(new) :],
        "insert": good[:start] + new + good[start:],
        "remove": good[:start] + good[start + length :],
    }[damage]
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(bad)
        file.flush()
        try:
            seen = load_image(file.name)
        except PictureError as error:
            refused(error)
        else:
            assert seen.mode == "RGB"
            assert min(seen.size) > 0


@pytest.mark.parametrize(
    "path",
    [
        "x" * 5000 + ".jpg",
        "x/" * 3000 + "y.jpg",
        "a\0b.jpg",
        "",
        ".",
        "~",
        "\ud800.jpg",
        "http://x/y.jpg",
        "/dev/zero",
        "/dev/null",
        "fifo.jpg",
        "loop.jpg",
        "folder.jpg",
    ],
)
def test_paths_that_lead_to_no_picture(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.jpg")
    Path("loop.jpg").symlink_to("loop.jpg")
    Path("folder.jpg").mkdir()
    for source in (path, [path], Path(path)):
        with pytest.raises(PictureError) as error:
            prepare(source, Preprocess(), torch.device("cpu"), torch.float32)
        refused(error)


TENSORS = {
    "meta": lambda: torch.rand(3, 8, 8, device="meta"),
    "meta bytes": lambda: torch.zeros(3, 8, 8, dtype=torch.uint8, device="meta"),
    "sparse": lambda: torch.rand(3, 8, 8).to_sparse(),
    "sparse bytes": lambda: torch.zeros(3, 8, 8, dtype=torch.uint8).to_sparse(),
    "quantised": lambda: torch.quantize_per_tensor(torch.rand(3, 8, 8), 0.1, 0, torch.quint8),
    "nested": lambda: torch.nested.nested_tensor([torch.rand(3, 8, 8)]),
    "complex": lambda: torch.zeros(3, 8, 8, dtype=torch.complex64),
    "bool": lambda: torch.zeros(3, 8, 8, dtype=torch.bool),
    "nan": lambda: torch.full((3, 8, 8), torch.nan),
    "empty": lambda: torch.rand(3, 0, 0),
    "two dimensions": lambda: torch.rand(8, 8),
    "five dimensions": lambda: torch.rand(1, 1, 3, 8, 8),
    "none at all": lambda: torch.rand(0, 3, 8, 8),
    "five channels": lambda: torch.rand(5, 8, 8),
    "one pixel": lambda: torch.rand(3, 1, 1),
}


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_input(kind):
    conv = nn.Conv2d(3, 8, 3)
    net = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).eval()
    with pytest.raises((PictureError, mmcam.ExplainError)) as error:
        mmcam.explain_class(net, TENSORS[kind](), 1)
    refused(error)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_floats_of_every_width_are_inputs(dtype):
    x = torch.rand(3, 8, 8).to(dtype)
    made = prepare(x, Preprocess(), torch.device("cpu"), torch.float32)
    assert torch.equal(made.x[0], x.float())
    assert np.asarray(load_image(x.float().numpy())).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3),
        np.ones(5),
        np.zeros((0, 5, 3)),
        -np.ones((4, 4)),
        np.full((4, 4), 1e9),
        np.zeros((5, 5, 2)),
        np.array([[object()]]),
        np.zeros((4, 4), [("a", "u1")]),
        np.zeros((4, 4), "datetime64[s]"),
        np.ones((4, 4), complex),
        np.array([["a"]]),
        np.zeros((1, 1, 3, 4, 4)),
    ],
)
@pytest.mark.parametrize("channels", [3, 12])
def test_arrays_that_are_no_picture(array, channels):
    made = Preprocess(mean=(0.5,) * channels, std=(1.0,) * channels)
    with pytest.raises(PictureError) as error:
        prepare(array, made, torch.device("cpu"), torch.float32)
    refused(error)


def test_a_picture_whose_file_was_closed(tmp_path):
    Image.new("RGB", (9, 7), "red").save(tmp_path / "a.png")
    lazy = Image.open(tmp_path / "a.png")
    lazy.close()
    for channels in (3, 4):
        made = Preprocess(mean=(0.5,) * channels, std=(1.0,) * channels)
        with pytest.raises(PictureError):
            prepare(lazy, made, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("thing", [None, 3, b"abc", io.BytesIO(), {}, set(), [], [[]], [None], range(2), object()])
def test_things_that_are_no_picture(thing):
    with pytest.raises(PictureError) as error:
        prepare(thing, Preprocess(), torch.device("cpu"), torch.float32)
    refused(error)
