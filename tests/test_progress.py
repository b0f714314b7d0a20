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


def test_a_meter_on_a_terminal_tells_how_many_and_how_fast(screen):
    with progress.Meter(10, "Explaining") as meter:
        meter.advance(4)
        meter._bar.refresh()
        assert list(progress.with_progress(range(2), "inner")) == [0, 1]
    assert "4/10" in screen.getvalue()
    assert "/s" in screen.getvalue()
    assert "inner" not in screen.getvalue()
    assert list(progress.with_progress(range(2), "next")) == [0, 1]
    assert "next" in screen.getvalue()


def test_a_meter_in_a_log_writes_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Meter(1000, "Explaining") as meter:
        for _ in range(9):
            now[0] += 10
            meter.advance(100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Explaining: 300 of 1,000, 10.0/s, 1.2 min left",
        "Explaining: 600 of 1,000, 10.0/s, 0.7 min left",
        "Explaining: 900 of 1,000, 10.0/s, 0.2 min left",
    ]


@pytest.mark.parametrize("widgets", [True, False])
def test_a_bar_in_a_notebook_needs_the_widgets_it_is_drawn_with(monkeypatch, widgets):
    """Without them rich warns in the reader's notebook, and shows nothing."""
    monkeypatch.setattr(progress, "find_spec", lambda name: object() if widgets else None)
    assert progress._shows(Console(force_terminal=False, force_jupyter=True, file=io.StringIO())) is widgets
