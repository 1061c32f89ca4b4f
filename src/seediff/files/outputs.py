"""The only module that writes files: complete or not at all, and never outside the folder that the user named.

A foreign folder may contain links that lead elsewhere, under any predictable name. So every file is written under a new random name and
then renamed. Below the user's folder, no link is followed to write, remove or move. The user's folder itself may be a link.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UserError, first_line

if TYPE_CHECKING:
    import numpy as np
    import torch

CONFIG = "seediff.toml"
"""The configuration file in every output, by which outputs are recognised and runs continued."""
LEFTOVER = re.compile(r"\.(.+\.)?[0-9a-f]{16}\.part")
"""Matches names from `fresh_name`. Such a file was left by a killed run, unless a process is using it."""
LONGEST = 200
"""Maximum bytes of a name for which a temporary name is made in the same folder; systems allow 255."""
OLD = 3600.0
"""Seconds after which a file counts as a leftover if there is no lock."""
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags: do not follow a link, and do not wait for a pipe's reader."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW
FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
HAS_DIR_FD = {os.open, os.mkdir, os.rename, os.unlink, os.stat} <= os.supports_dir_fd
"""Otherwise (Windows) names are looked up by full paths after checking each folder."""


def fresh_name(of: str = "") -> str:
    """A hidden random name. of: the final name, so that leftovers can be found."""
    return f".{begin_of(of)}{secrets.token_hex(8)}.part"


def begin_of(name: str) -> str:
    """The beginning of a `fresh_name` after the dot: the final name, or its hash if that is too long."""
    if len(os.fsencode(name)) > LONGEST:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return f"{name}." if name else ""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """OSErrors in the block name this file, because systems do not report the file on a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or first_line(error), str(path)) from error


@dataclass(frozen=True)
class _Folder:
    """An open folder. Names are looked up relative to it, even if its path changes meanwhile. fd: None if the system does not support
    this."""

    path: Path
    fd: int | None

    def of(self, name: str) -> str:
        return name if self.fd is not None else str(self.path / name)

    def mode(self, name: str) -> int:
        """A name's mode, for `stat.S_ISDIR` and so on; 0 if it does not exist."""
        try:
            return os.stat(self.of(name), dir_fd=self.fd, follow_symlinks=False).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def replace(self, name: str, other: _Folder, target: str) -> None:
        os.replace(self.of(name), other.of(target), src_dir_fd=self.fd, dst_dir_fd=other.fd)

    def unlink(self, name: str) -> None:
        os.unlink(self.of(name), dir_fd=self.fd)


def _split(root: Path, name: str) -> tuple[tuple[str, ...], str]:
    """The folders on the way to root/name, and the last part. Raises UserError for a name that leads outside."""
    parts = PurePosixPath(name).parts
    if not parts or any(part == ".." or os.sep in part or "\0" in part for part in parts):
        raise UserError(root, f"{name!r} is no path inside it")
    return parts[:-1], parts[-1]


@contextmanager
def _opened(root: Path, below: tuple[str, ...] = (), *, make: bool = False) -> Iterator[_Folder]:
    """The folder `root`, which may be a link, or a folder below it, which may not be reached through a link. make: make missing folders
    below.

    Raises UserError naming a link or file in the place of a folder, OSError for a missing folder.
    """
    path = Path(root)
    with naming(path):
        fd = os.open(path, FOLDER) if HAS_DIR_FD else None
    try:
        for name in below:
            here = _Folder(path, fd)
            path = path / name
            with naming(path):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(here.of(name), dir_fd=fd)
                mode = here.mode(name)
                if stat.S_ISLNK(mode):
                    raise UserError(path, "is a link, and nothing is written, moved or removed through one", "put a folder there")
                if mode and not stat.S_ISDIR(mode):
                    raise UserError(path, "there is a file where a folder should be")
                if fd is not None:
                    inner = os.open(name, FOLDER | NOFOLLOW, dir_fd=fd)
                    os.close(fd)
                    fd = inner
        yield _Folder(path, fd)
    finally:
        if fd is not None:
            os.close(fd)


