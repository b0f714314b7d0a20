"""Only raster pictures are opened, whatever a file calls itself."""

import io
from pathlib import Path

import pytest
from PIL import Image

import mmcam
from mmcam import PictureError, load_image

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{ } loop\n%%EOF\n"


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.eps"])
@pytest.mark.parametrize("content", [POSTSCRIPT, b"%PDF-1.4\n%%EOF\n", b"\xd7\xcd\xc6\x9a" + bytes(60)])
def test_what_a_program_would_have_to_draw_is_refused(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("a program was started"))
    monkeypatch.setattr("subprocess.Popen", lambda *a, **k: pytest.fail("a program was started"))
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        load_image(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA"])
def test_raster_pictures_are_opened_under_any_name(tmp_path, kind):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (200, 30, 40)).save(buffer, kind)
    path = tmp_path / ("photo.tga" if kind == "TGA" else "photo")
    path.write_bytes(buffer.getvalue())
    assert load_image(path).size == (9, 7)


def test_no_other_place_opens_files_by_itself():
    """`Image.open` without a list of formats hands a PostScript file to Ghostscript."""
    root = Path(mmcam.__file__).parent
    opening = [str(path.relative_to(root)) for path in root.rglob("*.py") if "Image.open(" in path.read_text("utf-8")]
    assert opening == ["image/open.py"]
