"""The server: every answer once, none lost, and nothing given away."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from made_study import Served, made

pytest.importorskip("fastapi", reason="needs the extra study")
httpx = pytest.importorskip("httpx", reason="needs httpx")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "s"
    made(folder, items=6)
    with Served(folder) as server, httpx.Client(base_url=server.url) as client:
        yield folder, client


def begun(client, rater, source="link"):
    return client.post("/api/session", json={"source": source, "rater": rater}).json()


def answer(trial, number, choice=0):
    return {"id": f"{number}", "trial": trial["trial"], "choice": choice, "ms": 900.5}


def stored(folder):
    with sqlite3.connect(folder / "answers.sqlite") as db:
        return db.execute("SELECT id, session, trial, choice FROM answers").fetchall()


def test_an_answer_sent_again_is_there_once(study):
    folder, client = study
    session = begun(client, "again")
    sent = {"session": session["session"], "answers": [answer(session["trials"][0], "again-0", 1)]}
    for _ in range(3):
        assert client.post("/api/answers", json=sent).json() == {"kept": ["again-0"]}
    assert [row[3] for row in stored(folder) if row[1] == session["session"]] == [1]


def test_of_two_tabs_the_first_answer_counts_and_both_are_told(study):
    folder, client = study
    session = begun(client, "tabs")
    for number, choice in (("tab1", 1), ("tab2", 0)):
        sent = {"session": session["session"], "answers": [answer(session["trials"][0], number, choice)]}
        assert client.post("/api/answers", json=sent).json() == {"kept": [number]}
    assert [row[0::3] for row in stored(folder) if row[1] == session["session"]] == [("tab1", 1)]


def test_a_rater_who_comes_back_goes_on_where_he_was(study):
    _, client = study
    first = begun(client, "back")
    client.post("/api/answers", json={"session": first["session"], "answers": [answer(first["trials"][0], "back-0")]})
    again = begun(client, "back")
    assert again == {**first, "answered": [first["trials"][0]["trial"]]}


def test_at_once_one_rater_has_one_session(study):
    _, client = study
    with ThreadPoolExecutor(8) as pool:
        assert len({one["session"] for one in pool.map(lambda _: begun(client, "hasty"), range(16))}) == 1


def test_the_end_and_its_code(study):
    _, client = study
    session = begun(client, "done")
    early = client.post("/api/finish", json={"session": session["session"]})
    assert early.status_code == 409
    answers = [answer(trial, f"done-{i}") for i, trial in enumerate(session["trials"])]
    client.post("/api/answers", json={"session": session["session"], "answers": answers})
    code = client.post("/api/finish", json={"session": session["session"]}).json()["code"]
    assert len(code) == 8
    assert begun(client, "done")["code"] == code
    prolific = begun(client, "p", "prolific")
    answers = [answer(trial, f"p-{i}") for i, trial in enumerate(prolific["trials"])]
    client.post("/api/answers", json={"session": prolific["session"], "answers": answers})
    assert client.post("/api/finish", json={"session": prolific["session"]}).json() == {"code": "C0FFEE00"}


def test_new_raters_fill_the_rows_evenly(tmp_path):
    made(tmp_path / "s", items=6)
    with Served(tmp_path / "s") as server, httpx.Client(base_url=server.url) as client:
        for number in range(12):
            begun(client, f"even {number}")
        with sqlite3.connect(tmp_path / "s" / "answers.sqlite") as db:
            counts = db.execute("SELECT COUNT(*) FROM sessions GROUP BY plan").fetchall()
    assert counts == [(3,)] * 4


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("session", {"source": "link", "rater": ""}, 422),
        ("session", {"source": "static", "rater": "x"}, 422),
        ("session", {"source": "link", "rater": "x" * 201}, 422),
        ("answers", {"session": "nobody's", "answers": []}, 404),
        ("finish", {"session": "nobody's"}, 404),
        ("answers", {"session": "OWN", "answers": [{"id": "x", "trial": "none", "choice": 0, "ms": 1}]}, 422),
        ("answers", {"session": "OWN", "answers": [{"id": "x", "trial": "OWN", "choice": 2, "ms": 1}]}, 422),
        ("answers", {"session": "OWN", "answers": [{"id": "x", "trial": "OWN", "choice": -1, "ms": 1}]}, 422),
        ("answers", {"session": "OWN", "answers": [{"id": "x", "trial": "OWN", "choice": 0, "ms": -1}]}, 422),
        ("answers", {"session": "OWN", "answers": [{"id": "x", "trial": "OWN", "choice": 0, "ms": 1}], "more": 1}, 422),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_kept(study, path, body, status):
    folder, client = study
    session = begun(client, "odd")
    text = json.dumps(body).replace('"session": "OWN"', f'"session": "{session["session"]}"')
    text = text.replace('"trial": "OWN"', f'"trial": "{session["trials"][0]["trial"]}"')
    assert client.post(f"/api/{path}", content=text, headers={"Content-Type": "application/json"}).status_code == status
    assert not [row for row in stored(folder) if row[1] == session["session"]]


def test_long_requests_and_other_files_are_refused(study):
    _, client = study
    long = {"source": "link", "rater": "x", "details": {"a": "b" * 70_000}}
    assert client.post("/api/session", json=long).status_code == 413
    for path in (
        "/key.json",
        "/stimuli/../key.json",
        "/stimuli/%2e%2e/key.json",
        "/answers.sqlite",
        "/page/__init__.py/x",
    ):
        assert client.get(path).status_code == 404, path
    for path in ("/docs", "/openapi.json"):
        assert client.get(path).status_code == 404


def test_what_is_handed_out_says_nothing_of_methods(study):
    folder, client = study
    key = json.loads((folder / "key.json").read_text())["trials"]
    methods = {trial["method"] for trial in key} - {""}
    texts = [client.get("/").text, json.dumps(begun(client, "curious"))]
    assert not any(method in text for method in methods for text in texts)
    assert "truth" not in texts[1]
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy


def test_markup_in_names_is_escaped_on_the_page(tmp_path):
    bad = "</script><img src=x onerror=alert(1)>"
    made(tmp_path / "s", title=bad, consent=(bad,), instructions=(bad,))
    with Served(tmp_path / "s") as server:
        html = httpx.get(server.url).text
    assert "<img" not in html
    assert html.count("</script>") == html.count("<script")


def test_an_acknowledged_answer_survives_a_kill(tmp_path):
    made(tmp_path / "s", items=6)
    server = Served(tmp_path / "s").start()
    with httpx.Client(base_url=server.url) as client:
        session = begun(client, "killed")
        for number, trial in enumerate(session["trials"][:5]):
            client.post("/api/answers", json={"session": session["session"], "answers": [answer(trial, number)]})
    server.kill()
    assert len(stored(tmp_path / "s")) == 5
    with Served(tmp_path / "s", server.port), httpx.Client(base_url=server.url) as client:
        assert len(begun(client, "killed")["answered"]) == 5
