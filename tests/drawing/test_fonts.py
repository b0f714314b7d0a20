"""Every character of a figure has a glyph, or a warning says which has none."""

import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from mmcam.drawing import fonts
from mmcam.drawing.fonts import clean, fonts_for


@pytest.fixture
def forgetful():
    """No character has been complained of before."""
    fonts._warn.cache_clear()
    yield
    fonts._warn.cache_clear()


def little_font(path, family, characters):
    """A font with a square for each of a few characters."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square, names = pen.glyph(), [f"u{ord(c):04X}" for c in characters]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", *names])
    font.setupCharacterMap({ord(c): name for c, name in zip(characters, names, strict=True)})
    font.setupGlyf(dict.fromkeys([".notdef", *names], square))
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (900, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(path)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A font for two characters of a script that no font of matplotlib's has."""
    path = tmp_path / "Little.ttf"
    little_font(path, "Little Yi", "ꀀꀁ")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist))
    font_manager.fontManager.addfont(path)
    yield path
    font_manager._get_font.cache_clear() if hasattr(font_manager._get_font, "cache_clear") else None


def test_latin_greek_and_signs_need_no_other_font(forgetful):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fonts_for(["café “Ω” × – Łódź, ½ α", ""])
    assert found.usual
    assert found.complete
    assert found.families[-1] == "DejaVu Sans"


def test_another_installed_font_is_fallen_back_on(installed, forgetful):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fonts_for(["a ꀀ", "ꀁ b"])
    assert found.families[-1] == "Little Yi"
    assert found.complete
    assert not found.usual


def test_what_no_font_has_is_told_once(installed, forgetful):
    with pytest.warns(UserWarning, match=r"No installed font has 'ꀂ' \(U\+A002\), so .* install “Noto Sans Yi”"):
        found = fonts_for(["ꀀꀂ"])
    assert not found.complete
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fonts_for(["ꀂ"])


@pytest.mark.parametrize(
    ("text", "font"), [("猫", "Noto Sans CJK"), ("กบ", "Noto Sans Thai"), ("\U0001f9ff", "Noto Emoji")]
)
def test_the_remedy_names_a_font_of_the_script(text, font, forgetful, monkeypatch):
    monkeypatch.setattr(fonts, "_installed", list)
    monkeypatch.setattr(fonts, "_find_new", lambda: None)
    with pytest.warns(UserWarning, match=font):
        fonts_for([text])


def test_texts_are_cleaned_for_setting():
    assert clean("a\tdog\nruns\0 ") == "a dog runs"
    assert clean("\ud800x") == "\N{REPLACEMENT CHARACTER}x"
    assert clean("👩‍👩‍👧") == "👩‍👩‍👧"
