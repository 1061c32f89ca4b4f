"""Writes files for all modules. Each file is written under a random name and then renamed, so that nobody ever sees
half a file."""

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
from .reading import open_regular, real

if TYPE_CHECKING:
    import torch

CONFIG = "seediff.toml"
"""The name of the configuration's file in every output. It marks a folder as an output, and the same command continues
its run."""
IMAGES, STEPS = "images", "steps"
"""Names of folders in a dataset: the pictures, and the steps of masks. steps/NAME_3.png shows how the mask of class 3
in sample NAME was made."""
BATCHES = ".batches"
"""The name of the folder in which a run records each finished batch."""
LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.part")
"""Matches names from `fresh_name`. Unless a process is using such a file, a killed run left it."""


def fresh_name() -> str:
    """A random hidden name for a half-written file."""
    return f".{secrets.token_hex(8)}.part"


@contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """Adds the file's name to an OSError in the block. When the disk is full, the system's error does not name the
    file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or first_line(error), str(path)) from error


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a new path in the folder of `path`, to which the block writes a file. If the block succeeds, the file is
    renamed to `path`. The folder is made if needed. Raises OSError naming the file."""
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
    """Write a file, and make its folder if needed. A file or link at `path` is replaced. durable: return only when the
    data is on the disk. Raises OSError naming the file."""
    with replace_file(path) as part, part.open("xb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Wait until a file's data is on the disk. Returns at once for a file that may only be read, such as a linked
    photograph."""
    with suppress(PermissionError), path.open("r+b") as file:
        os.fsync(file.fileno())


def put(path: Path, source: bytes | Path, *, link: bool = False) -> None:
    """Write a new file, and make its folder if needed. source: the bytes to write, or the file to copy. link: make a
    hard link to that file instead of a copy, if the file system can. Raises UserError if there is something at `path`,
    or the source is no file."""
    if path.exists():
        problem = "two files would have this name in the output"
        raise UserError(path.name, problem, "rename one (some file systems ignore case)")
    if isinstance(source, bytes):
        return write_atomic(path, source)
    with open_regular(source) as reading, replace_file(path) as part:
        if link:
            with suppress(OSError):
                return os.link(real(source), part)  # a hard link to a symbolic link would be one itself
        with part.open("xb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)


def append(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Append data to a file, which is made if needed: all of the data, or nothing. durable: as for `write_atomic`.
    Raises OSError naming the file."""
    with name_errors(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(data) < len(data):
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(file.fileno())


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file. tensors: by name; they must not share memory. metadata: at most one key, because
    several would be written in no fixed order."""
    from safetensors.torch import save

    write_atomic(path, save(dict(tensors), dict(metadata) if metadata else None))


def clear_leftovers(folder: Path, below: Collection[str] = ()) -> None:
    """Remove half-written files of killed runs from a folder, without following links. below: names of folders in it,
    which are searched at any depth."""
    inner = [folder / name for name in below if not (folder / name).is_symlink()]
    for path in chain(folder.glob(".*.part"), *(part.rglob(".*.part") for part in inner)):
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name):
                path.unlink()
