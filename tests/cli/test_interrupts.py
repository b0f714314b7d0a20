"""Ctrl-C where Python drops it."""

import signal
import sys
import time
import weakref

import pytest

from mmcam.cli.interrupts import keep_interrupts


class Thing:
    """What a weak reference may lead to."""


@pytest.fixture
def hooked(monkeypatch):
    """What is reported as unraisable, with the hook on top."""
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_interrupts()
    yield reported
    signal.signal(signal.SIGINT, handler)


def dropped(error):
    """Raise an error where it cannot be."""

    def callback(reference):
        raise error

    thing = Thing()
    kept = weakref.ref(thing, callback)
    del thing
    return kept


def test_an_interrupt_that_was_dropped_comes_again(hooked):
    dropped(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        time.sleep(5)
    assert not hooked


def test_other_errors_are_reported_as_ever(hooked):
    dropped(ValueError("odd"))
    assert [type(one.exc_value) for one in hooked] == [ValueError]
