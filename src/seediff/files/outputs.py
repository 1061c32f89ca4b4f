"""The one module that writes files: whole or not at all, and never outside the folder that the user named.

A folder that somebody else made may hold links that lead elsewhere, under any name that they could guess. So every file is written under
a new name that nobody can guess, and then renamed; and below the folder that the user named no link is followed to write, remove or move.
The folder that the user named may itself be a link: that is the user's wish.
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
"""In every output: the configuration that made it, by which a run is continued and an output is known as one."""
LEFTOVER = re.compile(r"\.(.+\.)?[0-9a-f]{16}\.part")
"""Names of `fresh_name`: what has one, and nobody at work on it, was left by a run that was killed."""
LONGEST = 200
"""Bytes of a name that another stands beside in the same folder, of systems' 255."""
OLD = 3600.0
"""Seconds after which a leftover is one, where no lock says that nobody is at work."""
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Not through a link, and not waiting for whoever reads a pipe."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NOFOLLOW
FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
HAS_DIR_FD = {os.open, os.mkdir, os.rename, os.unlink, os.stat} <= os.supports_dir_fd
"""Else (Windows) names are looked up by their whole paths, each of whose folders is looked at before."""


def fresh_name(of: str = "") -> str:
    """A hidden name that nobody can guess. of: what it will be called in the end, for those who look for it."""
    return f".{begin_of(of)}{secrets.token_hex(8)}.part"


def begin_of(name: str) -> str:
    """What a `fresh_name` of a name begins with, behind its dot: the name, or, where that would be too long, its hash."""
    if len(os.fsencode(name)) > LONGEST:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return f"{name}." if name else ""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """OSErrors of the block name this file: systems do not say which file met a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or first_line(error), str(path)) from error


@dataclass(frozen=True)
class _Folder:
    """An open folder. Names in it are found from itself, whatever its path leads to meanwhile. fd: None where systems cannot."""

    path: Path
    fd: int | None

    def of(self, name: str) -> str:
        return name if self.fd is not None else str(self.path / name)

    def mode(self, name: str) -> int:
        """What a name is, for `stat.S_ISDIR` and so on; 0 when there is nothing."""
        try:
            return os.stat(self.of(name), dir_fd=self.fd, follow_symlinks=False).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def replace(self, name: str, other: _Folder, target: str) -> None:
        os.replace(self.of(name), other.of(target), src_dir_fd=self.fd, dst_dir_fd=other.fd)

    def unlink(self, name: str) -> None:
        os.unlink(self.of(name), dir_fd=self.fd)


def _split(root: Path, name: str) -> tuple[tuple[str, ...], str]:
    """The folders on the way to root/name, and the last part. Raises UserError for a name that leads elsewhere."""
    parts = PurePosixPath(name).parts
    if not parts or any(part == ".." or os.sep in part or "\0" in part for part in parts):
        raise UserError(root, f"{name!r} is no path inside it")
    return parts[:-1], parts[-1]


@contextmanager
def _opened(root: Path, below: tuple[str, ...] = (), *, make: bool = False) -> Iterator[_Folder]:
    """The folder `root`, links to it followed, or one below it, which no link may lead to. make: those below that are missing.

    Raises UserError naming the link or file that is where a folder should be, OSError for a folder that is not there.
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
    """Write root/name as `write_atomic` does, through no link below `root`. name: with `/` between; folders on the way must be there.

    What is there by that name, a link too, is replaced. durable: it is on the disk when this returns. Raises OSError naming the file,
    UserError naming a link on the way.
    """
    below, last = _split(root, name)
    with naming(root / name), _opened(root, below) as folder:
        _commit(folder, last, data, durable)