def _write(fd: int, data: bytes, durable: bool = False) -> None:
    with open(fd, "wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        if durable:
            os.fsync(file.fileno())


def write_inside(root: Path, name: str, data: bytes, *, durable: bool = False) -> None:
    """Write root/name like `write_atomic`, without following links below `root`. name: separated by `/`; its folders must exist.

    Replaces an existing file or link. durable: the data is on the disk when this returns. Raises OSError naming the file, UserError
    naming a link on the way.
    """
    below, last = _split(root, name)
    with naming(root / name), _opened(root, below) as folder:
        _commit(folder, last, data, durable)


def _commit(folder: _Folder, name: str, data: bytes, durable: bool) -> None:
    """Writes a complete file under another name, then renames it."""
    fresh = fresh_name()
    try:
        _write(os.open(folder.of(fresh), NEW, 0o666, dir_fd=folder.fd), data, durable)
        folder.replace(fresh, folder, name)
    except BaseException:
        with suppress(OSError):
            folder.unlink(fresh)  # frees the space on a full disk
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that no reader, and no run after a crash, ever sees half of it. Makes its folder.

    Follows links to its folder; for files in foreign folders, see `write_inside`. Raises OSError naming the file.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_inside(path.parent, path.name, data)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not exist yet, in a folder that no other process writes to. Raises OSError naming the file."""
    with naming(path):
        _write(os.open(path, NEW, 0o666), data)


def open_new(path: Path) -> BinaryIO:
    """Like `write_new`, for data written piece by piece; use it inside `naming`. Its `name` is the path."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags | NOFOLLOW, 0o666))


def append(path: Path, data: bytes, *, make: bool = False, durable: bool = False) -> None:
    """Append to a file that is not a link, in one write. If the data does not fit, nothing is appended. make: create a missing file.
    durable: the data is on the disk when this returns. Raises OSError naming the file."""
    with naming(path):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | NOFOLLOW | (os.O_CREAT if make else 0), 0o666)
        try:
            before = os.fstat(fd).st_size
            if os.write(fd, data) < len(data):
                os.ftruncate(fd, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor] | Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write one safetensors file, atomically. All tensors must be torch's, or all numpy's, and must not share memory.

    metadata: use at most one key if files must be equal, because several are written in no fixed order. Raises OSError naming the file.
    """
    # Not save_file: it writes to a random hidden file, which would stay behind if the process is killed.
    # The two modules write the same bytes; numpy's does without torch.
    import numpy as np

    if any(isinstance(values, np.ndarray) for values in tensors.values()):
        from safetensors.numpy import save
    else:
        from safetensors.torch import save
    write_atomic(path, save(dict(tensors), dict(metadata) if metadata else None))  # type: ignore[arg-type]


def make_folders(root: Path, name: str) -> Path:
    """Make `root`, root/name and the folders on the way, where missing, through no link below `root`. Raises UserError naming a link."""
    below, last = _split(root, name)
    root.mkdir(parents=True, exist_ok=True)
    with _opened(root, (*below, last), make=True) as folder:
        return folder.path


def check_inside(root: Path, name: str) -> None:
    """Raise UserError if root/name, or a folder on the way, is a link or not a folder. It may be missing."""
    below, last = _split(root, name)
    with suppress(FileNotFoundError), _opened(root, (*below, last)):
        pass


def copy_new(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file, byte by byte, to a name that must be free. link: make a hard link instead, if the file system has them.

    Raises UserError if the source is missing or not a file (a pipe, a folder), OSError naming the target.
    """
    source = source.resolve()  # a hard link to a symbolic link would be one itself
    try:
        fd = os.open(source, os.O_RDONLY | NOFOLLOW)
    except FileNotFoundError as error:
        raise UserError(source, "there is no such file") from error
    except OSError as error:
        raise UserError(source, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)  # `open` below would refuse a folder without closing it
        raise UserError(source, "is no file that could be copied", "sets hold regular files only")
    with open(fd, "rb") as reading:
        if link:
            with suppress(OSError):
                return os.link(source, target)
        with naming(target), open(os.open(target, NEW, 0o666), "wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)


def link_inside(source: Path, root: Path, name: str) -> bool:
    """Make root/name a hard link to a regular file, without following links below `root`. Replaces an existing file. Returns False if
    the file system has no hard links."""
    below, last = _split(root, name)
    with _opened(root, below) as folder:
        try:
            if not stat.S_ISREG(os.stat(source).st_mode):
                return False
            fresh = fresh_name()
            os.link(source.resolve(), folder.of(fresh), dst_dir_fd=folder.fd)
            folder.replace(fresh, folder, last)
            with suppress(FileNotFoundError):
                folder.unlink(fresh)  # renaming a link over another link of the same file does nothing
        except OSError:
            return False
    return True


def move_inside(root: Path, name: str, target: str) -> None:
    """Move root/name to root/target, with a number added if that is taken, without following links below `root`. Removes its folder if
    it is then empty."""
    below, last = _split(root, name)
    above, free = _split(root, target)
    with _opened(root, below) as source, _opened(root, above, make=True) as goal, naming(source.path / last):
        number, wanted = 0, PurePosixPath(free)
        while goal.mode(free):
            number += 1
            free = f"{wanted.stem}.{number}{wanted.suffix}"
        source.replace(last, goal, free)
    if below:
        with suppress(OSError, UserError), _opened(root, below[:-1]) as outer:
            os.rmdir(outer.of(below[-1]), dir_fd=outer.fd)


def remove_inside(root: Path, name: str) -> None:
    """Remove a file, or a link itself, if it exists, without following links below `root`."""
    below, last = _split(root, name)
    with suppress(FileNotFoundError), _opened(root, below) as folder, naming(folder.path / last):
        folder.unlink(last)


def remove_tree(root: Path, name: str) -> None:
    """Remove the folder root/name with its contents, if it exists. Links in it are removed, not followed. Raises UserError if it is a
    link."""
    with suppress(FileNotFoundError), _opened(root, (name,)) as folder, naming(folder.path):
        shutil.rmtree(folder.path)  # follows no links


def clear_leftovers(folder: Path, below: Collection[str] | None = (), *, older: float | None = None) -> None:
    """Remove half-written files of killed runs in a folder, and everywhere in its folders `below` (None: all). Does not follow links,
    and leaves folders and files that cannot be removed.

    older: only files of at least this age in seconds, if another run may be active.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if below is None or entry.name in below:
                    clear_leftovers(Path(entry.path), None, older=older)
            elif LEFTOVER.fullmatch(entry.name):
                with suppress(OSError):
                    if older is None or time.time() - entry.stat(follow_symlinks=False).st_mtime >= older:
                        os.unlink(entry.path)
