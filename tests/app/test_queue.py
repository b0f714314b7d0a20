"""More questions at once than the queue holds: the rest is refused in a sentence, and every one let in is answered."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from app.web import answer, asked, events, join

from mmcam.app import desk, limits

MORE = 40
"""Questions beyond those that are worked on or wait."""


def wait_until(true, seconds=10):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def held(monkeypatch):
    """Questions are answered when the event is set; how many are worked on, at most."""
    go, lock, at = threading.Event(), threading.Lock(), {"now": 0, "most": 0}

    def slow(*what):
        with lock:
            at["now"] += 1
            at["most"] = max(at["most"], at["now"])
        assert go.wait(60)
        with lock:
            at["now"] -= 1
        return real(*what)

    real = desk.answer
    monkeypatch.setattr(desk, "answer", slow)
    yield go, at
    go.set()


def test_what_the_queue_does_not_hold_is_refused_and_nothing_is_lost(served, held):
    go, at = held
    event = next(one for one in events(served, "ask") if "select" not in str(one["targets"]))
    data = [None] * len(event["inputs"])
    visitors = [f"visitor-{number}" for number in range(limits.AT_ONCE + limits.WAITING + MORE)]
    with ThreadPoolExecutor(len(visitors)) as pool:
        got = dict(zip(visitors, pool.map(lambda one: join(served, event, data, one), visitors), strict=True))
        let_in = [one for one, (status, _) in got.items() if status == 200]
        refused = {text for status, text in got.values() if status == 503}
        assert {status for status, _ in got.values()} == {200, 503}
        # The first ones may be taken from the line while others still join it.
        assert limits.WAITING <= len(let_in) <= limits.WAITING + limits.AT_ONCE
        assert len(refused) == 1
        assert f"Queue is full. Max size is {limits.WAITING}" in refused.pop()
        wait_until(lambda: at["now"] == limits.AT_ONCE)
        go.set()
        answers = list(pool.map(lambda one: answer(served, one), let_in))
    assert all(told["success"] and "picture" in told["output"]["data"][0] for told in answers)
    assert at == {"now": 0, "most": limits.AT_ONCE}
    assert asked(served, event, data, "afterwards")["success"]


@pytest.mark.long
def test_who_is_refused_is_told_so_on_the_page(served, held, chromium):
    go, _ = held
    page = chromium.new_page()
    page.goto(served.local_url)
    page.wait_for_selector(".mm-viewer[data-key]", timeout=60_000)
    page.wait_for_timeout(3000)
    event = next(one for one in events(served, "ask") if "select" not in str(one["targets"]))
    data = [None] * len(event["inputs"])
    visitors = [f"crowd-{number}" for number in range(limits.AT_ONCE + limits.WAITING + MORE)]
    with ThreadPoolExecutor(len(visitors)) as pool:
        let_in = [
            one
            for one, (status, _) in zip(
                visitors, pool.map(lambda one: join(served, event, data, one), visitors), strict=True
            )
            if status == 200
        ]
        page.click('#samples button[data-sample="vignette-20000123"]')
        page.get_by_text("This application is currently busy. Please try again.").wait_for(timeout=30_000)
        go.set()
        assert all(told["success"] for told in pool.map(lambda one: answer(served, one), let_in))
    before = page.get_attribute(".mm-viewer", "data-key")
    page.click('#samples button[data-sample="vignette-20000123"]')
    page.wait_for_function("before => document.querySelector('.mm-viewer').dataset.key !== before", arg=before)
    page.context.close()
