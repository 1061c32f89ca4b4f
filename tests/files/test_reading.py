import os
import socket
import stat
from functools import partial

import pytest
from refusals import user_error

from seediff.dataset.check import check_dataset
from seediff.dataset.dataset import Dataset
from seediff.files.image_files import read_photo
from seediff.files.reading import (
    read_bytes,
    read_csv,
    read_json,
    read_json_lines,
    read_text,
    read_toml,
    read_yaml,
)


def refusal(path):
    with user_error("") as caught:
        read_bytes(path)
    return str(caught.value)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "/dev/zero"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as one:
        if kind.startswith("/") and not (os.path.exists(kind) and stat.S_ISCHR(os.stat(kind).st_mode)):
            pytest.skip(f"no {kind} here")
        {"pipe": os.mkfifo, "folder": os.mkdir, "socket": one.bind}.get(kind, lambda name: os.symlink(kind, name))("a")
        assert refusal("a").endswith("not a regular file")


def test_size_is_known_before_anything_is_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # holds no block
    assert refusal(path) == f"{path}: has 1.1 TB; a file of this kind may have 2.1 GB at most"


@pytest.mark.parametrize(
    ("path", "said"),
    [("a\0b", "a\\x00b: cannot be read"), ("a\ud800", "a\\ud800: cannot be read"), ("none", "no such")],
)
def test_what_is_no_path(path, said):
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("data", "line", "byte"),
    [("1\n2\nété".encode("cp1252"), 3, "0xe9"), ("1\n2".encode("utf-16"), 1, "0xff"), (b"1\n2\0", 2, "0x00")],
)
def test_text_that_is_not_utf8_names_its_line(tmp_path, data, line, byte):
    (tmp_path / "list").write_bytes(data)
    with user_error(rf"list, line {line}: is not UTF-8 text \(byte {byte}\); save it as UTF-8"):
        read_text(tmp_path / "list")


READERS = {
    '{"a": "é"}': lambda path: read_json(path, dict[str, str]),
    '{"é": "a"}\n': lambda path: list(read_json_lines(path, dict[str, str])),
    "a = 'é'": read_toml,
    "a: é": read_yaml,
    "é\n1\n": lambda path: read_csv(path, ["é"]),
}


@pytest.mark.parametrize("text", READERS)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le"])
def test_every_reader_refuses_other_encodings(tmp_path, text, encoding):
    (tmp_path / "a").write_text(text, "utf-8")
    READERS[text](tmp_path / "a")
    (tmp_path / "a").write_text(text, encoding)
    with user_error(r"a(, line 1)?: is not (UTF-8 text|JSON)"):
        READERS[text](tmp_path / "a")


def test_archives_are_to_be_unpacked(tmp_path):
    (tmp_path / "pets").mkdir()
    for name in ("pets.zip", "pets.tar.gz"):
        path = tmp_path / "pets" / name
        path.write_bytes(b"PK")
        readers = [read_text, read_photo, Dataset.open, check_dataset, partial(Dataset.open, labels_alone=True)]
        for read in [*readers, lambda path: Dataset.open(tmp_path, "coco", images=path)]:
            with user_error("is an archive; unpack it, and name what was in it"):
                read(path)
        with user_error(f"{name}, to be unpacked first"):
            Dataset.open(tmp_path / "pets")
