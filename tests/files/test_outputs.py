import os
from pathlib import Path

import pytest
import torch
from refusals import user_error

from seediff.files.outputs import check_writable
from seediff.files.tensors import write_tensors


@pytest.mark.parametrize(
    ("path", "is_file", "named"),
    [
        ("file", False, "file: there is a file where"), ("file/below", False, "file/below: there is a file where"),
        ("long" * 100, False, "File name too long"), (".", True, "is a folder"), ("file/t.json", True, "t.json: "),
        ("pipe", True, "pipe: is a device or a pipe"),
        ("nowhere/new", False, "nowhere/new: cannot be written to"),
        ("/dev/null", True, "/dev/null: is a device or a pipe"),
    ],
)  # fmt: skip
def test_what_is_no_use_is_named(tmp_path, path, is_file, named):
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to("lost")
    with user_error(named):
        check_writable(tmp_path / path, is_file=is_file)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "nowhere", "pipe"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.zeros(3)})
    before, opened = path.read_bytes(), Path.open

    def on_full_disk(path, mode):
        path.touch()
        return opened(Path("/dev/full"), "wb")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", on_full_disk)
        with pytest.raises(OSError, match=r"No space left on device.*a\.safetensors"):
            write_tensors(path, {"a": torch.ones(3000)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    with pytest.raises(OSError, match=r"a\.safetensors/b"):
        write_tensors(tmp_path / "a.safetensors" / "b", {"a": torch.ones(3)})
