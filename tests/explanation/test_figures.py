"""Figures of explanations, captions, questions and lists: what is in them, what is said in them, how they are kept."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import mmcam
from mmcam import CaptionExplanation, ExplainError, Explanation, Geometry, QuestionExplanation
from mmcam.drawing.overlay import COLOUR_MAP, draw_overlay, draw_signed
from mmcam.explanation import Explanations

SIZE = (40, 30)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))


PHOTO = picture()


def explanation(target="dog", peak=(1, 1), top=1.0, **fields) -> Explanation:
    values = torch.zeros(3, 4)
    values[peak] = top
    known = {"score": 1.5, "layer": "layer4", "method": "gradcam", "scored": "logit", "image": PHOTO}
    geometry = Geometry(SIZE[::-1], SIZE[::-1])
    return Explanation(target=target, values=values, weights=None, geometry=geometry, model="Net", **(known | fields))


def caption(**fields) -> CaptionExplanation:
    words = tuple(
        explanation(word, (1, i), top, context="a dog runs", score=-top, scored="log_prob", **fields)
        for i, (word, top) in enumerate({"a": 0.01, "dog": 2.0, "runs": 0.5}.items())
    )
    return CaptionExplanation("a dog runs", words, replace(words[1], target="a dog runs"))


def question() -> QuestionExplanation:
    words = tuple(explanation(word, (1, i), top) for i, (word, top) in enumerate({"what": 5.0, "is": 0.001}.items()))
    return QuestionExplanation("what is", words, explanation("cat", top=4.0, context="what is"))


def panels(figure):
    """The pictures of a figure, legend apart."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.get_label() == "panel"]


def said(figure):
    return " ".join(text.get_text() for text in figure.texts)


def labels(figure):
    return [axes.get_label() for axes in figure.axes if axes.get_label() != "panel"]


def strength(overlay):
    """How much an overlay differs from the picture."""
    return np.abs(overlay.astype(int) - np.asarray(PHOTO, int)).max()


# --- one --------------------------------------------------------------------------------------------------------------


def test_a_figure_shows_picture_and_overlay_and_says_what_they_are():
    exp = explanation(context="a dog runs")
    figure = exp.figure()
    shown = panels(figure)
    assert np.array_equal(shown[0], np.asarray(PHOTO))
    assert np.array_equal(shown[1], np.asarray(exp.overlay()))
    top = f"{exp.heatmap.max():.3g}, the maximum of the map"
    for words in ("a dog runs", "dog", "1.50", "gradcam at layer4 of Net", "score: logit", top):
        assert words in said(figure)
    assert labels(figure) == ["bar"]


def test_the_look_is_the_overlays():
    look = {"alpha": 0.3, "cmap": "viridis"}
    exp = explanation()
    assert np.array_equal(panels(exp.figure(**look))[1], np.asarray(exp.overlay(**look)))
    figure = exp.figure(box=True, peak=True)
    assert labels(figure) == ["bar", "box", "peak"]
    axes = figure.axes[1]
    left, top, right, bottom = exp.box()
    edges = axes.patches[0].get_bbox()
    assert left <= edges.x0 < edges.x1 <= right
    assert top <= edges.y0 < edges.y1 <= bottom
    assert axes.lines[0].get_xydata().tolist() == [[exp.peak()[0] + 0.5, exp.peak()[1] + 0.5]]
    assert "15%" in said(figure)


def test_an_overlay_with_marks():
    exp = explanation()
    plain, marked = (np.asarray(exp.overlay(**look), int) for look in ({}, {"box": True, "peak": True}))
    changed = np.abs(plain - marked).max(-1) > 0
    left, top, right, bottom = exp.box()
    assert changed[top, left:right].all()
    assert not changed[bottom + 1 :].any()
    empty = explanation(top=-1.0)
    assert np.array_equal(np.asarray(empty.overlay(box=True, peak=True)), np.asarray(PHOTO))


def test_the_size_is_as_asked():
    exp = explanation()
    inches = exp.figure(width=3.5).get_size_inches()
    assert inches[0] == pytest.approx(3.5, abs=0.02)
    assert exp.figure(width=3.5, dpi=100).dpi == 100


@pytest.mark.parametrize(
    "frame", [{"width": 0}, {"width": float("nan")}, {"width": "wide"}, {"dpi": -1}, {"dpi": True}]
)
def test_an_odd_frame(frame):
    with pytest.raises(ExplainError, match=f"{next(iter(frame))}= is a positive number"):
        explanation().figure(**frame)


@pytest.mark.parametrize("columns", [0, True, 2.5, "two"])
def test_an_odd_number_of_columns(columns):
    for what in (caption(), Explanations([explanation()])):
        with pytest.raises(ExplainError, match="columns= is how many panels"):
            what.figure(columns=columns)


def test_a_pixel_map_has_no_colour_bar():
    exp = replace(explanation(), values=torch.randn(3, 30, 40))
    figure = exp.figure()
    assert labels(figure) == ["signed"]
    assert np.array_equal(panels(figure)[1], np.asarray(exp.overlay()))


