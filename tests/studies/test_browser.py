"""Both studies of the paper in a real Chromium, from consent to analysis, without a mouse."""

import os
from contextlib import contextmanager

import pytest
from made_study import Served, made

pytest.importorskip("fastapi", reason="needs the extra study")


@contextmanager
def visit(chromium, url, **options):
    """A page, and what it asked for and complained of; nothing may be asked of another machine."""
    context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
    context.asked, context.errors = [], []
    context.on("request", lambda request: context.asked.append(request.url))
    context.on("weberror", lambda error: context.errors.append(str(error.error)))
    page = context.new_page()
    page.goto(url)
    yield page
    home = url.split("?")[0].rstrip("/")
    assert [one for one in context.asked if not one.startswith((home, "data:", "blob:"))] == []
    assert context.errors == []
    context.close()


def press(page, key):
    """A key, and wait until the screen it was pressed on is gone."""
    before = page.inner_text("main")
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('main').innerText !== before", arg=before)


def begin(page):
    """Consent and instructions, by keys, to the practice item."""
    page.wait_for_selector("h1:has-text('Before you begin')")
    page.keyboard.press("1")
    page.wait_for_selector("h1:has-text('What you will do')")
    press(page, "ArrowRight")
    press(page, "ArrowLeft")
    press(page, "Enter")
    press(page, "ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note:has-text('For practice')")


def practise(page):
    page.keyboard.press("1")
    page.wait_for_selector("h1:has-text('Practice done')")
    page.keyboard.press("1")
    page.wait_for_selector("#step:has-text('1 of')")
    page.wait_for_selector(".pictures")


def answer(page, choose, limit=100):
    """Answer `limit` trials, or all; an attention check as it asks."""
    for _ in range(limit):
        page.wait_for_selector("#code, button.choice, a[download]")
        if page.query_selector("#code") or page.query_selector("a[download]"):
            return
        step = page.inner_text("#step")
        choices = [one.inner_text().split("\n")[-1] for one in page.query_selector_all("button.choice")]
        notice = page.query_selector(".notice")
        key = next(i for i, one in enumerate(choices) if f"“{one}”" in notice.inner_text()) if notice else choose(page)
        page.keyboard.press(str(key + 1))
        page.wait_for_function(
            "old => document.querySelector('#code, [download]') || document.getElementById('step').textContent !== old",
            arg=step,
        )


@pytest.mark.parametrize("kind", ["discrimination", "trust"])
def test_from_consent_to_analysis_by_keys_with_a_reload_and_a_restart_in_the_middle(tmp_path, chromium, kind):
    from mmcam.studies.outcome import outcome

    folder = tmp_path / "s"
    made(folder, kind=kind, items=6, rules={"median_ms": 0})
    server = Served(folder).start()
    numbers = iter(range(1000))
    with visit(chromium, f"{server.url}/?PROLIFIC_PID=5f00&STUDY_ID=s1&SESSION_ID=e1") as page:
        begin(page)
        practise(page)
        answer(page, lambda _: next(numbers) % 2, limit=2)
        page.reload()
        page.wait_for_selector("#step:has-text('3 of 9')")
        assert page.query_selector("h1:has-text('Before you begin')") is None
        answer(page, lambda _: next(numbers) % 2, limit=1)
        server.kill()
        answer(page, lambda _: next(numbers) % 2, limit=2)  # goes on while nobody listens
        page.wait_for_selector("#state:has-text('connection is interrupted')")
        server.start()
        answer(page, lambda _: next(numbers) % 2)
        page.wait_for_selector("#code")
        assert page.inner_text("#code") == "C0FFEE00"
        assert page.get_attribute("a.go", "href") == "https://app.prolific.com/submissions/complete?cc=C0FFEE00"
        assert not page.evaluate("Object.keys(localStorage).filter((key) => key.includes(':answer:'))")
    server.kill()
    _, (table,), (analysis,) = outcome(folder)
    assert (analysis.raters, analysis.answers, analysis.excluded) == (1, 6, ())
    assert (table.raters[0].source, table.raters[0].rater) == ("prolific", "5f00")
    assert table.raters[0].details == {"STUDY_ID": "s1", "SESSION_ID": "e1"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "s"
    made(folder, kind="trust", names=("<b onclick=alert(1)>dog</b>", "car"), items=4)
    with Served(folder) as server:
        yield server


def test_of_two_tabs_the_later_one_goes_on(served, chromium):
    with visit(chromium, f"{served.url}/?PROLIFIC_PID=tabs") as first:
        begin(first)
        practise(first)
        second = first.context.new_page()
        second.goto(first.url)
        second.wait_for_selector("#step:has-text('1 of')")
        first.wait_for_selector("dialog[open]")
        first.keyboard.press("2")  # an answer in the tab that stopped
        answer(second, lambda _: 0, limit=1)
        assert first.inner_text("#step") == "1 of 7"
        first.bring_to_front()
        first.keyboard.press("Enter")
        first.wait_for_selector("#step:has-text('2 of')")
        second.wait_for_selector("dialog[open]")


def test_who_does_not_agree_leaves_nothing(served, chromium):
    with visit(chromium, f"{served.url}/?PROLIFIC_PID=no") as page:
        page.wait_for_selector("button.choice")
        page.keyboard.press("2")
        page.wait_for_selector("h1:has-text('Thank you')")
        assert not [url for url in page.context.asked if "/api/" in url]


def test_mechanical_turk_previews_and_takes_the_form(served, chromium):
    with visit(chromium, f"{served.url}/?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE&hitId=h") as page:
        page.wait_for_selector("h1:has-text('Preview')")
    query = "?assignmentId=a1&hitId=h1&workerId=%3Cimg%20src%3Dx%3E&turkSubmitTo="
    for target, action in (
        ("https://workersandbox.mturk.com", "https://workersandbox.mturk.com/mturk/externalSubmit"),
        ("javascript:alert(1)", None),
    ):
        with visit(chromium, f"{served.url}/{query}{target}") as page:
            page.wait_for_selector("h1")
            if page.inner_text("h1") == "Before you begin":
                page.keyboard.press("1")
            page.wait_for_selector("#jspsych-instructions-next, #code")
            if not page.query_selector("#code"):
                for _ in range(2):
                    press(page, "Enter")
                page.keyboard.press("Enter")
                page.wait_for_selector(".note")
                practise(page)
                answer(page, lambda _: 0)
            page.wait_for_selector("#code")
            form = page.query_selector("form")
            assert (form and form.get_attribute("action")) == action
            assert "<b onclick" not in page.content()
            if form:
                assert page.get_attribute("input[name=assignmentId]", "value") == "a1"


def test_markup_in_class_names_is_text(served, chromium):
    with visit(chromium, f"{served.url}/?PROLIFIC_PID=markup") as page:
        begin(page)
        assert page.inner_text("h1").startswith("Both programs say: “<b onclick=alert(1)>dog</b>”")
        assert page.query_selector("main b") is None


@pytest.mark.parametrize(
    "kind",
    ["discrimination", "trust", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("agreement", "distinction"))],
)
def test_every_screen_is_accessible_and_fits_a_desk_and_a_phone(tmp_path, chromium, kind):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe").Axe()
    made(tmp_path / "s", kind=kind, items=3)
    checked = []

    def check(page):
        for width in (390, 1200):
            page.set_viewport_size({"width": width, "height": 760})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = [one for one in axe.run(page).response["violations"] if one["impact"] in ("serious", "critical")]
            assert [(one["id"], [node["html"][:80] for node in one["nodes"]]) for one in found] == []
        checked.append(page.inner_text("h1"))

    with Served(tmp_path / "s") as server, visit(chromium, server.url) as page:
        page.wait_for_selector("button.choice")
        check(page)
        page.keyboard.press("1")
        page.wait_for_selector("#jspsych-instructions-next")
        check(page)
        for _ in range(2):
            press(page, "ArrowRight")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector(".note")
        check(page)
        page.keyboard.press("1")
        page.wait_for_selector("h1:has-text('Practice done')")
        check(page)
        page.keyboard.press("1")
        page.wait_for_selector("#step:has-text('1 of')")
        answer(page, lambda _: 0)
        page.wait_for_selector("#code")
        check(page)
    assert len(checked) == 5


