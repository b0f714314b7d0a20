"""Photographs of every kind that people have, explained by the default model: the right thing, or one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

import mmcam
import models
from mmcam.cli import app

ORIENTATION = 0x0112


@pytest.fixture(scope="module", autouse=True)
def _loaded_once():
    """One copy of the model for all commands."""
    model = models.load("photo-classifier")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmcam.models.specification.load", lambda name: model)
        yield model


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """Smooth colours, brighter to the left and redder to the top, so that a turned picture is another one."""
    rows, columns = np.mgrid[:height, :width]
    blob = 90 * np.exp(-((columns - 0.3 * width) ** 2 + (rows - 0.3 * height) ** 2) / (0.02 * width * height))
    planes = [200 - 150 * rows / height, 60 + blob, 200 - 180 * columns / width]
    return Image.fromarray(np.stack(planes, 2).clip(0, 255).astype(np.uint8))


def explained(path: Path, *arguments: str) -> dict:
    result = CliRunner().invoke(app, ["explain", str(path), "--out", str(path.parent / "out"), "--json", *arguments])
    assert result.exit_code == 0, result.output
    (report,) = json.loads(result.stdout)
    return report


def best(report: dict) -> list[tuple[int, float]]:
    return [(one["class"], round(one["probability"], 3)) for one in report["prediction"]["best"]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, _loaded_once):
    path = tmp_path_factory.mktemp("plain") / "plain.png"
    scene().save(path)
    return explained(path)


def test_the_default_says_what_it_sees(plain):
    assert plain["model"] == "PhotoClassifier"
    assert plain["size"] == [120, 80]
    prediction = plain["prediction"]
    assert prediction["class"] == prediction["best"][0]["class"]
    assert (prediction["activation"], prediction["classes"], prediction["asked"]) == ("softmax", 1000, "")
    values = [one["probability"] for one in prediction["best"]]
    assert values == sorted(values, reverse=True)
    assert 0 < sum(values) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_turned_by_its_exif_data(tmp_path, plain, orientation):
    """Stored so that the orientation's turn gives the scene again."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's inverse transpositions
    upright = scene()
    stored = upright.transpose(Image.Transpose(back[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as written:
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(written)), np.asarray(upright)), "the test's own turn"
    report = explained(tmp_path / "turned.png")
    assert (report["size"], report["peak"], best(report)) == (plain["size"], plain["peak"], best(plain))
    with Image.open(report["files"][0]) as overlay:
        assert overlay.size == (120, 80)


def as_palette(picture: Image.Image) -> Image.Image:
    """With a colour that is transparent, in a corner."""
    made = picture.quantize(255)
    made.putpixel((119, 79), 255)
    made.info["transparency"] = 255
    return made


def as_16_bit(picture: Image.Image) -> Image.Image:
    return Image.fromarray((np.asarray(picture.convert("L"), np.uint16) * 257).astype(np.uint16))


@pytest.mark.parametrize(
    ("name", "change", "alike"),
    [
        ("cmyk.jpg", lambda picture: picture.convert("CMYK"), scene()),
        ("grey.png", lambda picture: picture.convert("L"), scene().convert("L")),
        ("palette.png", as_palette, scene()),
        ("alpha.png", lambda picture: picture.convert("RGBA"), scene()),
        ("bits.png", as_16_bit, scene().convert("L")),
        ("bits.tif", as_16_bit, scene().convert("L")),
        ("bilevel.png", lambda picture: picture.convert("1"), scene().convert("1")),
        ("photo.webp", lambda picture: picture, scene()),
    ],
)
def test_kinds_of_files(tmp_path, _loaded_once, name, change, alike):
    """The same as the picture that they show, but for what the kind itself loses."""
    path = tmp_path / name
    change(scene()).save(path, **({"quality": 95} if path.suffix in (".jpg", ".webp") else {}))
    report = explained(path, "--class", "281")
    expected = mmcam.explain_class(_loaded_once, alike.convert("RGB"), 281)
    assert report["size"] == [120, 80]
    assert report["score"] == pytest.approx(expected.score, abs=0.4)


def test_an_animation_is_its_first_picture(tmp_path, plain):
    frames = [scene(), Image.new("RGB", (120, 80), "red"), Image.new("RGB", (120, 80), "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=50)
    frames[0].save(tmp_path / "still.gif")
    moving, still = (explained(tmp_path / name) for name in ("moving.gif", "still.gif"))
    assert best(moving) == best(still)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_pictures_of_hardly_any_pixels(tmp_path, size):
    Image.new("RGB", size, (200, 30, 30)).save(tmp_path / "dot.png")
    report = explained(tmp_path / "dot.png")
    assert report["size"] == list(size)
    assert report["note"] or report["peak"] is not None or size == (1, 1)
    assert np.isfinite(report["score"])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_one_sentence(tmp_path, share):
    scene(400, 300).save(tmp_path / "whole.jpg", quality=95)
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: int(share * len(whole))])
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "cut.jpg"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "cannot be read as a picture" in result.stderr
    assert not (tmp_path / "out").exists()


def test_words_for_classes_on_the_command_line(tmp_path):
    scene().save(tmp_path / "photo.png")
    cat = explained(tmp_path / "photo.png", "--class", "cat")
    assert cat["prediction"]["asked"] == "cat"
    assert cat["prediction"]["class"] in range(281, 294)
    index = explained(tmp_path / "photo.png", "--class", str(cat["prediction"]["class"]))
    assert (index["target"], index["score"]) == (cat["target"], cat["score"])
    rather = explained(tmp_path / "photo.png", "--class", "cat", "--contrast", "dog")
    assert rather["prediction"]["asked"] == "cat rather than dog"
    said = CliRunner().invoke(app, ["explain", str(tmp_path / "photo.png"), "--class", "cat", "--out", str(tmp_path)])
    told = " ".join(said.stdout.split())
    assert f"{cat['target']} (class {cat['prediction']['class']}, asked as “cat”): score" in told
    assert "probability" in told
    assert "(probabilities by softmax)" in told
    assert "By photo-classifier, which knows photographs" in told
    result = CliRunner().invoke(app, ["explain", str(tmp_path / "photo.png"), "--class", "crane"])
    assert result.exit_code == 1
    assert "134 crane (wading bird), 517 crane (lifting device); pass the index" in " ".join(result.stderr.split())


@pytest.mark.slow
def test_48_megapixels(tmp_path):
    """Within seconds, and the memory that a map over all its pixels takes."""
    small = scene(400, 300)
    small.resize((8000, 6000)).save(tmp_path / "large.jpg", quality=90)
    small.save(tmp_path / "small.png")
    large = explained(tmp_path / "large.jpg")
    assert large["size"] == [8000, 6000]
    assert large["peak"] is not None
    expected = explained(tmp_path / "small.png", "--class", str(large["prediction"]["class"]))
    assert np.allclose(np.array(large["peak"]) / 20, expected["peak"], atol=20)
    assert large["score"] == pytest.approx(expected["score"], abs=1.0)