def test_an_empty_map_says_so():
    figure = explanation(top=0.0, note="The map is empty: nothing raises it.").figure()
    assert "empty" in said(figure)
    assert "The map is empty: nothing raises it." in said(figure)
    assert np.array_equal(panels(figure)[1], np.asarray(PHOTO))


def test_how_the_input_was_made_is_told():
    squashed, cropped = (explanation(preparation=how) for how in ("resize to 32×32", "crop to 32×32"))
    assert "Input: resize to 32×32." in said(squashed.figure())
    assert "Input: resize to 32×32; or crop to 32×32." in said(Explanations([squashed, cropped, squashed]).figure())
    assert "Input" not in said(explanation().figure())


def test_what_a_crop_left_out_is_marked():
    cropped = Geometry(SIZE[::-1], (30, 30), (1.0, 1.0), (0.0, -5.0))
    exp = replace(explanation(top=0.0), geometry=cropped)
    overlay, plain = np.asarray(exp.overlay(), int), np.asarray(PHOTO, int)
    assert np.array_equal(overlay[:, 5:35], plain[:, 5:35])
    assert (overlay[:, :5].max(-1) == overlay[:, :5].min(-1)).all()
    figure = exp.figure()
    assert labels(figure)[-1] == "outside"
    assert "not shown to the model" in said(figure)


def test_the_default_colours_grow_evenly_in_lightness():
    """Read by a reader who sees no colours, and in a grey print: L* of CIE Lab rises in steps of one size."""
    from matplotlib import colormaps

    rgb = colormaps[COLOUR_MAP](np.linspace(0, 1, 33))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
    steps = np.diff(lightness)
    assert steps.min() > 0
    assert steps.max() < 2 * steps.mean()
    assert lightness[-1] - lightness[0] > 60


def test_large_pictures_are_reduced_to_what_is_printed():
    big = Image.new("RGB", (1200, 900), (80, 120, 40))
    exp = replace(explanation(), image=big, geometry=Geometry((900, 1200), (30, 40), (30 / 900, 40 / 1200)))
    shown = panels(exp.figure(width=3.5, dpi=100))
    assert shown[0].shape == shown[1].shape
    assert max(shown[1].shape) <= 175
    small = exp.overlay().resize(shown[1].shape[1::-1], Image.Resampling.BOX)
    assert np.abs(shown[1].astype(int) - np.asarray(small, int)).mean() < 1


# --- texts ------------------------------------------------------------------------------------------------------------


def test_each_word_has_its_own_scale_in_a_caption_unless_told_otherwise():
    own, shared = caption().figure(), caption().figure(scale="caption")
    strengths = [[strength(panel) for panel in panels(figure)[1:]] for figure in (own, shared)]
    assert min(strengths[0]) > 60, "every word shows where it looked"
    assert strengths[1][1] > 60
    assert strengths[1][0] < 20, "a word of a 200th of the strength hardly shows"
    assert "each word's own maximum" in said(own)
    assert f"{caption()[1].heatmap.max():.3g}, the maximum over the caption's words" in said(shared)
    assert np.array_equal(panels(own)[2], panels(shared)[2])
    for figure in (own, shared):
        for words in ("a dog runs", "-2.00", "score: log-probability", "gradcam at layer4 of Net"):
            assert words in said(figure)


def test_the_words_of_a_question_share_a_scale_unless_told_otherwise():
    shared, own = question().figure(), question().figure(scale="word")
    assert strength(panels(shared)[2]) < 10, "a word that matters nothing looks so"
    assert strength(panels(own)[2]) > 60
    assert f"{question()[0].heatmap.max():.3g}, the maximum over the question's words" in said(shared)
    assert "answer: cat" in said(shared)
    assert np.array_equal(panels(shared)[-1], panels(own)[-1]), "the answer's is another quantity"
    loud = replace(question(), answer=explanation("cat", top=100.0)).figure()
    assert np.array_equal(panels(loud)[1], panels(shared)[1])


@pytest.mark.parametrize("scale", ["words", "question", "map", 3])
def test_an_odd_scale(scale):
    with pytest.raises(ExplainError, match="scale= of a caption is 'word' or 'caption'"):
        caption().figure(scale=scale)


def test_a_shared_scale_passes_over_maps_that_are_not_finite():
    words = (*caption().words, explanation("on", top=math.inf))
    figure = replace(caption(), words=words).figure(scale="caption")
    assert np.array_equal(panels(figure)[2], panels(caption().figure(scale="caption"))[2])
    assert np.array_equal(panels(figure)[4], np.asarray(PHOTO))


def test_a_strip_is_its_figure_on_the_screen():
    strip = caption().strip(columns=2)
    assert strip.width == 2 * 224 + 3 * 8
    marked = caption().strip(columns=2, box=True)
    assert marked.width == strip.width
    assert marked.tobytes() != strip.tobytes()


# --- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_is_a_list():
    some = Explanations([explanation(), explanation("cat")])
    assert isinstance(some, list)
    assert some == list(some)
    assert isinstance(some[:1], Explanations)
    assert isinstance(some[0], Explanation)


