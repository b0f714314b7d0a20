"""Figures by their properties: sizes, places, texts in files; no pixel of a font is compared."""

import io
import re
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib import rc_context
from PIL import Image

from mmcam.drawing.overlay import mark, mute_outside
from mmcam.drawing.sheet import Bar, Block, Panel, Sheet, fit
from mmcam.drawing.typeset import as_picture, typeset, write_vector
from mmcam.errors import ExplainError


def noise(width=60, height=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def sheet(titles=("dog", "cat"), **more):
    panels = [Panel(noise(seed=i), title, f"{i}.00") for i, title in enumerate(titles)]
    return Sheet([Block([panels])], **more)


FULL = {
    "heading": "A caption that is so long that it has to be set in several lines of text, whatever the figure's width",
    "subtitle": "gradcam at layer4 of Net · score: logit",
    "bars": [Bar("0.5, the maximum")],
    "keys": [("box", "box of the largest part"), ("peak", "maximum"), ("outside", "not shown"), ("signed", "signed")],
    "remarks": ["A sentence at the end that a reader should know, long enough for a second line of the figure."],
}


def extents(figure):
    """Bounding boxes in pixels: of the texts, and of the axes by their labels."""
    renderer = figure.canvas.get_renderer()
    texts = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    return texts, [(axes.get_label(), axes.get_window_extent()) for axes in figure.axes]


def test_panels_lie_on_whole_pixels_and_show_their_pictures():
    pictures = [noise(160, 100, seed) for seed in (0, 1)]
    figure = typeset(Sheet([Block([[Panel(picture, "a") for picture in pictures]])]), dpi=100)
    drawn = np.asarray(as_picture(figure))
    height = drawn.shape[0]
    for axes, picture in zip(figure.axes, pictures, strict=True):
        left, bottom, right, top = (round(v) for v in axes.get_window_extent().extents)
        assert (right - left, top - bottom) == picture.size
        assert np.array_equal(drawn[height - top : height - bottom, left:right], np.asarray(picture))


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_nothing_overlaps_and_nothing_is_cut(columns):
    titles = ["dog", "a very long class name, Bernese mountain dog", "x" * 70, "", "cat"][:columns]
    figure = typeset(sheet(titles, **FULL), dpi=100)
    texts, axes = extents(figure)
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [box for _, box in texts + axes]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            down = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or down <= 3, "line boxes may touch, letters may not"


def test_every_word_is_set():
    figure = typeset(sheet(**FULL), dpi=100)
    told = " ".join(text.get_text() for text in figure.texts)
    for words in (FULL["heading"], FULL["subtitle"], *FULL["remarks"], "dog", "0.00", "0.5, the maximum", "not shown"):
        assert all(word in told for word in words.split())
    labels = [axes.get_label() for axes in figure.axes]
    assert labels == ["panel", "panel", "bar", "box", "peak", "outside", "signed"]


def test_a_name_is_broken_after_its_signs():
    figure = typeset(sheet(["features.layer4_2_convolution_of_the_block"]), dpi=100)
    lines = [text.get_text() for text in figure.texts if text.get_text() != "0.00"]
    assert len(lines) > 1
    assert "".join(lines) == "features.layer4_2_convolution_of_the_block"
    assert all(line[-1] in "._" for line in lines[:-1])


def test_what_is_too_long_ends_in_an_ellipsis():
    figure = typeset(sheet(["word " * 200]), dpi=100)
    titles = [text.get_text() for text in figure.texts if text.get_text() != "0.00"]
    assert len(titles) == 4
    assert titles[-1].endswith("…")


@settings(deadline=None, max_examples=25)
@given(text=st.text(max_size=60))
def test_any_text_is_set(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = as_picture(typeset(sheet([text], heading=text, remarks=[text]), dpi=40))
    assert picture.width > 40


def test_rows_and_columns_have_titles():
    panels = [[Panel(noise(), "", "1.00")] * 2] * 2
    block = Block(panels, row_titles=["tabby", "boxer"], column_titles=["gradcam", "layercam"])
    figure = typeset(Sheet([block]), dpi=100)
    texts, axes = extents(figure)
    where = dict(texts)
    first, below = axes[0][1], axes[2][1]
    assert where["tabby"].x1 <= first.x0
    assert first.y0 <= (where["tabby"].y0 + where["tabby"].y1) / 2 <= first.y1
    assert below.y0 <= (where["boxer"].y0 + where["boxer"].y1) / 2 <= below.y1
    assert where["gradcam"].y0 >= first.y1 - 1
    assert where["layercam"].x0 == pytest.approx(axes[1][1].x0, abs=3)


def test_pyplot_knows_nothing_of_it():
    before = plt.get_fignums(), plt.get_backend()
    typeset(sheet(), dpi=50)
    assert (plt.get_fignums(), plt.get_backend()) == before


def test_a_users_settings_do_not_break_it():
    with rc_context({"text.usetex": True, "axes.grid": True, "image.origin": "lower", "savefig.bbox": "tight",
                     "figure.facecolor": "black", "text.color": "red"}):  # fmt: skip
        strange = np.asarray(as_picture(typeset(sheet(["$x"]), dpi=60)))
    assert np.array_equal(strange, np.asarray(as_picture(typeset(sheet(["$x"]), dpi=60))))


def pdf_streams(data):
    """What a PDF's compressed parts hold."""
    for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        try:
            yield zlib.decompress(part)
        except zlib.error:
            continue


def test_a_pdf_embeds_fonts_and_pictures_as_they_are():
    file = io.BytesIO()
    write_vector(typeset(sheet(["café"], heading="$5 “Ω”"), dpi=100), file, "pdf")
    data = file.getvalue()
    assert b"/FontFile2" in data, "TrueType, embedded"
    assert b"/Type3" not in data
    whole = data + b"\n".join(pdf_streams(data))
    assert b"/Width 60" in whole
    assert b"/Height 40" in whole
    assert np.asarray(noise(seed=0)).tobytes() in whole or b"/Predictor" in whole
    assert b"<00e9>" in whole.lower(), "a reader is told that a glyph is é"
    assert b"CreationDate" not in data


@pytest.mark.filterwarnings("ignore:No installed font")
def test_an_svg_has_its_texts_as_texts():
    file = io.BytesIO()
    write_vector(typeset(sheet(["café & <b>"], heading="日本", remarks=["$5"]), dpi=100), file, "svg")
    text = file.getvalue().decode()
    for words in ("café &amp; &lt;b&gt;", "日本", "$5", "0.00"):
        assert f">{words}</text>" in text
    assert text.count("<image") == 1


def test_the_same_figure_is_the_same_file():
    files = [io.BytesIO(), io.BytesIO()]
    for kind in ("pdf", "svg"):
        for file in files:
            write_vector(typeset(sheet(), dpi=60), file, kind)
    assert files[0].getvalue() == files[1].getvalue()


def test_more_than_a_picture_holds_is_refused():
    one = Panel(Image.new("RGB", (1, 1)))
    with pytest.raises(ExplainError, match="draw fewer at a time"):
        typeset(Sheet([Block([[one]] * 300)]), dpi=300)
    with pytest.raises(ExplainError, match="nothing to draw"):
        typeset(Sheet([]))


def test_pictures_are_made_smaller_and_never_larger():
    assert fit(noise(60, 40), 60).size == (60, 40)
    assert fit(noise(60, 40), 30).size == (30, 20)
    assert fit(Image.new("RGB", (4000, 1)), 30).size == (30, 1)


# --- marks ------------------------------------------------------------------------------------------------------------


def test_what_was_not_shown_is_faded_and_hatched():
    picture = noise(100, 50)
    muted = np.asarray(mute_outside(picture, (20, 0, 80, 50)), int)
    kept = np.asarray(picture, int)
    assert np.array_equal(muted[:, 20:80], kept[:, 20:80])
    for outside in (muted[:, :20], muted[:, 80:]):
        assert (outside.max(-1) == outside.min(-1)).all(), "grey"
        assert {150} < set(outside.ravel())
        assert outside.std() < kept.std()
    assert mute_outside(picture, (0, 0, 100, 50)).tobytes() == picture.tobytes()


def test_marks_lie_at_their_places():
    grey = Image.new("RGB", (100, 80), (90, 90, 90))
    drawn = np.asarray(mark(grey, box=(10, 20, 60, 70)))
    changed = (drawn != 90).any(-1)
    rows, columns = np.nonzero(changed.any(1))[0], np.nonzero(changed.any(0))[0]
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (10, 20, 60, 70)
    assert not changed[25:65, 15:55].any()
    cross = (np.asarray(mark(grey, peak=(50, 40))) != 90).any(-1)
    rows, columns = np.nonzero(cross.any(1))[0], np.nonzero(cross.any(0))[0]
    assert abs(columns.mean() - 50) <= 1
    assert abs(rows.mean() - 40) <= 1
