import os
import socket
import stat

import pytest
from refusals import user_error

from seediff.files.reading import read_bytes, read_lines, read_text


def refusal(path, limit=1000):
    with user_error("") as caught:
        read_bytes(path, limit)
    return str(caught.value)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as one:
        if kind.startswith("/") and not (os.path.exists(kind) and stat.S_ISCHR(os.stat(kind).st_mode)):
            pytest.skip(f"no {kind} here")
        {"pipe": os.mkfifo, "folder": os.mkdir, "socket": one.bind}.get(kind, lambda name: os.symlink(kind, name))("a")
        kind = "device" if kind.startswith("/") else kind
        assert refusal("a").endswith(f"{kind}, not a regular file")


def test_size_is_known_before_anything_is_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # holds no block
    assert refusal(path, 1 << 20) == f"{path}: has 1.1 TB; a file of this kind may have 1.0 MB at most"


@pytest.mark.parametrize(
    ("path", "said"),
    [("a\0b", "a\0b: cannot be read"), ("a\ud800", "a\ud800: cannot be read"), ("none", "no such")],
)
def test_what_is_no_path(path, said):
    assert said in refusal(path)


def test_lines_without_byte_order_mark_and_with_any_ends(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeffbackground\r\ndog\n\ncat".encode())
    assert read_lines(tmp_path / "classes.txt") == ["background", "dog", "", "cat"]
    (tmp_path / "classes.txt").write_bytes(b"")
    assert read_lines(tmp_path / "classes.txt") == []


def test_text_that_is_not_utf8_names_its_line(tmp_path):
    (tmp_path / "list").write_bytes(b"one\ntwo\n\xe9t\xe9")
    with user_error(r"list, line 3: is not UTF-8 text \(byte 0xe9\)"):
        read_text(tmp_path / "list")