def _commit(folder: _Folder, name: str, data: bytes, durable: bool) -> None:
    """A whole file at once: written under another name, then renamed."""
    fresh = fresh_name()
    try:
        _write(os.open(folder.of(fresh), NEW, 0o666, dir_fd=folder.fd), data, durable)
        folder.replace(fresh, folder, name)
    except BaseException:
        with suppress(OSError):
            folder.unlink(fresh)  # a full disk needs the room
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that no reader, and no run after a crash, ever sees half of it; its folder is made.

    Links to its folder are followed; for files below a folder of others, see `write_inside`. Raises OSError naming the file.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_inside(path.parent, path.name, data)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, in a folder that nobody else writes to. Raises OSError naming the file."""
    with naming(path):
        _write(os.open(path, NEW, 0o666), data)


def open_new(path: Path) -> BinaryIO:
    """As `write_new`, for what is written piece by piece; use `naming` meanwhile. Its `name` is the path."""
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags | NOFOLLOW, 0o666))


def append(path: Path, data: bytes, *, make: bool = False, durable: bool = False) -> None:
    """Append to a file that is no link, in one write; of what does not fit nothing stays. make: it need not be there. durable: it is on the
    disk when this returns. Raises OSError naming the file."""
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
    """Write one safetensors file, atomically; all tensors of one kind, torch's or numpy's, in memory of their own.

    metadata: at most one key where files must not differ, for several are written in no fixed order.
    Raises OSError naming the file when it cannot be written.
    """
    # Not save_file: it writes to a hidden file of a random name, which would stay behind for good when the process is killed.
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
    """Raise UserError when root/name, or a folder on the way, is a link or is no folder. Nothing there is fine."""
    below, last = _split(root, name)
    with suppress(FileNotFoundError), _opened(root, (*below, last)):
        pass


def copy_new(source: Path, target: Path, *, link: bool = False) -> None:
    """Copy a file, byte by byte, to a name that must be free, or make a hard link where asked and the file system allows it.

    Raises UserError for a source that is not there or no file (a pipe, a folder), OSError naming the target.
    """
    source = source.resolve()  # a hard link to a symbolic link would be one itself
    try:
        fd = os.open(source, os.O_RDONLY | NOFOLLOW)
    except FileNotFoundError as error:
        raise UserError(source, "there is no such file") from error
    except OSError as error:
        raise UserError(source, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)  # `open` does not close what turns out to be a folder
        raise UserError(source, "is no file that could be copied", "sets hold regular files only")
    with open(fd, "rb") as reading:
        if link:
            with suppress(OSError):
                return os.link(source, target)
        with naming(target), open(os.open(target, NEW, 0o666), "wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)


def link_inside(source: Path, root: Path, name: str) -> bool:
    """Make root/name a hard link to a regular file, through no link below `root`; what is there is replaced. False when the file system
    has none."""
    below, last = _split(root, name)
    with _opened(root, below) as folder:
        try:
            if not stat.S_ISREG(os.stat(source).st_mode):
                return False
            fresh = fresh_name()
            os.link(source.resolve(), folder.of(fresh), dst_dir_fd=folder.fd)
            folder.replace(fresh, folder, last)
            with suppress(FileNotFoundError):
                folder.unlink(fresh)  # renaming one link of a file to another of it does nothing
        except OSError:
            return False
    return True


def move_inside(root: Path, name: str, target: str) -> None:
    """Move root/name to root/target, or, when that is taken, beside it with a number; no link below `root` is followed. Its folder goes
    too, when it is empty then."""
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
    """Remove a file, or a link itself, that may be gone already; through no link below `root`."""
    below, last = _split(root, name)
    with suppress(FileNotFoundError), _opened(root, below) as folder, naming(folder.path / last):
        folder.unlink(last)


def remove_tree(root: Path, name: str) -> None:
    """Remove the folder root/name with all in it, if it is there; a link in it is removed itself. Raises UserError when it is a link."""
    with suppress(FileNotFoundError), _opened(root, (name,)) as folder, naming(folder.path):
        shutil.rmtree(folder.path)  # follows no links


def clear_leftovers(folder: Path, below: Collection[str] | None = (), *, older: float | None = None) -> None:
    """Remove half-written files that killed runs left in a folder, and everywhere in its folders `below` (None: all). No link is followed
    to there, and folders stay, as does what cannot be removed.

    older: only those of at least so many seconds, where another run may be at work.
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
