"""Hostile and broken uploads: each is one sentence that names the file as its owner does, and costs little."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

import mmcam
from mmcam.app import limits
from mmcam.app.session import Kept, Session, Sessions, uploaded
from mmcam.app.settings import UPLOADED


def png(width=8, height=8, colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def claimed(width, height):
    """A PNG of a few bytes that says that it is large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "text")
    return file.getvalue()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
BAD = {
    "bomb.png": claimed(60_000, 60_000),
    "large.png": claimed(10_000, 10_000),
    "empty.png": b"",
    "text.png": b"this is no picture",
    "svg.png": SVG,
    "picture.svg": SVG,
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "figure.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "document.pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "archive.png": zipped(),
    "pickle.png": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
    "html.jpg": b"<html><script>alert(1)</script></html>",
    "cut.png": png(400, 400)[:120],
    "wmf.png": b"\xd7\xcd\xc6\x9a" + b"\0" * 40,
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_one_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(mmcam.PictureError) as caught:
        uploaded(tmp_path / name)
    told = str(caught.value)
    assert name in told
    assert str(tmp_path) not in told
    assert "\n" not in told


def test_a_polyglot_is_read_as_the_picture_it_begins_with(tmp_path):
    path = tmp_path / "both.png"
    path.write_bytes(png() + zipped() + b"<script>alert(1)</script>")
    assert uploaded(path).image.getpixel((0, 0)) == (255, 0, 0)


def test_a_file_of_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FILE_BYTES", 2**20)
    pixels = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    with pytest.raises(mmcam.PictureError, match=r"noise\.png has 2 MB; make it smaller than 1 MB"):
        uploaded(tmp_path / "noise.png")


def test_a_picture_is_turned_upright_and_made_rgb(tmp_path):
    picture, exif = Image.new("RGB", (30, 20)), Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert uploaded(tmp_path / "turned.jpg").image.size == (20, 30)
    Image.new("LA", (5, 5), (0, 0)).save(tmp_path / "grey.png")
    assert uploaded(tmp_path / "grey.png").image.mode == "RGB"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "dog-and-cat.png", "\0", "vignette-1"])
def test_a_sample_is_no_path(session, name):
    with pytest.raises(mmcam.ExplainError, match="There is no sample"):
        session.picture(name, None)


def test_without_a_picture_that_is_said(session):
    with pytest.raises(mmcam.ExplainError, match="There is no picture yet"):
        session.picture(UPLOADED, None)


def test_only_so_much_is_kept():
    kept = Kept(2)
    for key in "abc":
        kept.put(key, key.upper())
    assert [kept.get(key) for key in "abc"] == [None, "B", "C"]
    kept.get("b")
    kept.put("d", "D")
    assert [kept.get(key) for key in "bcd"] == ["B", None, "D"]


def test_visitors_are_apart_and_bounded():
    sessions = Sessions()
    first = sessions.of("first")
    assert sessions.of("first") is first
    assert sessions.of("second") is not first
    for number in range(limits.SESSIONS):
        sessions.of(str(number))
    assert sessions.of("first") is not first
    assert isinstance(first, Session)
