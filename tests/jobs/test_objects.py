"""Pictures and results in object storage: fsspec's memory, and a local S3 server where one is installed."""

import socket
import subprocess
import sys
import time

import fsspec
import pytest

import mmcam
from mmcam.jobs import shards
from mmcam.jobs.run import run
from mmcam.jobs.sources import read_source
from mmcam.jobs.store import Store


def quiet(text):
    """Nobody is told."""


def upload(desk, base):
    files, _ = fsspec.core.url_to_fs(base)
    for path in sorted((desk / "photos").rglob("*.png")):
        files.pipe_file(f"{base}/photos/{path.relative_to(desk / 'photos')}", path.read_bytes())
    files.pipe_file(f"{base}/photos/list.txt", b"red/00.png\nblue/01.png\n")


def check(desk, plan, base):
    """A job from and to the storage, with a part lost and gone on with, beside one of the same files on the disk."""
    upload(desk, base)
    run(plan(), read_source("photos"), "here", tell=quiet)
    source = read_source(f"{base}/photos")
    assert [item.id for item in source.items] == [item.id for item in read_source("photos").items]
    out = f"{base}/out"
    run(plan(), source, out, tell=quiet)
    store = Store(out)
    assert store.names("results") == [shards.name(n) for n in range(3)]
    store.remove(f"results/{shards.name(1)}")
    assert run(plan(), source, out, tell=quiet).pictures == 8
    mine, theirs = (mmcam.jobs.open(place) for place in (out, "here"))
    assert mine.dataset.to_table().equals(theirs.dataset.to_table())
    assert list(mine.errors()["id"]) == ["red/broken.png"]
    assert mine["red/02.png"][0].image.size == (42, 30)
    assert len(list(mine)) == 20
    assert [item.id for item in read_source(f"{base}/photos/list.txt").items] == ["red/00.png", "blue/01.png"]
    with pytest.raises(mmcam.ExplainError, match="another job"):
        run(plan(shard=4), source, out, tell=quiet)


def test_in_memory(desk, plan):
    check(desk, plan, f"memory://{desk.name}")


def test_no_such_storage(desk):
    with pytest.raises(mmcam.ExplainError, match="nonsense://there cannot be reached"):
        read_source("nonsense://there")


@pytest.mark.long
def test_on_a_local_s3_server(desk, plan, monkeypatch):
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        for name, value in (("ENDPOINT_URL", f"http://127.0.0.1:{port}"), ("ACCESS_KEY_ID", "a"),
                            ("SECRET_ACCESS_KEY", "b"), ("DEFAULT_REGION", "us-east-1")):  # fmt: skip
            monkeypatch.setenv(f"AWS_{name}", value)
        for _ in range(300):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        fsspec.core.url_to_fs("s3://bucket")[0].mkdir("bucket")
        check(desk, plan, "s3://bucket/set")
    finally:
        server.kill()
        server.wait()
