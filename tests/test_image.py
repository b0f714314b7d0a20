"""Every kind of picture opens upright as 8-bit RGB, is prepared as torchvision does it, and leads back to itself."""

import io
import warnings

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode

import mmcam
from mmcam import Geometry, PictureError, Preprocess, load_image
from mmcam.image import prepare, preprocess_of

sides = st.integers(1, 300)
settings.register_profile("mmcam", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("mmcam")


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def same(picture, expected, tolerance=0):
    assert picture.mode == "RGB"
    assert picture.size == expected.size
    difference = np.abs(np.asarray(picture, dtype=int) - np.asarray(expected.convert("RGB"), dtype=int))
    assert difference.max() <= tolerance


# --- geometry ---------------------------------------------------------------------------------------------------------


@given(sides, sides, st.sampled_from(("squash", "crop", "pad")), st.data())
def test_a_hot_cell_lands_where_its_pixels_came_from(height, width, mode, data):
    """The maximum of a map with one hot cell lies in that cell once the pixel is taken through the preprocessing."""
    assume(max(height, width) <= 60 * min(height, width))
    cells = (7, 5)
    size = (98, 65)
    _, geometry = Preprocess(size=size, mode=mode)(Image.new("RGB", (width, height)))
    row, column = data.draw(st.integers(0, cells[0] - 1)), data.draw(st.integers(0, cells[1] - 1))
    cam = torch.zeros(cells)
    cam[row, column] = 1
    heatmap = geometry.to_original(cam)
    assert heatmap.shape == (height, width)

    def cell_of(axis, pixel):
        at = (pixel + 0.5) * geometry.scale[axis] + geometry.offset[axis]
        return at / size[axis] * cells[axis]

    for y in range(height):
        v = cell_of(0, y)
        for x in (0, width // 2, width - 1):
            u = cell_of(1, x)
            inside = 0 <= v <= cells[0] and 0 <= u <= cells[1]
            # The triangle of bilinear interpolation around the cell's centre, flat beyond the outermost centres.
            vertical = max(0.0, 1 - abs(min(max(v, 0.5), cells[0] - 0.5) - (row + 0.5)))
            horizontal = max(0.0, 1 - abs(min(max(u, 0.5), cells[1] - 0.5) - (column + 0.5)))
            expected = vertical * horizontal if inside else 0.0
            assert abs(float(heatmap[y, x]) - expected) < 1e-3


@given(st.integers(16, 300), st.integers(16, 300), st.sampled_from(("squash", "crop", "pad")), st.data())
def test_the_geometry_says_where_the_pixels_went(height, width, mode, data):
    """The centre of a white block is found in the input where scale and offset put it, to a pixel."""
    short = min(height, width)
    half = max(1, short // 8)
    y = height // 2 + data.draw(st.integers(-short // 5, short // 5))
    x = width // 2 + data.draw(st.integers(-short // 5, short // 5))
    picture = Image.new("RGB", (width, height))
    picture.paste("white", (x - half, y - half, x + half, y + half))
    made, geometry = Preprocess(size=(96, 64), mode=mode, mean=(0, 0, 0), std=(1, 1, 1))(picture)
    mass = made[0].double()
    assume(mode != "crop" or 64 / 96 * short > 2 * (half + short // 5) + 2)  # wholly inside the crop
    for axis, centre in ((0, y), (1, x)):
        line = mass.sum(1 - axis)
        found = float((line * (torch.arange(len(line)) + 0.5)).sum() / line.sum())
        assert abs(found - (centre * geometry.scale[axis] + geometry.offset[axis])) < 1


@given(sides, sides, st.integers(1, 20), st.integers(1, 20))
def test_a_squashed_pictures_map_is_interpolated_with_pixel_centres(height, width, h, w):
    """Trap 7: align_corners=False, the rule of cv2.resize, on the way up."""
    _, geometry = Preprocess(mode="squash")(Image.new("RGB", (width, height)))
    maps = torch.randn(2, h, w)
    expected = F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(geometry.to_original(maps), expected, rtol=1e-3, atol=1e-3)


def test_align_corners_would_differ():
    maps = torch.rand(1, 7, 7)
    _, geometry = Preprocess(mode="squash")(Image.new("RGB", (50, 40)))
    other = F.interpolate(maps[None], (40, 50), mode="bilinear", align_corners=True)[0]
    assert float((geometry.to_original(maps) - other).abs().max()) > 0.1


@given(sides, sides)
def test_what_a_crop_never_showed_is_zero(height, width):
    assume(max(height, width) <= 60 * min(height, width))
    _, geometry = Preprocess(size=(64, 64), mode="crop", resize=73)(Image.new("RGB", (width, height)))
    heatmap = geometry.to_original(torch.ones(3, 3))
    assert set(heatmap.round(decimals=5).unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(heatmap[heatmap < 0.5], torch.zeros(int((heatmap < 0.5).sum())))
    short = min(height, width)
    # the longer side is truncated to whole pixels, so a pixel of the input shows a little more of it
    shown = [round(64 / int(73 * side / short) * side) for side in (height, width)]
    rows, columns = (heatmap > 0).any(1).sum(), (heatmap > 0).any(0).sum()
    assert abs(int(rows) - shown[0]) <= 2
    assert abs(int(columns) - shown[1]) <= 2
    # centred to a pixel of the resized picture
    if short > 1:
        for line in ((heatmap > 0).any(1).float(), (heatmap > 0).any(0).float()):
            at = line.nonzero().flatten()
            assert abs(int(at[0]) - (len(line) - 1 - int(at[-1]))) <= 2 + short / 73


def test_a_map_over_padding_is_cut_off_and_the_rest_keeps_its_place():
    x, geometry = Preprocess(size=(40, 40), mode="pad", mean=(0.5,) * 3)(Image.new("RGB", (80, 40), "white"))
    assert geometry == Geometry((40, 80), (40, 40), (0.5, 0.5), (10.0, 0.0))
    assert float(x[:, :10].abs().max()) < 0.02  # the mean colour, to a byte
    assert float(x[:, 10:30].min()) > 1
    cam = torch.zeros(4, 4)
    cam[0] = 1  # only in the padding above the picture
    assert float(geometry.to_original(cam)[20:].max()) == 0
    whole = geometry.to_original(torch.ones(4, 4))
    torch.testing.assert_close(whole, torch.ones(40, 80))


def test_maps_keep_leading_dimensions_and_become_float32():
    geometry = Geometry((9, 7), (4, 4), (4 / 9, 4 / 7))
    maps = torch.rand(2, 3, 2, 2, dtype=torch.float16, requires_grad=True)
    back = geometry.to_original(maps)
    assert back.shape == (2, 3, 9, 7)
    assert back.dtype == torch.float32
    assert not back.requires_grad


def test_positions_stay_exact_on_huge_pictures():
    """At 10,000 pixels, float32 positions would be off by a visible part of a cell."""
    geometry = Geometry((20_000, 1), (224, 1), (224 / 20_000, 1.0))
    maps = torch.arange(224.0)[:, None]
    back = geometry.to_original(maps)[:, 0].double()
    exact = ((torch.arange(20_000, dtype=torch.float64) + 0.5) * 224 / 20_000 - 0.5).clamp(0, 223)
    assert float((back - exact).abs().max()) < 1e-3


# --- preprocessing ----------------------------------------------------------------------------------------------------

PRESETS = (
    torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
    torchvision.models.ResNet50_Weights.IMAGENET1K_V2,
    torchvision.models.VGG16_Weights.IMAGENET1K_FEATURES,
    torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    torchvision.models.Inception_V3_Weights.IMAGENET1K_V1,
    torchvision.models.ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1,
    torchvision.models.Swin_T_Weights.IMAGENET1K_V1,
)


@pytest.mark.parametrize("weights", PRESETS, ids=str)
@pytest.mark.parametrize("size", [(300, 211), (97, 333), (500, 500), (31, 40)], ids=str)
def test_presets_of_torchvision_are_matched_bit_for_bit(weights, size):
    picture, transform = noise(*size), weights.transforms()
    x, geometry = preprocess_of(transform)(picture)
    assert torch.equal(x, transform(picture))
    assert geometry.original == size[::-1]


def test_every_filter_of_torchvision():
    picture = noise(211, 300)
    for mode in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
        transform = torchvision.transforms._presets.ImageClassification(
            crop_size=64, resize_size=80, interpolation=mode, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
        )
        assert torch.equal(preprocess_of(transform)(picture)[0], transform(picture))


def test_a_transform_that_cannot_be_read_back():
    with pytest.raises(mmcam.ExplainError, match=r"Cannot read where Compose puts the pixels.*mmcam.Preprocess"):
        preprocess_of(torchvision.transforms.Compose([]))


def test_normalising_and_back():
    preprocess = Preprocess(size=(30, 40), mode="squash")
    picture = noise(40, 30)
    same(preprocess.denormalise(preprocess(picture)[0]), picture)


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1)])
def test_an_elongated_picture_cannot_be_cropped_but_squashed_or_padded(size):
    picture = Image.new("RGB", size)
    with pytest.raises(PictureError, match=r"too elongated for a centre crop; use .*mode='squash' or mode='pad'"):
        Preprocess(mode="crop")(picture)
    for mode in ("squash", "pad"):
        x, geometry = Preprocess(mode=mode)(picture)
        assert x.shape == (3, 224, 224)
        assert geometry.to_original(torch.ones(2, 2)).shape == size[::-1]


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
def test_a_single_pixel(mode):
    x, geometry = Preprocess(mode=mode)(Image.new("RGB", (1, 1), "white"))
    assert torch.isfinite(x).all()
    assert geometry.to_original(torch.ones(7, 7)).tolist() == [[1.0]]


# --- opening ----------------------------------------------------------------------------------------------------------


def saved(tmp_path, picture, name, **options):
    picture.save(tmp_path / name, **options)
    return tmp_path / name


def test_paths_may_be_strings(tmp_path):
    path = saved(tmp_path, noise(5, 4), "a picture é.png")
    same(load_image(path), noise(5, 4))
    same(load_image(str(path)), noise(5, 4))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_without_transparency(mode):
    picture = noise(9, 6).convert(mode)
    same(load_image(picture), picture.convert("RGB"))


def test_transparency_is_laid_on_white(tmp_path):
    clear = np.zeros((2, 3, 4), dtype=np.uint8)
    clear[:, 0] = (200, 10, 10, 255)
    clear[:, 1] = (0, 0, 0, 0)
    clear[:, 2] = (0, 0, 0, 128)
    got = np.asarray(load_image(saved(tmp_path, Image.fromarray(clear), "rgba.png")))
    assert got[0, 0].tolist() == [200, 10, 10]
    assert got[0, 1].tolist() == [255, 255, 255]
    assert abs(int(got[0, 2, 0]) - 127) <= 1
    grey = Image.merge("LA", [Image.new("L", (2, 2), 0), Image.new("L", (2, 2), 0)])
    same(load_image(grey), Image.new("RGB", (2, 2), "white"))
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([255, 0, 0, 0, 0, 0])
    path = saved(tmp_path, palette, "p.png", transparency=1)
    same(load_image(path), Image.new("RGB", (2, 2), "white"))
    rgb = saved(tmp_path, Image.new("RGB", (2, 2), (1, 2, 3)), "key.png", transparency=(1, 2, 3))
    same(load_image(rgb), Image.new("RGB", (2, 2), "white"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    """The picture comes upright, and so does its heatmap."""
    stored = Image.new("RGB", (16, 8), "black")
    stored.paste("white", (0, 0, 4, 4))  # its stored top left corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, "turned.png", exif=exif)
    upright = load_image(path)
    turns = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    turn = turns[orientation]
    same(upright, stored if turn is None else stored.transpose(turn))

    class Brightness(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Identity()

        def forward(self, x):
            return self.layer(x.clamp(min=0)).square().sum((1, 2, 3))[:, None]

    preprocess = Preprocess(size=(8, 16), mode="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    exp = mmcam.explain_class(Brightness(), path, 0, layer="layer", preprocess=preprocess)
    assert exp.heatmap.shape == upright.size[::-1]
    hot = exp.heatmap > 0.5 * exp.heatmap.max()
    white = np.asarray(upright)[..., 0] > 128
    assert (hot == white).mean() > 0.95
    assert exp.image.size == upright.size


def test_a_jpeg_in_cmyk(tmp_path):
    path = saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "cmyk.jpg", quality=95)
    assert load_image(path).getpixel((4, 4))[0] > 200
    assert load_image(path).getpixel((4, 4))[1] < 50


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    expected = [0, 1, 128, 255]
    path = saved(tmp_path, Image.fromarray(deep), "deep.png")
    assert np.asarray(load_image(path))[0, :, 0].tolist() == expected
    assert np.asarray(load_image(deep))[0, :, 1].tolist() == expected
    bytes_in_more = np.array([[0, 100, 200, 255]], dtype=np.uint16)
    assert np.asarray(load_image(bytes_in_more))[0, :, 0].tolist() == [0, 100, 200, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_floats_in_zero_to_one(dtype):
    values = np.array([[0, 0.5, 1.0]], dtype=dtype)
    assert np.asarray(load_image(values))[0, :, 0].tolist() == [0, 128, 255]


def test_other_numbers():
    assert np.asarray(load_image(np.array([[0, 7, 255]])))[0, :, 2].tolist() == [0, 7, 255]
    assert np.asarray(load_image(np.array([[0.0, 7.2, 254.6]])))[0, :, 2].tolist() == [0, 7, 255]


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3), (5, 6, 4), (1, 5, 6), (3, 5, 6), (4, 5, 6)], ids=str)
def test_arrays_and_tensors_of_every_layout(shape):
    array = np.full(shape, 255, dtype=np.uint8)
    same(load_image(array), Image.new("RGB", (6, 5), "white"))
    same(load_image(torch.from_numpy(array)), Image.new("RGB", (6, 5), "white"))
    same(load_image(array[..., ::-1]), Image.new("RGB", (6, 5), "white"))


def test_channels_first_and_last_show_the_same():
    picture = noise(6, 5)
    array = np.asarray(picture)
    same(load_image(array), picture)
    same(load_image(array.transpose(2, 0, 1)), picture)
    same(load_image(torch.from_numpy(array.copy()).permute(2, 0, 1)), picture)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4, 4), dtype=bool), "array of bool is no picture; pass uint8"),
        (np.full((4, 4), np.nan), "NaN or infinite"),
        (np.array([[0, np.inf]]), "NaN or infinite"),
        (np.array([[-1.0, 0.5]]), r"float64, -1 to 0.5\) are no picture"),
        (np.array([[0, 70_000]]), r"int64, 0 to 70000\) are no picture"),
        (np.zeros((4, 4), dtype=complex), "array of complex128 is no picture"),
        (np.zeros((0, 4), dtype=np.uint8), r"shape \(0, 4\) is no picture"),
        (np.zeros((6, 4, 5), dtype=np.uint8), r"shape \(6, 4, 5\) is no picture"),
        (np.zeros(4, dtype=np.uint8), r"shape \(4,\) is no picture"),
        (np.array(["a"]), "no picture"),
        (np.array([["a"]]), "array of <U1 is no picture"),
    ],
    ids=["bool", "NaN", "inf", "negative", "too large", "complex", "empty", "five channels", "a row", "text", "texts"],
)
def test_arrays_that_are_no_picture(array, says):
    with pytest.raises(PictureError, match=says):
        load_image(array)


