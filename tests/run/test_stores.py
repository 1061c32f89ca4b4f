import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from interrupted import contents
from tiny_job import TinyConfig, Trouble, tiny

from seediff.dataset import native
from seediff.errors import UserError
from seediff.files.output_folders import Url, parse_out
from seediff.run.output import Storage, open_place


class Stopped(BaseException):
    pass


@pytest.fixture
def url(request):
    """An address in fsspec's memory of its own, empty again afterwards."""
    address = Url(f"memory://bucket/{request.node.name.replace('[', '-').rstrip(']')}")
    yield address
    system = fsspec.filesystem("memory")
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)


def objects(url):
    storage = Storage(url)
    return {name: storage.read(name) for name in sorted(storage.list())}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The files of a run into a folder."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    tiny(out)
    return contents(out)


def test_addresses(tmp_path):
    assert parse_out("pets") == Path("pets")
    assert parse_out("C:\\pets") == Path("C:\\pets")
    assert parse_out(f"file://{tmp_path}/pets/") == tmp_path / "pets"
    assert parse_out(tmp_path) == tmp_path
    assert parse_out("s3://bucket/pets/") == Url("s3://bucket/pets")
    assert str(Url("s3://bucket/pets") / "preview.html") == "s3://bucket/pets/preview.html"
    for wrong, message in (("file://pets", "must be file:///a/full/path"), ("s3://", "is not a place to write to")):
        with pytest.raises(UserError, match=message):
            parse_out(wrong)


def test_interrupted_at_every_write(url, unbroken, monkeypatch):
    """Stop before any write or removal of objects, and continue: always the same objects."""
    left = [0.0]

    def stopping(method):
        def call(self, *arguments):
            if left[0] <= 0:
                raise Stopped
            left[0] -= 1
            return method(self, *arguments)

        return call

    for name in ("write", "upload", "delete"):
        monkeypatch.setattr(Storage, name, stopping(getattr(Storage, name)))
    left[0] = 1000
    tiny(url / "counted")
    writes = int(1000 - left[0])
    assert writes > 20
    for n in range(0, writes - 1, 2):  # the last takes the lease away, which may fail
        left[0] = n
        with pytest.raises(Stopped):
            tiny(url / f"{n}")
        left[0] = 1000
        tiny(url / f"{n}")
        assert objects(url / f"{n}") == unbroken, n


def test_what_is_done_is_known_by_a_listing(url, unbroken, tmp_path):
    with pytest.raises(OSError, match="No space"):
        tiny(url, Trouble(tmp_path, fill_disk=13, seconds=0))
    done = objects(url)
    assert [name for name in done if name.endswith(".json")] == [f".batches/{n:06d}.json" for n in range(6)]
    Storage(url).delete(["images/000004.txt"])  # of the third batch
    Storage(url).write("images/000006.txt", b"of another size")
    with open_place(url) as place:
        place.look_into(TinyConfig())
        assert [n for n in range(10) if place.record(n)] == [0, 1, 4, 5]
    assert tiny(url) == 12
    assert objects(url) == unbroken


def test_what_another_run_took_away_is_done_again(url, unbroken):
    """No lock keeps a second run away, which may take the first one's files for a failed run's."""

    def take(done, total, what):
        if done == 8 and "images/000003.txt" in Storage(url).list():
            Storage(url).delete(["images/000003.txt"])

    assert tiny(url, progress=take) == 20
    assert objects(url) == unbroken


def test_another_configuration_is_refused(url, tmp_path):
    with pytest.raises(OSError, match="No space"):
        tiny(url, Trouble(tmp_path, fill_disk=13, seconds=0))
    other = replace(TinyConfig(), seed=1)
    with pytest.raises(UserError, match=rf"{url}: holds the output of another configuration \(seed: 0 → 1\)"):
        tiny(url, config=other)

    def begin_another(done, total, what):
        if done == 14:
            Storage(url).write(native.CONFIG, other.to_toml().encode())

    with pytest.raises(UserError, match="another run has started a different output in the same place"):
        tiny(url, progress=begin_another)


@pytest.fixture(scope="module")
def s3():
    """A real server of the S3 protocol on this machine's own address; its address, with a bucket."""
    for package in ("moto", "flask", "flask_cors", "s3fs"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'moto[s3]' flask flask-cors s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
    keys["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    before = {name: os.environ.get(name) for name in keys}
    os.environ.update(keys)
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2400):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("bucket")
        yield Url("s3://bucket")
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def test_a_real_s3_server(s3, unbroken, tmp_path):
    url = s3 / "tiny"
    with pytest.raises(OSError, match="No space"):
        tiny(url, Trouble(tmp_path, fill_disk=13, seconds=0))
    assert tiny(url) == 8
    assert objects(url) == unbroken
    assert tiny(url) == 0
    with pytest.raises(UserError, match=r"s3://no-such-bucket/x: storage request failed: .*(bucket|Bucket)"):
        tiny("s3://no-such-bucket/x")
