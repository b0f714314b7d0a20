"""What is asked of an explanation that it cannot give is one sentence; what it can give it gives under any suffix."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmcam import CaptionExplanation, ExplainError, Explanation, Geometry, load_explanation


def explanation(values=None) -> Explanation:
    values = torch.eye(4) if values is None else torch.as_tensor(values, dtype=torch.float32)
    size = (24, 32)
    return Explanation(
        target="dog", score=1.0, values=values, weights=None, layer="layer4", method="gradcam", model="Net",
        image=Image.new("RGB", (32, 24), (90, 120, 30)), geometry=Geometry(size, size),
    )  # fmt: skip


def caption() -> CaptionExplanation:
    return CaptionExplanation("a dog", (explanation(), explanation()), explanation())


@pytest.mark.parametrize(
    "threshold", [1.5, -0.1, float("nan"), float("inf"), -float("inf"), "half", None, [0.5], 1j, np.array([0.1, 0.2])]
)
def test_a_box_of_an_odd_share(threshold):
    with pytest.raises(ExplainError, match="The threshold of a box is a share of the maximum from 0 to 1"):
        explanation().box(threshold)


@settings(deadline=None)
@given(st.floats(0, 1))
def test_every_share_gives_a_box_that_holds_the_maximum(threshold):
    exp = explanation([[0, 1, 0, 0], [1, 9, 2, 0], [0, 1, 0, 0]])
    left, top, right, bottom = exp.box(threshold)
    x, y = exp.peak()
    assert left <= x < right
    assert top <= y < bottom
    assert exp.box(0) == (0, 0, 32, 24)


@pytest.mark.parametrize("alpha", [1.5, -1, float("nan"), "x", None])
def test_an_overlay_of_an_odd_opacity(alpha):
    with pytest.raises(ExplainError, match="alpha is an opacity from 0 to 1"):
        explanation().overlay(alpha=alpha)


@pytest.mark.parametrize("cmap", ["nonsense", "", None, 3, ["turbo"]])
def test_an_overlay_of_an_odd_colour_map(cmap):
    with pytest.raises(ExplainError, match="matplotlib has no colour map"):
        explanation().overlay(cmap=cmap)


@pytest.mark.parametrize("value", [3.0, 0.0, -1.0])
def test_a_single_cell_tells_no_places_apart(value):
    exp = explanation([[value]])
    assert exp.peak() is None
    assert exp.box() == ((0, 0, 32, 24) if value > 0 else None)
    assert exp.empty == (value <= 0)
    assert exp.summary()["peak"] is None


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".Png", ".jpg", ".JPG", ".jpeg", ".pdf", ".PDF"])
@pytest.mark.parametrize("what", [explanation, caption])
def test_pictures_by_their_suffix(tmp_path, suffix, what):
    path = what().save(tmp_path / f"new/dog{suffix}")
    assert [file.name for file in path.parent.iterdir()] == [f"dog{suffix}"]
    drawn = what().overlay() if what is explanation else what().strip()
    if suffix.lower() == ".pdf":
        assert path.read_bytes().startswith(b"%PDF")
        return
    with Image.open(path) as kept:
        assert kept.format == ("PNG" if suffix.lower() == ".png" else "JPEG")
        assert kept.size == drawn.size
        assert np.abs(np.asarray(kept, float) - np.asarray(drawn, float)).mean() < (1e-9 if kept.format == "PNG" else 6)


def test_data_under_a_suffix_in_capitals(tmp_path):
    path = explanation().save(tmp_path / "dog.NPZ")
    assert np.array_equal(load_explanation(path).heatmap, explanation().heatmap)


@pytest.mark.parametrize("name", ["dog", "dog.bmp", "dog.png.txt", ".png", "", ".", "dog.npy", "x" * 5000])
@pytest.mark.parametrize("what", [explanation, caption])
def test_other_suffixes(tmp_path, monkeypatch, name, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExplainError, match="Cannot write") as caught:
        what().save(name)
    assert len(str(caught.value)) < 400
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, 3, b"dog.png", ["dog.png"], object()])
@pytest.mark.parametrize("what", [explanation, caption])
def test_no_path(path, what):
    with pytest.raises(ExplainError, match="A file is named by a path"):
        what().save(path)


@pytest.mark.parametrize("what", [explanation, caption])
def test_places_where_nothing_can_be_written(tmp_path, what):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png/inside").write_text("kept")
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    places = [tmp_path / "file/dog.png", tmp_path / "folder.png", loop / "dog.png", "/proc/nowhere/dog.png",
              tmp_path / ("x" * 5000 + ".png"), str(tmp_path / "a\0b.png"), "\ud800/dog.png"]  # fmt: skip
    before = sorted(map(str, tmp_path.rglob("*")))
    for place in places:
        with pytest.raises(ExplainError, match="Cannot write") as caught:
            what().save(place)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert sorted(map(str, tmp_path.rglob("*"))) == before
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ExplainError, match="Permission denied"):
        explanation().save(tmp_path / "dog.png")


@settings(deadline=None, max_examples=30)
@given(name=st.text(max_size=30))
def test_any_name_is_written_or_refused_in_a_sentence(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("any")
    try:
        path = explanation().save(folder / f"{name.replace('/', '').replace('..', '')}.png")
    except ExplainError:
        assert not list(folder.iterdir())
    else:
        assert isinstance(path, Path)
        assert path.is_file()