def test_targets_of_one_picture_stand_beside_it():
    figure = Explanations([explanation("dog"), explanation("cat", (2, 3))]).figure()
    assert len(panels(figure)) == 3
    assert np.array_equal(panels(figure)[0], np.asarray(PHOTO))
    assert all(words in said(figure) for words in ("dog", "cat", "gradcam at layer4 of Net", "each map's own maximum"))


def test_one_target_of_several_pictures_is_the_heading():
    several = Explanations([explanation(image=picture(i)) for i in range(5)])
    figure = several.figure(columns=3)
    assert len(panels(figure)) == 5
    assert [text.get_text() for text in figure.texts].count("dog") == 1


def test_a_table_has_titles_of_what_differs():
    table = Explanations(
        [[explanation(t, method=m, score=s) for m in ("gradcam", "layercam")] for t, s in {"dog": 1, "cat": 2}.items()]
    )
    figure = table.figure()
    assert len(panels(figure)) == 6
    told = [text.get_text() for text in figure.texts]
    assert {"dog · 1.00", "cat · 2.00", "gradcam", "layercam"} <= set(told)
    assert "at layer4 of Net · score: logit" in told


def test_what_varies_without_order_stands_below_each_panel():
    ragged = Explanations([[explanation("dog"), explanation("cat")], [explanation("bird", layer="layer3")]])
    told = said(ragged.figure())
    assert all(words in told for words in ("dog", "cat", "bird", "layer3", "layer4"))


def test_captions_questions_and_others_mix():
    figure = Explanations([caption(), question(), explanation(), explanation("cat")]).figure()
    assert len(panels(figure)) == 4 + 4 + 3
    assert labels(figure) == ["bar"] * 3
    assert "what is" in said(figure)
    nested = Explanations([[caption(), caption()], [question()]]).figure()
    assert len(panels(nested)) == 4 + 4 + 4


def test_a_shared_scale_of_a_list():
    some = Explanations([explanation("dog", top=4.0), explanation("cat", top=0.01)])
    figure = some.figure(scale="list")
    assert strength(panels(figure)[2]) < 20
    assert f"{some[0].heatmap.max():.3g}, the maximum of all maps" in said(figure)
    with pytest.raises(ExplainError, match="differ in method and layer"):
        Explanations([explanation(), explanation(method="layercam", layer="layer3")]).figure(scale="list")
    with pytest.raises(ExplainError, match="scale= of a list is 'map' or 'list'"):
        some.figure(scale="word")


def test_a_picture_that_could_not_be_explained_is_told():
    broken = mmcam.PictureError("b.png cannot be read.")
    for some in ([explanation(), broken], [[explanation()], broken], [[explanation(), broken]]):
        figure = Explanations(some).figure()
        assert "Not explained: b.png cannot be read." in said(figure)
        assert len(panels(figure)) == 2


@pytest.mark.parametrize("nothing", [[], [[]], [mmcam.PictureError("broken")]])
def test_nothing_to_draw(nothing, tmp_path):
    some = Explanations(nothing)
    with pytest.raises(ExplainError, match="nothing to draw"):
        some.save(tmp_path / "none.png")
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_the_beginning_of_a_long_list():
    assert Explanations()._repr_png_() is None
    some = Explanations([explanation(str(i)) for i in range(60)])
    with Image.open(io.BytesIO(some._repr_png_())) as shown:
        assert shown.height < 2500
    with Image.open(io.BytesIO(some[:2]._repr_png_())) as shown:
        assert shown.width == 3 * 224 + 4 * 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PDF", ".svg"])
@pytest.mark.parametrize("what", [explanation, caption, lambda: Explanations([explanation("café"), explanation()])])
def test_files(tmp_path, suffix, what):
    path = what().save(tmp_path / f"new/x{suffix}", box=True)
    data = path.read_bytes()
    assert data.startswith({".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".PDF": b"%PDF", ".svg": b"<?xml"}[suffix])
    if suffix == ".svg":
        assert ">1.50</text>" in data.decode() or ">-2.00</text>" in data.decode()


def test_a_list_refuses_other_suffixes(tmp_path):
    with pytest.raises(ExplainError, match=r"a list's figure is a .png, .jpg, .pdf or .svg"):
        Explanations([explanation()]).save(tmp_path / "x.npz")


def test_maps_with_a_common_top_can_be_compared():
    heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    grey = Image.new("RGB", (4, 3), (90, 90, 90))
    half, whole = (np.asarray(draw_overlay(grey, heat * share, top=top)) for share, top in ((0.5, 0.5), (1, 1)))
    assert np.array_equal(half, whole)
    assert np.array_equal(whole, np.asarray(draw_overlay(grey, heat)))
    assert np.abs(np.asarray(draw_overlay(grey, heat, top=100.0), int) - 90).max() < 20
    signed = np.stack([heat - 0.5] * 3)
    assert draw_signed(signed, top=5.0).getextrema()[0] == (115, 140)
