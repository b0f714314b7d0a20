"""Pages in notebooks."""

from html.parser import HTMLParser

import pytest

import mmcam
from mmcam.datasets import vignettes
from mmcam.errors import ExplainError
from mmcam.report.notebook import inline


class Frames(HTMLParser):
    """The attributes of the frames of a text."""

    def __init__(self, text):
        super().__init__()
        self.frames = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        assert tag == "iframe", "nothing of the page stands outside the frame"
        self.frames.append(dict(attrs))


def test_a_page_is_in_its_frame_as_it_was_written(tmp_path):
    strip = mmcam.explain_caption(mmcam.models.load("vignette-captioner"), vignettes.draw(20000123).image)
    path = strip.html(tmp_path / "strip.html", title='<b>"&amp;"')
    (frame,) = Frames(inline(path, height=400)._repr_html_()).frames
    assert frame["srcdoc"] == path.read_text("utf-8")
    assert "height:400px" in frame["style"]


def test_a_page_that_is_not_there(tmp_path):
    with pytest.raises(ExplainError, match=r"none\.html cannot be read \(No such file"):
        inline(tmp_path / "none.html")