def test_without_a_server_of_its_own_a_study_saves_a_file(tmp_path, chromium):
    """Hosted by Python's server of files, and taken in twice."""
    import functools
    import http.server
    import threading

    from mmcam.studies.answers import collect
    from mmcam.studies.design import read_design, read_key
    from mmcam.studies.export import static
    from mmcam.studies.outcome import outcome
    from mmcam.studies.store import Store

    folder = tmp_path / "s"
    made(folder, items=6, rules={"median_ms": 0})
    out = static(folder, tmp_path / "static")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=out)
    handler.log_message = lambda *_: None
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=files.serve_forever, daemon=True).start()
    with visit(chromium, f"http://127.0.0.1:{files.server_port}/", accept_downloads=True) as page:
        begin(page)
        practise(page)
        numbers = iter(range(1000))
        answer(page, lambda _: next(numbers) % 2, limit=3)
        page.reload()
        page.wait_for_selector("#step:has-text('4 of 9')")
        answer(page, lambda _: next(numbers) % 2)
        with page.expect_download() as download:
            page.focus("a[download]")
            page.keyboard.press("Enter")
        saved = tmp_path / "answers.json"
        download.value.save_as(saved)
    files.shutdown()
    design, key = read_design(folder), read_key(folder)
    for _ in range(2):
        collect(design, key, Store(folder, design), [saved])
    _, _, (analysis,) = outcome(folder)
    assert (analysis.raters, analysis.answers) == (1, 6)


def test_the_static_folder_holds_no_key(tmp_path):
    from mmcam.studies.export import static

    folder = tmp_path / "s"
    design = made(folder, names=("dog", "car"))
    out = static(folder, tmp_path / "static")
    names = {os.path.relpath(path, out) for path in out.rglob("*") if path.is_file()}
    assert not {"key.json", "design.json"} & names
    html = (out / "index.html").read_text()
    assert not any(word in html for word in (*design.methods, "truth"))


def test_what_the_server_refuses_is_told_and_the_answers_stay(tmp_path, chromium):
    """As when somebody put another study in the place of this one."""
    folder = tmp_path / "s"
    made(folder, items=4)
    server = Served(folder).start()
    with visit(chromium, f"{server.url}/?PROLIFIC_PID=late") as page:
        begin(page)
        practise(page)
        server.kill()
        for path in folder.glob("answers.sqlite*"):
            path.unlink()
        server.start()
        page.keyboard.press("1")
        page.wait_for_selector("h1:has-text('Something went wrong')")
        assert "no such session" in page.inner_text(".error")
        assert len(page.evaluate("Object.keys(localStorage).filter((key) => key.includes(':answer:'))")) == 1
    server.kill()
