"""Pictures of one, three, four and twelve channels, by the model's own count."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import mmcam
from mmcam import PictureError, Preprocess
from mmcam.image import prepare
from mmcam.image.planes import load_planes, shown

CPU = (torch.device("cpu"), torch.float32)


def net(channels: int) -> nn.Module:
    """Class 1 is what the last channel of the input holds, class 0 the first."""
    conv, head = nn.Conv2d(channels, 6, 1, bias=False), nn.Linear(6, 2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0], conv.weight[1, -1] = 1, 1
        head.weight.copy_(torch.eye(2, 6))
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def plain(channels: int, mode: str = "squash", size: tuple[int, int] = (20, 30)) -> Preprocess:
    return Preprocess(size=size, mode=mode, mean=(0.0,) * channels, std=(1.0,) * channels)


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)).convert(mode)


# --- one --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "RGBA", "I;16"])
def test_a_grey_model_gets_grey(tmp_path, mode):
    made = picture("L").convert("I").point(lambda v: v * 257).convert("I;16") if mode == "I;16" else picture(mode)
    made.save(tmp_path / "a.tif")
    expected = np.asarray(mmcam.load_image(made).convert("L")) / 255
    for source in (made, tmp_path / "a.tif"):
        batch = prepare(source, plain(1), *CPU)
        np.testing.assert_allclose(batch.x[0, 0].numpy(), expected, atol=1e-6)
        exp = mmcam.explain_class(net(1), source, 1, preprocess=plain(1))
        np.testing.assert_allclose(exp.heatmap, expected / 600, atol=1e-6)
        assert exp.image.mode == exp.overlay().mode == "RGB"


def test_a_grey_model_needs_no_word_about_it():
    exp = mmcam.explain_class(net(1), picture(), 1)
    grey = Preprocess(resize=256, mean=(0.449,), std=(0.226,))
    np.testing.assert_allclose(exp.heatmap, mmcam.explain_class(net(1), picture(), 1, preprocess=grey).heatmap)


class Greying(nn.Module):
    """Makes colours grey itself, so its first convolution tells less than it takes."""

    def __init__(self):
        super().__init__()
        self.weights, self.net = torch.tensor([0.3, 0.6, 0.1]).view(3, 1, 1), net(1)

    def forward(self, x):
        return self.net((x * self.weights).sum(1, keepdim=True))


def test_a_model_that_runs_on_colours_gets_them():
    """One channel would do, too: what it is made for is tried first."""
    model = Greying()
    exp, told = (mmcam.explain_class(model, picture(), 1, preprocess=p) for p in (None, Preprocess(resize=256)))
    assert exp.score == told.score
    assert torch.equal(exp.cam, told.cam)


class Needy(nn.Module):
    """Its first convolution is no picture's, and it needs more than a picture."""

    def __init__(self):
        super().__init__()
        self.late, self.early = nn.Conv2d(64, 4, 1), nn.Conv2d(3, 64, 1)

    def forward(self, x, mask):
        return self.late(self.early(x) * mask).mean((2, 3))


def test_a_model_that_runs_on_neither_says_why_itself():
    with pytest.raises(mmcam.ExplainError, match="Needy needs 'mask' besides the picture"):
        mmcam.explain_class(Needy().eval(), picture(), 1)


# --- four -------------------------------------------------------------------------------------------------------------


