"""The result: honest numbers, the right pixels, whole files."""

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import SMALL, Captioner, Deep, pictures, seeded

import mmcam
from mmcam import CaptionExplanation, ExplainError, Explanation, Geometry, explain_caption, explain_class
from mmcam.files import write_whole


def picture(width=40, height=30, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def explanation(values, size=None, **fields):
    """An Explanation of a map (h,w) or (C,h,w) over a picture of `size` (width, height), squashed."""
    values = torch.as_tensor(values, dtype=torch.float32)
    width, height = size or values.shape[:-3:-1]
    h, w = values.shape[-2:]
    geometry = fields.pop("geometry", Geometry((height, width), (h, w), (h / height, w / width)))
    known = {"target": "dog", "score": 1.5, "weights": torch.arange(3.0), "layer": "layer4", "method": "gradcam"}
    return Explanation(values=values, geometry=geometry, image=picture(width, height), model="Net", **(known | fields))


# --- the heatmap ------------------------------------------------------------------------------------------------------


def test_the_heatmap_covers_the_original_picture_in_float32():
    exp = explain_class(seeded(Deep, 32), picture(57, 31), 0, preprocess=SMALL)
    assert exp.heatmap.shape == (31, 57)
    assert exp.heatmap.dtype == np.float32
    assert exp.cam.shape == (16, 16)


def test_a_score_a_thousand_times_as_large_gives_such_a_map():
    """Trap 6: nothing is normalised, nothing added."""
    model = seeded(Deep, 32)
    one = explain_class(model, picture(), lambda out: out[:, 0], preprocess=SMALL)
    many = explain_class(model, picture(), lambda out: 1000 * out[:, 0], preprocess=SMALL)
    tiny = explain_class(model, picture(), lambda out: 1e-9 * out[:, 0], preprocess=SMALL)
    top = one.heatmap.max()
    assert top > 0
    np.testing.assert_allclose(many.heatmap, 1000 * one.heatmap, rtol=1e-4, atol=1e-3 * top)
    np.testing.assert_allclose(tiny.heatmap, 1e-9 * one.heatmap, rtol=1e-4, atol=1e-15 * top)
    assert not tiny.empty
    assert one.box() == many.box() == tiny.box()
    assert one.peak() == many.peak() == tiny.peak()
    assert np.abs(np.asarray(one.overlay(), int) - np.asarray(tiny.overlay(), int)).max() <= 1


def test_a_pixel_maps_heatmap_is_its_largest_magnitude():
    values = np.zeros((3, 4, 4))
    values[1, 2, 3], values[0, 2, 3] = -5, 2
    exp = explanation(values)
    assert exp.heatmap[2, 3] == 5
    assert exp.peak() == (3, 2)
    assert not exp.empty


# --- boxes and peaks --------------------------------------------------------------------------------------------------


def flood_fill_box(heatmap, threshold):
    """The largest segment found by walking from neighbour to neighbour."""
    hot = {(int(y), int(x)) for y, x in np.argwhere(heatmap >= threshold * heatmap.max())}
    segments = []
    for start in sorted(hot):
        if start not in hot:
            continue
        hot.remove(start)
        segment, edge = [start], [start]
        while edge:
            y, x = edge.pop()
            for near in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in hot:
                    hot.remove(near)
                    segment.append(near)
                    edge.append(near)
        segments.append(segment)
    largest = max(segments, key=len)  # the first of equally large ones in reading order
    rows, columns = zip(*largest, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


@given(st.integers(1, 14), st.integers(1, 14), st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_the_box_equals_a_flood_fill(height, width, threshold, seed):
    random = np.random.default_rng(seed)
    values = random.random((height, width)) * (random.random((height, width)) < 0.5)
    values[random.integers(height), random.integers(width)] = 1
    exp = explanation(values)
    assert exp.box(threshold) == flood_fill_box(exp.heatmap, threshold)


def test_boxes_on_paper():
    values = np.zeros((6, 8))
    values[1:3, 2:5] = 1.0
    values[3, 5] = 0.2  # diagonal: still the same segment
    values[5, 0] = 9 * 0.12  # a segment of its own, of one cell
    exp = explanation(values)
    assert exp.box() == (2, 1, 6, 4)
    assert exp.box(0.5) == (2, 1, 5, 3)
    assert exp.peak() == (0, 5)
    assert explanation(np.eye(5)).box() == (0, 0, 5, 5)


def test_the_box_is_in_pixels_of_the_original():
    values = np.zeros((4, 4))
    values[0, 3] = 1
    left, top, right, bottom = explanation(values, (80, 40)).box(0.5)
    assert (top, right) == (0, 80)
    assert 55 <= left <= 65
    assert 10 <= bottom <= 17


# --- empty maps -------------------------------------------------------------------------------------------------------


def test_an_empty_map_says_so_and_shows_the_bare_picture():
    exp = explanation(np.zeros((4, 4)), (20, 10))
    assert exp.empty
    assert exp.box() is None
    assert exp.peak() is None
    assert np.array_equal(np.asarray(exp.overlay()), np.asarray(exp.image))
    assert "empty" in repr(exp)
    assert json.loads(json.dumps(exp.summary()))["box"] is None


class Opposed(torch.nn.Module):
    """A score that everything in the picture lowers."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())

    def forward(self, x):
        return -self.layer(x).sum((1, 2, 3))[:, None]


def test_the_note_of_an_empty_map_says_why():
    exp = explain_class(Opposed(), picture(), 0, layer="layer", preprocess=SMALL)
    assert exp.empty
    assert exp.note == "The map is empty: at layer nothing in the picture raises the score of 'class 0'."
    assert exp.summary()["note"] == exp.note
    assert explain_class(seeded(Deep, 32), picture(), 0, preprocess=SMALL).note == ""


def test_a_negative_pixel_map_is_not_empty():
    class Falling(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Identity()

        def forward(self, x):
            return -self.layer(x * 2).sum((1, 2, 3))[:, None]

    exp = explain_class(Falling(), picture(), 0, layer="layer", method="guided_backprop", preprocess=SMALL)
    assert (exp.values < 0).all()
    assert not exp.empty
    assert exp.note == ""


def test_a_map_that_lies_wholly_on_the_padding_is_empty_over_the_picture():
    """Otherwise its box would be the whole picture and its peak the first pixel."""
    cam = np.zeros((4, 4))
    cam[0] = 1
    exp = explanation(cam, (80, 20), geometry=Geometry((20, 80), (40, 40), (0.5, 0.5), (15.0, 0.0)))
    assert exp.heatmap.max() == 0
    assert exp.empty
    assert exp.box() is None
    assert exp.peak() is None


def test_its_note_says_why():
    class Corner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 1, bias=False)
            torch.nn.init.dirac_(self.layer.weight)

        def forward(self, x):
            first_row = (torch.arange(8) < 1)[:, None]
            return self.layer((x * 0 + 1) * first_row).sum((1, 2, 3))[:, None]

    preprocess = mmcam.Preprocess((8, 8), "pad", mean=(0.5,) * 3, std=(0.25,) * 3)
    exp = explain_class(Corner(), Image.new("RGB", (64, 8), "white"), 0, layer="layer", preprocess=preprocess)
    assert (exp.values > 0).any()
    assert exp.empty
    assert "padding" in exp.note


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite(bad):
    values = np.ones((4, 4))
    values[1, 1] = bad
    exp = explanation(values)
    assert exp.box() is None
    assert exp.peak() is None
    assert np.array_equal(np.asarray(exp.overlay()), np.asarray(exp.image))


def test_a_score_that_overflows_is_noted():
    exp = explain_class(
        seeded(Deep, 32), picture(), lambda out: (out[:, 0] * 1e30) ** 3, preprocess=SMALL, layer="features"
    )
    assert "not finite" in exp.note
    assert exp.box() is None


# --- showing ----------------------------------------------------------------------------------------------------------


def test_representations():
    exp = explanation(np.eye(4), (20, 10), context="a dog runs")
    assert repr(exp) == "Explanation('dog' in 'a dog runs', score 1.500, gradcam at layer4 of Net, 20×10)"
    shown = Image.open(io.BytesIO(exp._repr_png_()))
    assert shown.format == "PNG"
    assert np.array_equal(np.asarray(shown), np.asarray(exp.overlay()))


def test_the_overlay_has_the_pictures_size_and_the_heat_in_its_place():
    values = np.zeros((4, 4))
    values[3, 0] = 1
    exp = explanation(values, (80, 40))
    changed = np.abs(np.asarray(exp.overlay(), int) - np.asarray(exp.image, int)).max(-1) > 0
    assert exp.overlay().size == (80, 40)
    assert changed[35:, :15].mean() > 0.9
    assert not changed[:20].any()
    assert not changed[:, 50:].any()
    assert np.array_equal(np.asarray(exp.overlay(alpha=0)), np.asarray(exp.image))
    for alpha in (-0.1, 1.1):
        with pytest.raises(ValueError, match="alpha is an opacity from 0 to 1"):
            exp.overlay(alpha=alpha)


def test_show(monkeypatch):
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    explanation(np.eye(4), note="A note.", context="a dog").show()
    explain_caption(seeded(Captioner), picture()).show()
    assert len(shown) == 2
    assert shown[0].get_suptitle() == "a dog\ndog  (1.50)\nA note."
    plt.close("all")


def test_a_summary_is_json():
    for exp in (
        explain_class(seeded(Deep, 32), picture(), np.int64(1), preprocess=SMALL),
        explanation(np.zeros((3, 3))),
    ):
        read = json.loads(json.dumps(exp.summary()))
        assert read["size"] == list(exp.image.size)
        assert {
            "target",
            "score",
            "method",
            "layer",
            "model",
            "version",
            "note",
            "peak",
            "box",
            "context",
        } <= read.keys()


# --- files ------------------------------------------------------------------------------------------------------------


def test_saving_a_picture(tmp_path):
    exp = explanation(np.eye(4), (20, 10))
    path = exp.save(tmp_path / "new" / "folder" / "dog.png")
    assert path == tmp_path / "new" / "folder" / "dog.png"
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(exp.overlay()))
    assert exp.save(str(path)) == path  # again, over the old one
    assert [file.name for file in path.parent.iterdir()] == ["dog.png"]


def test_saving_the_data(tmp_path):
    exp = explanation(np.eye(4), (20, 10), context="ein Hund läuft")
    with np.load(exp.save(tmp_path / "dog.npz"), allow_pickle=False) as data:
        assert np.array_equal(data["values"], exp.values.numpy())
        assert np.array_equal(data["weights"], exp.weights.numpy())
        assert json.loads(str(data["meta"])).items() >= json.loads(json.dumps(exp.summary())).items()
        assert json.loads(str(data["meta"]))["context"] == "ein Hund läuft"
    with np.load(explanation(np.ones((3, 4, 4)), weights=None).save(tmp_path / "pixels.npz")) as data:
        assert "weights" not in data


def test_half_precision_data_is_saved(tmp_path):
    model = seeded(Deep, 32).bfloat16()
    exp = explain_class(model, picture(), 0, method="guided_backprop", preprocess=SMALL)
    with np.load(exp.save(tmp_path / "half.npz")) as data:
        assert data["values"].dtype == np.float32


def test_other_suffixes_are_refused(tmp_path):
    exp = explanation(np.eye(4))
    for name in ("dog.bmp", "dog", "dog.npy"):
        with pytest.raises(
            ExplainError, match=rf"Cannot write '{name}': use .png or .jpg for the overlay, .pdf or .svg for the figure"
        ):
            exp.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [None, b"the old file"])
def test_a_failing_writer_leaves_nothing_behind(tmp_path, before):
    path = tmp_path / "dog.png"
    if before:
        path.write_bytes(before)

    def fail(file):
        file.write(b"half a picture")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([before] if before else [])


def test_an_interrupted_save_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(self, file, *_, **__):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explanation(np.eye(4)).save(tmp_path / "dog.png")
    assert not list(tmp_path.iterdir())


def test_a_saved_file_has_the_rights_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert explanation(np.eye(4)).save(tmp_path / "dog.png").stat().st_mode == plain.stat().st_mode


# --- captions ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def caption():
    return explain_caption(seeded(Captioner), picture())


def test_a_caption_is_a_sequence_of_its_words(caption):
    assert isinstance(caption, CaptionExplanation)
    assert len(caption) == 6
    assert caption[1].target == "dog"
    assert [exp.target for exp in caption[1:3]] == ["dog", "runs"]
    assert [exp.target for exp in caption] == caption.caption.split()
    assert repr(caption).startswith("CaptionExplanation('a dog runs on the grass': a -")


def test_the_strip_shows_the_picture_and_every_word(caption):
    narrow, wide = caption.strip(columns=2), caption.strip(columns=7)
    assert wide.width > 3 * narrow.width
    assert narrow.height > 3 * wide.height
    assert Image.open(io.BytesIO(caption._repr_png_())).size == caption.strip().size


def test_saving_a_caption(caption, tmp_path):
    path = caption.save(tmp_path / "strip.png")
    assert Image.open(path).size == caption.strip().size
    with pytest.raises(ValueError, match=r"use .png, .jpg, .pdf or .svg for the strip or .npz for the data"):
        caption.save(tmp_path / "strip.npy")
    assert caption[1].save(tmp_path / "dog.npz").exists()


def test_a_captions_summary_is_json(caption):
    read = json.loads(json.dumps(caption.summary()))
    assert read["caption"] == caption.caption
    assert read["score"] == pytest.approx(sum(word["score"] for word in read["words"]), abs=1e-4)


def test_the_public_face():
    assert all(hasattr(mmcam, name) for name in mmcam.__all__)


@pytest.mark.gpu
def test_maps_stay_on_the_device_until_someone_looks():
    exp = explain_class(seeded(Deep, 32).cuda(), pictures(1, 32)[0], 0)
    assert exp.values.is_cuda
    assert exp.weights.is_cuda
    assert isinstance(exp.heatmap, np.ndarray)
