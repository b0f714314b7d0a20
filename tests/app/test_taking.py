import io
import json

import numpy as np
import pytest
from PIL import Image

import mmcam
from mmcam.app.asking import answer
from mmcam.app.settings import Settings
from mmcam.app.taking import KINDS, taken

SCENE = "vignette-20000123"


@pytest.fixture(scope="module")
def both(studio):
    from mmcam.app.session import Session

    session = Session()
    picture = session.picture(SCENE, None)
    one = answer(studio, session, Settings("caption", SCENE, text="a house on a beach", target="house"), picture)
    two = answer(studio, session, Settings("class", SCENE, target="house", beside="layercam"), picture)
    return one, two


def test_a_picture_is_the_overlay(both):
    one, _ = both
    with Image.open(io.BytesIO(taken(one, "png", 1))) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(one.panels[0].items[1].overlay()))


def test_two_methods_are_in_one_picture(both):
    _, two = both
    with Image.open(io.BytesIO(taken(two, "png", 0))) as picture:
        assert picture.width > 1.8 * picture.height  # the picture, and a map of each, with titles


def test_data_come_back_as_they_were(both, tmp_path):
    one, two = both
    (tmp_path / "word.npz").write_bytes(taken(one, "npz", 1))
    word = mmcam.load_explanation(tmp_path / "word.npz")
    assert np.array_equal(word.heatmap, one.panels[0].items[1].heatmap)
    (tmp_path / "all.npz").write_bytes(taken(one, "npz"))
    assert mmcam.load_explanation(tmp_path / "all.npz").caption == "a house on a beach"
    (tmp_path / "two.npz").write_bytes(taken(two, "npz", 0, panel=1))
    assert mmcam.load_explanation(tmp_path / "two.npz").method == "layercam"


def test_json_holds_settings_and_summaries(both):
    _, two = both
    told = json.loads(taken(two, "json"))
    assert told["link"] == f"?{two.settings.query()}"
    assert [each["method"] for each in told["explanations"]] == ["gradcam", "layercam"]
    assert told["explanations"][1]["maps"][0]["target"] == "house"


def test_pages_and_figures_are_such(both):
    one, two = both
    assert taken(one, "pdf", 1).startswith(b"%PDF")
    assert taken(two, "pdf").startswith(b"%PDF")
    for each in both:
        page = taken(each, "html").decode()
        assert page.startswith("<!doctype html>")
        assert "house" in page
    assert "layercam" in taken(two, "html").decode()


@pytest.mark.parametrize(("kind", "item", "panel"), [("exe", 0, 0), ("png", 99, 0), ("npz", 0, 2), ("npz", -1, 0)])
def test_what_there_is_not_is_refused(both, kind, item, panel):
    with pytest.raises(mmcam.ExplainError):
        taken(both[0], kind, item, panel)


def test_every_kind_is_named():
    assert set(KINDS) == {"png", "pdf", "npz", "json", "html"}
