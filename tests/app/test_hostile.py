"""Paths in the place of uploads, and addresses in the place of files: none is opened, whichever event or address it is
sent to. What is opened is seen by an audit hook of Python's, which sees every `open` of this process.
"""

import io
import os
import sys
import urllib.parse
from pathlib import Path
from types import SimpleNamespace

import pytest
from app.web import asked, config, events, file_data, get, upload
from PIL import Image

from mmcam.datasets.photographs import shipped

gradio_utils = pytest.importorskip("gradio.utils", reason="needs Gradio, of the extra app")
WATCHED = {"path": None, "opened": []}


def note(event, args):
    if event == "open" and WATCHED["path"] and isinstance(args[0], str | bytes | os.PathLike):
        found = os.path.realpath(os.fsdecode(args[0]))
        if found == WATCHED["path"]:
            WATCHED["opened"].append(args[0])


@pytest.fixture(scope="module")
def _audit():
    sys.addaudithook(note)  # stays as long as the process, and sees nothing when nothing is watched


@pytest.fixture
def secret(tmp_path, _audit):
    """A picture outside of the upload folder, a link to it inside, and a note of who opens it."""
    path, folder = tmp_path / "secret.png", Path(gradio_utils.get_upload_folder())
    Image.new("RGB", (32, 32), (1, 2, 3)).save(path)
    folder.mkdir(parents=True, exist_ok=True)
    link, shelf = folder / f"link-{os.getpid()}.png", folder / f"shelf-{os.getpid()}"
    link.symlink_to(path)
    shelf.symlink_to(tmp_path)
    up = os.path.relpath(path, folder)
    WATCHED.update(path=str(path), opened=[])
    yield SimpleNamespace(
        path=path,
        ways=[path, link, shelf / "secret.png", folder / up, f"{folder}/./{up}", os.path.relpath(path)],
        opened=WATCHED["opened"],
    )
    WATCHED.update(path=None, opened=[])
    link.unlink()
    shelf.unlink()


def test_an_opened_file_is_seen(secret):
    secret.path.read_bytes()
    (Path(gradio_utils.get_upload_folder()) / f"link-{os.getpid()}.png").read_bytes()
    assert len(secret.opened) == 2


def test_only_what_lies_in_the_upload_folder_was_uploaded(secret, tmp_path):
    from mmcam.app.upload import uploaded_file

    own = Path(gradio_utils.get_upload_folder()) / f"own-{os.getpid()}.png"
    own.write_bytes(b"x")
    try:
        assert uploaded_file(SimpleNamespace(path=str(own))) == str(own)
        folder = Path(gradio_utils.get_upload_folder())
        for way in [*secret.ways, folder, f"{folder}-beside/a.png", "", "\0"]:
            assert uploaded_file(SimpleNamespace(path=str(way))) is None, way
        assert uploaded_file(None) is None
        assert uploaded_file(SimpleNamespace(path=None)) is None
    finally:
        own.unlink()
    assert secret.opened == []


def fields(event, path):
    """The data of an event with a path in the field for pictures, the others left empty."""
    return [file_data(path) if place == event["upload"] else None for place in range(len(event["inputs"]))]


@pytest.fixture
def explain(served):
    """The event that explains the uploaded picture."""
    field = next(one["id"] for one in config(served)["components"] if one["props"].get("elem_id") == "upload")
    (event, *_) = (one for one in events(served, "ask") if field in one["inputs"])
    return {**event, "upload": event["inputs"].index(field), "field": field}


def choose_upload(served, explain, path, session):
    """Say that the picture is one's own, as the page does when a file was brought."""
    brought = next(one for one in config(served)["dependencies"] if one["inputs"] == [explain["field"]])
    return asked(served, brought, [file_data(path)], session)


def test_a_path_in_the_place_of_an_upload_is_not_opened(served, explain, secret):
    picture = shipped().path.read_bytes()
    status, path = upload(served, picture)
    assert status == 200
    assert choose_upload(served, explain, path, "hostile")["success"]
    told = asked(served, explain, fields(explain, path), "hostile")
    assert told["success"]
    (own,) = told["output"]["data"]
    assert own["told"].startswith("Your picture")  # so an upload is explained by this very event
    for way in [*secret.ways, "/etc/passwd", "/proc/self/environ"]:
        told = asked(served, explain, fields(explain, way), "hostile")
        assert not told.get("success") or set(told["output"]["data"][0]) == {"error"}, way
        assert "root:" not in str(told)
    assert secret.opened == []


def test_no_event_opens_a_path_in_any_of_its_fields(served, explain, secret):
    all_of_them = [one for one in config(served)["dependencies"] if one["inputs"]]
    kinds = {(one["api_name"].rstrip("_0123456789"), len(one["inputs"])): one for one in all_of_them}
    assert len(kinds) >= 4
    for event in kinds.values():
        for way in secret.ways[:4]:
            asked(served, event, [file_data(way)] * len(event["inputs"]), "hostile")
    assert secret.opened == []


def test_no_address_hands_out_a_path(served, secret):
    for way in secret.ways:
        for form in (str(way), urllib.parse.quote(str(way)), urllib.parse.quote(str(way), safe="")):
            for address in (f"/gradio_api/file={form}", f"/gradio_api/file/{form}", f"/file={form}", f"/static/{form}"):
                assert get(served, address)[0] in (403, 404), address
    assert secret.opened == []


@pytest.mark.parametrize(
    "address",
    [
        "/gradio_api/file=http://198.51.100.1/a.png",
        "/gradio_api/file=https:%2F%2F198.51.100.1/a.png",
        "/gradio_api/proxy=http://198.51.100.1/a.png",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/process_recording",
        "/gradio_api/run/ask",
        "/gradio_api/call/ask",
        "/gradio_api/api/ask",
        "/gradio_api/vibe-code",
        "/gradio_api/runs",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/docs",
        "/login",
    ],
)
def test_addresses_that_the_page_does_not_need_are_not_there(served, address):
    for data in (None, b"{}"):
        status, text, headers = get(served, address, data)
        assert (status, text) == (404, b"There is nothing at this address.")
        assert headers["content-security-policy"]


def test_uploads_leave_the_disk(monkeypatch):
    from mmcam.app import limits
    from mmcam.app.launch import serve

    monkeypatch.setattr(limits, "UPLOAD_SECONDS", 6)  # looked after every second
    page = serve(wait=False)
    try:
        file = io.BytesIO()
        Image.new("RGB", (9, 9), (os.getpid() % 256, 7, 7)).save(file, "PNG")
        _, path = upload(page, file.getvalue())
        assert Path(path).exists()
        assert page.delete_cache == (1, 6)
    finally:
        page.close(verbose=False)
    assert not Path(path).exists()
