"""What is counted is there: a hook, a thread and an open file that are left are seen."""

import threading

import pytest
import typer

from experiments.checks import flat


def test_what_is_left_is_counted(tmp_path):
    net = flat.network()
    before = flat.counts(net)
    handle = net[0].register_forward_hook(lambda *_: None)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with (tmp_path / "file").open("w"):
        after = flat.counts(net)
    done.set()
    thread.join()
    handle.remove()
    assert {what: after[what] - before[what] for what in ("hooks", "threads", "open files")} == {
        "hooks": 1,
        "threads": 1,
        "open files": 1,
    }


@pytest.mark.long
def test_some_hundred_are_flat(tmp_path, monkeypatch):
    """Memory is for thousands to tell; all else must be as it was after a hundred."""
    monkeypatch.setattr(flat, "ALLOWED", float("inf"))
    with pytest.raises(typer.Exit) as end:
        flat.main(100, tmp_path)
    assert end.value.exit_code == 0