def test_transparency_is_data_for_four_channels(tmp_path):
    rgba = picture("RGBA")
    rgba.save(tmp_path / "a.png")
    array = np.asarray(rgba)
    for source in (rgba, tmp_path / "a.png", array, array.transpose(2, 0, 1), torch.from_numpy(array.copy())):
        batch = prepare(source, plain(4), *CPU)
        np.testing.assert_allclose(batch.x[0].permute(1, 2, 0).numpy(), array / np.float32(255), atol=1e-6)
        assert np.array_equal(np.asarray(batch.pictures[0]), array[:, :, :3])
    exp = mmcam.explain_class(net(4), rgba, 1, preprocess=plain(4))
    np.testing.assert_allclose(exp.heatmap, array[:, :, 3] / 255 / 600, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_four_channels_are_not_made_up(mode):
    with pytest.raises(PictureError, match=rf"mode '{mode}' without transparency has no 4 channels.*\(H,W,4\)"):
        prepare(picture(mode), plain(4), *CPU)


# --- many -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(channels=st.sampled_from([2, 5, 12]), first=st.booleans(), kind=st.sampled_from(["uint8", "uint16", "f4", "f8"]))
def test_many_channels_reach_the_model_as_they_are(channels, first, kind):
    values = np.random.default_rng(channels).uniform(0, 1, (20, 30, channels))
    top = {"uint8": 255, "uint16": 65535}.get(kind, 1)
    array = (values * top).astype(kind)
    batch = prepare(array.transpose(2, 0, 1) if first else array, plain(channels), *CPU)
    np.testing.assert_allclose(batch.x[0].permute(1, 2, 0).numpy(), array / top, rtol=1e-6, atol=1e-6)
    assert batch.pictures[0].size == (30, 20)
    assert batch.pictures[0].mode == "RGB"


def test_floats_keep_their_units():
    array = np.random.default_rng(0).normal(1500, 900, (20, 30, 12)).astype(np.float32)
    mean, std = tuple(array.mean((0, 1)).tolist()), tuple(array.std((0, 1)).tolist())
    x = prepare(array, Preprocess(size=(20, 30), mode="squash", mean=mean, std=std), *CPU).x[0]
    torch.testing.assert_close(x.mean((1, 2)), torch.zeros(12), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std((1, 2), correction=0), torch.ones(12), atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=30)
@given(
    mode=st.sampled_from(["squash", "crop", "pad"]),
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    seed=st.integers(0, 9),
)
def test_planes_go_where_colours_go(mode, size, seed):
    """The same picture as bytes and as planes: alike but for the rounding to bytes, also where it is cut or padded."""
    colours = np.random.default_rng(seed).integers(0, 256, (23, 31, 3), dtype=np.uint8)
    made = Preprocess(size=size, mode=mode, mean=(0.2, 0.4, 0.6), std=(0.5, 0.5, 0.5))
    x, geometry = made(Image.fromarray(colours))
    planes, same = made.planes((colours.transpose(2, 0, 1) / np.float32(255)).astype(np.float32))
    assert geometry == same
    torch.testing.assert_close(planes, x, atol=1.1 / 255 / 0.5, rtol=0)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (np.zeros((5, 6, 3)), "has no 12 channels"),
        (np.zeros((12, 12)), "has no 12 channels"),
        (np.zeros((12, 0, 5)), "has no 12 channels"),
        (np.zeros((5, 6, 12), np.int32), "int32 have no known scale"),
        (np.zeros((5, 6, 12), bool), "bool have no known scale"),
        (np.full((5, 6, 12), np.nan), "NaN"),
        (Image.new("RGB", (5, 6)), r"mode 'RGB'.*pass an array \(H,W,12\) or \(12,H,W\)"),
        ("nowhere.tif", "There is no picture"),
    ],
)
def test_what_has_not_twelve_channels_is_one_sentence(source, says):
    with pytest.raises(PictureError, match=says):
        prepare(source, plain(12), *CPU)


def test_twelve_channels_without_their_scale_are_one_sentence():
    array = np.zeros((20, 30, 12), np.float32)
    with pytest.raises(PictureError, match=r"takes 12 channels.*preprocess=mmcam.Preprocess\(mean=…, std=…\) with 12"):
        mmcam.explain_class(net(12), array, 1)
    with pytest.raises(PictureError, match="a Preprocess with a mean and std for each"):
        mmcam.explain_class(net(3), array, 1)
    with pytest.raises(PictureError, match="a mean and a std for each channel, not 12 and 3 of them"):
        Preprocess(mean=(0.5,) * 12)


@pytest.mark.parametrize(("takes", "given_channels"), [(1, 3), (12, 3), (3, 1), (4, 12)])
def test_a_wrong_number_of_channels_is_one_sentence(takes, given_channels):
    x = torch.rand(given_channels, 16, 16)
    with pytest.raises(mmcam.ExplainError, match=f"its first convolution takes {takes}; pass pictures of as many"):
        mmcam.explain_class(net(takes), x, 1)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("method", ["gradcam", "gradient", "occlusion", "rise", "integrated_gradients"])
def test_everything_is_drawn_whatever_the_channels(tmp_path, channels, method):
    options = {"rise": {"n": 8}, "occlusion": {"patch": 8, "stride": 8}}.get(method, {})
    x = torch.rand(channels, 16, 24)
    exp = mmcam.explain_class(net(channels), x, 1, method=method, preprocess=plain(channels), **options)
    assert exp.overlay().size == exp.image.size == (24, 16)
    assert exp.overlay().mode == exp.image.mode == "RGB"
    assert exp.heatmap.shape == (16, 24)
    assert exp.save(tmp_path / "a.png").exists()
    assert exp.save(tmp_path / "a.npz").exists()
    if channels in (1, 3, 4):
        back = np.asarray(exp.image) / 255
        np.testing.assert_allclose(back[:, :, 0], x[0].numpy(), atol=0.51 / 255)
        np.testing.assert_allclose(back[:, :, -1], x[0 if channels == 1 else 2].numpy(), atol=0.51 / 255)


def test_twelve_channels_are_shown_by_the_first_stretched():
    planes = np.zeros((12, 2, 2), np.float32)
    planes[0] = [[-3, 0], [3, 9]]
    planes[1] = 100
    assert np.asarray(shown(planes))[:, :, 0].tolist() == [[0, 64], [128, 255]]


def test_a_picture_turned_by_its_exif_data_is_turned_as_planes(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    picture("RGBA").save(tmp_path / "a.png", exif=exif)
    assert load_planes(tmp_path / "a.png", 4).shape == (4, 30, 20)


def test_a_given_preparation_of_other_channels_than_the_model(tmp_path):
    """What is given is what is done; the model says whether it can take it."""
    with pytest.raises(mmcam.ExplainError, match="the input has 3 channels and its first convolution takes 1"):
        mmcam.explain_class(net(1), picture(), 1, preprocess=plain(3))