def test_things_that_are_no_picture():
    for thing in (3, None, {"a": 1}, b"bytes", object()):
        with pytest.raises(PictureError, match=f"cannot be made from {type(thing).__name__}"):
            load_image(thing)


def test_files_that_are_no_picture(tmp_path):
    whole = io.BytesIO()
    noise(60, 60).save(whole, "JPEG")
    truncated, text, empty = tmp_path / "half.jpg", tmp_path / "notes.png", tmp_path / "nothing.jpg"
    truncated.write_bytes(whole.getvalue()[:-900])
    text.write_text("not a picture")
    empty.write_bytes(b"")
    for path in (truncated, text, empty):
        with pytest.raises(PictureError, match=rf"{path.name} cannot be read as a picture .*save it again"):
            load_image(path)
    for path in (tmp_path / "gone.jpg", tmp_path):
        with pytest.raises(PictureError, match=r"There is no picture at .*check the path"):
            load_image(path)


def test_a_decompression_bomb(tmp_path, monkeypatch):
    path = saved(tmp_path, noise(30, 30), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(PictureError, match=r"large.png has more than .* pixels; make it smaller"):
        load_image(path)


def test_a_warning_of_pillow_is_no_error(tmp_path, monkeypatch):
    path = saved(tmp_path, noise(12, 12), "middling.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        same(load_image(path), noise(12, 12))


def test_the_callers_picture_is_not_changed():
    picture = noise(8, 8).convert("RGBA")
    before = picture.tobytes()
    load_image(picture).putpixel((0, 0), (1, 2, 3))
    assert picture.tobytes() == before
    rgb = noise(8, 8)
    before = rgb.tobytes()
    load_image(rgb).putpixel((0, 0), (1, 2, 3))
    assert rgb.tobytes() == before


# --- batches ----------------------------------------------------------------------------------------------------------

SMALL = Preprocess(size=(8, 8), mode="squash")


def batch(images):
    return prepare(images, SMALL, torch.device("cpu"), torch.float32)


def test_one_picture_or_several():
    picture = noise(9, 7)
    array = np.asarray(picture)
    for one in (picture, array, torch.from_numpy(array.copy()), torch.rand(3, 8, 8)):
        assert batch(one).single
        assert batch(one).x.shape == (1, 3, 8, 8)
    stack = np.stack([array, array, array])
    for several in ([picture] * 3, (picture, array, torch.from_numpy(array.copy())), stack, torch.from_numpy(stack)):
        made = batch(several)
        assert not made.single
        assert made.x.shape == (3, 3, 8, 8)
        assert torch.equal(made.x[0], made.x[2])
        assert made.geometries[1].original == (7, 9)
    assert not batch([picture]).single


def test_prepared_tensors_pass_unchanged():
    x = torch.randn(2, 3, 6, 5)
    made = batch(x)
    assert torch.equal(made.x, x)
    assert not made.single
    assert [picture.size for picture in made.pictures] == [(5, 6)] * 2
    assert made.geometries[0].to_original(torch.ones(2, 2)).shape == (6, 5)
    mixed = batch([torch.randn(3, 8, 8), noise(20, 10)])
    assert [geometry.original for geometry in mixed.geometries] == [(8, 8), (10, 20)]


def test_a_prepared_tensor_shows_its_picture():
    picture = noise(8, 8)
    same(batch(SMALL(picture)[0]).pictures[0], picture)
    grey = batch(torch.linspace(-1, 3, 64).reshape(1, 8, 8)).pictures[0]
    assert (grey.getpixel((0, 0))[0], grey.getpixel((7, 7))[0]) == (0, 255)


def test_batches_that_cannot_be_made():
    for empty in ([], (), torch.zeros(0, 3, 8, 8)):
        with pytest.raises(PictureError, match="no picture in the list"):
            batch(empty)
    with pytest.raises(PictureError, match=r"one shape; these are \[\(3, 8, 8\), \(3, 9, 9\)\]"):
        batch([torch.rand(3, 8, 8), torch.rand(3, 9, 9)])
    with pytest.raises(PictureError, match=r"\(C,H,W\).*this one is \(8, 8\)"):
        batch(torch.rand(8, 8))
    with pytest.raises(PictureError, match="NaN or infinite"):
        batch(torch.full((3, 8, 8), torch.nan))
    with pytest.raises(PictureError, match="cannot be made from NoneType"):
        batch([noise(3, 3), None])
