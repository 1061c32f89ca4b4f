"""Writes files, for all modules: under a random name first, then renamed, so that nobody ever sees half a file."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError, first_line
from .reading import open_regular

if TYPE_CHECKING:
    import torch

CONFIG = "seediff.toml"
"""The configuration file in every output, by which outputs are recognised and runs continued."""
BATCHES = ".batches"
"""Folder of a run's records, one of each finished batch."""
LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.part")
"""Matches names from `fresh_name`. Such a file was left by a killed run, unless a process is using it."""


def fresh_name() -> str:
    """A hidden random name."""
    return f".{secrets.token_hex(8)}.part"


@contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """OSErrors in the block name this file, because systems do not report the file on a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or first_line(error), str(path)) from error


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a free path in the folder, which is made if needed. The file there becomes `path` if the block
    succeeds."""
    part = path.with_name(fresh_name())
    with name_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()  # frees the space on a full disk
            raise


def write_atomic(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write a file, and make its folder if needed. Replaces a file or link of this name. durable: the data is on the
    disk when this returns. Raises OSError naming the file."""
    with replace_file(path) as part, part.open("xb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Return when a file's data is on the disk. A file that may only be read, such as a linked photograph, is left."""
    with suppress(PermissionError), path.open("r+b") as file:
        os.fsync(file.fileno())


def put(path: Path, source: bytes | Path, *, link: bool = False) -> None:
    """Write bytes, or copy a file, to a name that must be free, and make its parents. link: make a hard link to the
    file instead, if the file system has them. Raises UserError if the name is taken, or the source is no file."""
    if path.exists():
        problem = "two files would have this name in the output"
        raise UserError(path.name, problem, "rename one (some file systems ignore case)")
    if isinstance(source, bytes):
        return write_atomic(path, source)
    with open_regular(source) as reading, replace_file(path) as part:
        if link:
            with suppress(OSError):
                return os.link(source.resolve(), part)  # a hard link to a symbolic link would be one itself
        with part.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)


def append(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Append to a file, which is made if needed; all of the data, or none of it. durable: as in `write_atomic`. Raises
    OSError naming the file."""
    with name_errors(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(data) < len(data):
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(file.fileno())


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write one safetensors file, atomically. Tensors must not share memory. metadata: of one key at most, because
    several are written in no fixed order."""
    from safetensors.torch import save

    write_atomic(path, save(dict(tensors), dict(metadata) if metadata else None))


def clear_leftovers(folder: Path, below: Collection[str] = ()) -> None:
    """Remove half-written files of killed runs in a folder, and everywhere in its folders `below`, but through no
    link."""
    inner = [folder / name for name in below if not (folder / name).is_symlink()]
    for path in chain(folder.glob(".*.part"), *(each.rglob(".*.part") for each in inner)):
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name):
                path.unlink()
