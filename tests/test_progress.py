"""The bar shows on terminals only, and never inside another."""

import io

import pytest
from rich.console import Console

from mmcam import progress


@pytest.fixture
def screen(monkeypatch):
    """What a terminal would receive."""
    written = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **kwargs: Console(file=written, force_terminal=True, width=80))
    return written


def test_a_bar_on_a_terminal(screen):
    assert list(progress.with_progress(range(3), "Occlusion")) == [0, 1, 2]
    assert "Occlusion" in screen.getvalue()


def test_no_bar_for_one_step(screen):
    assert list(progress.with_progress([7], "Occlusion")) == [7]
    assert screen.getvalue() == ""


def test_no_bar_inside_a_bar(screen):
    for _ in progress.with_progress(range(2), "outer"):
        assert list(progress.with_progress(range(2), "inner")) == [0, 1]
    assert "outer" in screen.getvalue()
    assert "inner" not in screen.getvalue()


def test_the_next_bar_shows_after_one_that_was_broken_off(screen):
    bar = progress.with_progress(range(2), "broken")
    next(bar)
    bar.close()
    assert list(progress.with_progress(range(2), "next")) == [0, 1]
    assert "next" in screen.getvalue()


def test_nothing_where_nobody_looks(capsys):
    assert list(progress.with_progress(range(3), "Occlusion")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
