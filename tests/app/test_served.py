"""The server by itself: whom it listens to, what it reads, and that it goes nowhere."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from mmcam.app.limits import FILE_BYTES

ROOT = Path(__file__).parents[2]


def get(served, path, data=None, kind="application/json"):
    request = urllib.request.Request(f"{served.local_url.rstrip('/')}{path}", data, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def config(served):
    return json.loads(get(served, "/config")[1])


def asked(served, name, data):
    """What the queue answers to an event, asked as a browser does: the last message."""
    event = next(one for one in config(served)["dependencies"] if one["api_name"] == name)
    body = {"fn_index": event["id"], "data": data, "session_hash": "tester", "trigger_id": event["targets"][0][0]}
    status, text, _ = get(served, "/gradio_api/queue/join?", json.dumps(body).encode())
    if status != 200:
        return {"status": status, "text": text.decode()}
    with urllib.request.urlopen(f"{served.local_url}gradio_api/queue/data?session_hash=tester", timeout=120) as stream:
        for line in stream:
            if line.startswith(b"data:") and b"process_completed" in line:
                return json.loads(line[5:])
    return None


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


@pytest.mark.parametrize("path", ["/etc/passwd", str(ROOT / "mmcam/datasets/photographs/dog-and-cat.png")])
def test_a_path_in_the_place_of_an_upload_is_refused(served, path):
    events = [one for one in config(served)["dependencies"] if one["api_name"].startswith("ask")]
    fields = len(events[0]["inputs"])
    data = [None, None, {"path": path, "meta": {"_type": "gradio.FileData"}}, *[None] * (fields - 3)]
    told = asked(served, events[0]["api_name"], data)
    assert told is not None
    text = json.dumps(told)
    assert "root:" not in text
    assert "data:image" not in text
    assert told.get("success") is False or "error" in text


def test_no_event_is_offered_to_programs(served):
    info = json.loads(get(served, "/gradio_api/info")[1])
    assert info["named_endpoints"] == {}
    assert info["unnamed_endpoints"] == {}
    assert {one["api_visibility"] for one in config(served)["dependencies"]} == {"private"}


def test_too_large_an_upload_is_refused(served):
    edge = "xxEDGExx"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body = head.encode() + b"\0" * (FILE_BYTES + 2**20) + f"\r\n--{edge}--\r\n".encode()
    status, _, _ = get(served, "/gradio_api/upload", body, f"multipart/form-data; boundary={edge}")
    assert status == 413


@pytest.mark.parametrize("name", ["0.png", "all.exe", "-1.png", "0.png.exe", "99999999.png", "all.", "%2e%2e.png"])
def test_files_that_there_are_not_are_refused_in_a_sentence(served, name):
    status, text, _ = get(served, f"/mmcam/take/nobody/nothing/{name}")
    assert status == 404
    assert text.decode().count(".") >= 1
    assert b"Traceback" not in text


def test_it_opens_no_connection(tmp_path):
    """Started where every connection but to this machine is refused and noted: there is none."""
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
from mmcam.app.launch import serve
page = serve(wait=False)
assert b"gradio" in urllib.request.urlopen(page.local_url).read()
time.sleep(2)
print("REACHED FOR", gone, names)
page.close(verbose=False)
"""
    pytest.importorskip("gradio", reason="needs Gradio, of the extra app")
    own = {name: value for name, value in os.environ.items() if name != "GRADIO_ANALYTICS_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own, timeout=300)
    assert "REACHED FOR [] []" in done.stdout, done.stderr[-2000:]


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch):
    import mmcam
    from mmcam.app import launch

    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(mmcam.ExplainError, match=r'needs Gradio; install it with pip install "mmcam\[app\]"'):
        launch.serve()
