"""A fork is interrupted when it is asked to, its end is told, and its files are read."""

import json
import os
import signal

import pytest
import typer

from experiments.checks import interrupts


@pytest.fixture
def slow(monkeypatch):
    """A command that writes a file, and then works until it is interrupted."""

    def app(arguments, **_):
        place = arguments[-1]
        os.makedirs(place, exist_ok=True)  # noqa: PTH103
        with open(f"{place}/done", "wb") as file:  # noqa: PTH123
            file.write(b"whole")
        print("working")
        if "forever" in place:
            signal.pause()
        raise SystemExit(3 if "badly" in place else 0)

    monkeypatch.setattr(interrupts, "app", app)


def test_undisturbed(slow, tmp_path):
    assert interrupts.disturbed(tmp_path / "out", None) == (0, "working\n")
    assert interrupts.contents(tmp_path / "out") == {"done": b"whole"}
    assert interrupts.disturbed(tmp_path / "badly", None)[0] == 3


def test_disturbed(slow, tmp_path):
    code, said = interrupts.disturbed(tmp_path / "forever", 0.5)
    assert code == 130
    assert "Traceback" in said  # of a command that does not catch it
    assert interrupts.contents(tmp_path / "forever") == {"done": b"whole"}


@pytest.mark.long
def test_a_few_moments(tmp_path):
    """No file is broken, also where Python drops the interrupt in a weak reference’s callback, as the table tells."""
    with pytest.raises(typer.Exit):
        interrupts.main(10, 0, tmp_path)
    rows = json.loads((tmp_path / "interrupts.json").read_text())["rows"]
    assert [row["broken"] for row in rows] == [[]] * 10
