"""The server by itself: whom it listens to, what it reads, and that it goes nowhere."""

import json
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from app.web import config, get, upload

from mmcam.app.limits import FILE_BYTES

ROOT = Path(__file__).parents[2]


def test_it_listens_to_this_machine_alone(served):
    assert served.server_name == "127.0.0.1"
    assert urllib.parse.urlsplit(served.local_url).hostname in ("127.0.0.1", "localhost")
    assert served.share is False


def test_the_browser_is_told_to_open_nothing_else(served):
    status, page, headers = get(served, "/")
    assert status == 200
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self' data: blob:"
    assert policy["connect-src"] == "'self' data: blob:"
    assert b"fonts.googleapis" not in page


def test_no_file_of_the_server_is_handed_out(served, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"whispered")
    for path in ("/etc/passwd", str(ROOT / "pyproject.toml"), str(tmp_path / "secret.png"), "/proc/self/environ"):
        for address in (f"/gradio_api/file={path}", f"/file={path}", f"/gradio_api/file=..%2f..{path}"):
            status, text, _ = get(served, address)
            assert status in (403, 404), address
            assert b"root:" not in text
            assert b"whispered" not in text


def test_no_event_is_offered_to_programs(served):
    info = json.loads(get(served, "/gradio_api/info")[1])
    assert info["named_endpoints"] == {}
    assert info["unnamed_endpoints"] == {}
    assert {one["api_visibility"] for one in config(served)["dependencies"]} == {"private"}


def test_too_large_an_upload_is_refused(served):
    status, _ = upload(served, b"\0" * (FILE_BYTES + 2**20))
    assert status == 413


@pytest.mark.parametrize("name", ["0.png", "all.exe", "-1.png", "0.png.exe", "99999999.png", "all.", "%2e%2e.png"])
def test_files_that_there_are_not_are_refused_in_a_sentence(served, name):
    status, text, _ = get(served, f"/mmcam/take/nobody/nothing/{name}")
    assert status == 404
    assert text.decode().count(".") >= 1
    assert b"Traceback" not in text


def test_it_opens_no_connection(tmp_path):
    """Where every connection but to this machine is refused and noted, it is started, and told addresses in the place
    of files: there is none.
    """
    code = """
import socket
gone = []
def refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
        gone.append(address)
        raise OSError("blocked")
    return real(self, address)
real, socket.socket.connect = socket.socket.connect, refuse
looked, names = socket.getaddrinfo, []
def look(host, *rest, **more):
    if host not in ("127.0.0.1", "localhost", None, "0.0.0.0", "::1", b"127.0.0.1"):
        names.append(host)
        raise socket.gaierror("blocked")
    return looked(host, *rest, **more)
socket.getaddrinfo = look
import time, urllib.request
from app.web import asked, config, file_data, get
from mmcam.app.launch import serve
page = serve(wait=False)
assert b"gradio" in urllib.request.urlopen(page.local_url).read()
for path in ("file=http://198.51.100.1/a.png", "file=http://example.org/a.png", "proxy=http://example.org/a.png"):
    assert get(page, f"/gradio_api/{path}")[0] == 404
for event in config(page)["dependencies"]:
    for url in ("http://198.51.100.1/a.png", "https://example.org/a.png"):
        asked(page, event, [file_data(url)] * len(event["inputs"]), f"visitor-{event['id']}")
time.sleep(2)
print("REACHED FOR", gone, names)
page.close(verbose=False)
"""
    pytest.importorskip("gradio", reason="needs Gradio, of the extra app")
    own = {name: value for name, value in os.environ.items() if name != "GRADIO_ANALYTICS_ENABLED"}
    own["PYTHONPATH"] = os.pathsep.join([*filter(None, [own.get("PYTHONPATH")]), str(ROOT / "tests")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, timeout=300)
    assert "REACHED FOR [] []" in done.stdout, done.stderr[-2000:]


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch):
    import mmcam
    from mmcam.app import launch

    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(mmcam.ExplainError, match=r'needs Gradio; install it with pip install "mmcam\[app\]"'):
        launch.serve()
