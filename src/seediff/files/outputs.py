"""Writes files and folders for all modules. A file is written under a random name and then renamed, and so is the
folder of a finished output: nobody ever sees half of one. Folders are checked before long work, and only one run at a
time writes to a folder."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from ..errors import UserError, first_line
from .names import CLASSES, CONFIG, METADATA
from .reading import open_regular, real

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


def write_json(values: object, path: Path) -> None:
    """Write a JSON file, as `write_atomic` does. values: what `json.dumps` can write, without NaN."""
    write_atomic(path, (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"))


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


def clear_leftovers(folder: Path, below: Collection[str]) -> None:
    """Remove half-written files of killed runs from a folder, without following links. below: names of folders in it,
    which are searched at any depth."""
    inner = [folder / name for name in below if not (folder / name).is_symlink()]
    for path in chain(folder.glob(".*.part"), *(part.rglob(".*.part") for part in inner)):
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name):
                path.unlink()


# Folders.

LOCK = ".lock"


def parse_folder(text: Path | str) -> Path:
    """The path in a text. Raises UserError for an address such as `s3://…`, and for an empty text."""
    if not str(text).strip():
        raise UserError(repr(text), "empty path", "the current folder is .")
    if isinstance(text, str) and "://" in text:
        fix = "name a folder on this machine, and copy it there with `aws s3 sync` or `rclone copy`"
        raise UserError(text, "is an address", fix)
    return Path(text)


def check_apart(out: Path, sources: Iterable[Path]) -> None:
    """Raise UserError if the output is a source, lies in a source, or has a source in it, also through links, because
    the next run would read the output of this run; and as `check_free` does."""
    real_out = real(out)
    for source in sources:
        real_source = real(parse_folder(source))
        if real_out.is_relative_to(real_source) or real_source.is_relative_to(real_out):
            raise UserError(out, f"must not be the dataset {source} itself, nor lie in it or around it")
    check_free(out)


def check_outside(out: Path) -> None:
    """Raise UserError for an output inside a finished dataset, because it would look like a part of the dataset."""
    for folder in real(out).parents:
        if (folder / METADATA).is_file() and (folder / CLASSES).is_file():
            raise UserError(out, f"is inside of the dataset {folder}", "choose a folder beside it")


def names_begun(out: Path, what: str) -> set[str]:
    """The names in a folder in which an output was begun, without hidden ones; empty for a missing or empty folder.
    what: the output, such as "an output". Raises UserError for a file, for a folder with other contents, and as
    `check_outside` does."""
    if not out.exists():
        check_outside(out)
        return set()
    if not out.is_dir():
        raise UserError(out, "there is a file where the folder should be")
    names = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    if not names:
        check_outside(out)
    elif CONFIG not in names:
        problem = f"not empty, and not {what} of SeeDiff (it holds {min(names)}, but no {CONFIG})"
        raise UserError(out, problem, "choose another folder")
    return names


def free_bytes(out: Path) -> int:
    """Free space on the disk of `out`, in bytes."""
    return shutil.disk_usage(_nearest(out)).free


def check_writable(path: Path | None, *, is_file: bool = False) -> None:
    """Raise UserError unless an output can be written, so that long work does not fail at its end. Leaves nothing
    behind.

    path: the output; None is accepted. is_file: whether the output is a file, and not a folder. A device such as
    /dev/null is refused, because the finished file would replace it (outputs.py renames files)."""
    if path is None:
        return
    folder = path
    with _writing(path, "choose another folder"):
        if is_file:
            folder = path.parent
            if path.exists() and not path.is_file():
                kind = "a folder" if path.is_dir() else "a device or a pipe"
                raise UserError(path, f"is {kind}", "name a file")
        with tempfile.TemporaryFile(dir=_nearest(folder)) as file:
            file.write(b"a full disk takes a name, but no byte")


@contextmanager
def _writing(path: Path, fix: str = "") -> Iterator[None]:
    """Turns an OSError in the block into a UserError about `path`. fix: the fix for its message."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(path, "there is a file where the folder should be", fix) from error
    except OSError as error:
        raise UserError(path, f"cannot be written to ({error.strerror or error})", fix) from error


def _nearest(folder: Path) -> Path:
    """The folder itself if it exists, otherwise its nearest existing parent. A link that leads nowhere exists. Raises
    OSError for an impossible name."""
    return next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())


class InUse(UserError):
    """Another run is using the folder."""


@contextmanager
def open_folder(folder: Path, below: Collection[str] = (), *, out: Path | None = None) -> Iterator[None]:
    """Locks a folder during the block, so that no other run writes to it.

    At the start, makes the folder if needed, and removes half-written files of killed runs. At the end, removes the
    folder again if nothing was written. The system releases the lock when a run is killed.

    below: names of folders in it that may have half-written files, too. out: the folder's name in errors; None: its
    path. Raises UserError if the folder cannot be written to, and InUse if another run holds the lock."""
    from filelock import FileLock, Timeout

    out = out or folder
    lock_file = folder / LOCK
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(lock_file, timeout=0, thread_local=False)
    try:
        with _writing(out):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()  # raises OSError for a link
            except Timeout as error:
                process, _, page = lock_file.read_text(errors="replace")[:200].partition(" ")
                process = process or "unknown"
                problem, fix = f"in use by another run (process {process})", "wait for it or choose another folder"
                if page:
                    problem = f"open in `seediff look` at {page} (process {process})"
                    fix = "use that page, or end it with Ctrl-C where it was started"
                raise InUse(out, problem, fix) from error
            lock_file.write_text(str(os.getpid()))
        clear_leftovers(folder, below)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                lock_file.unlink()  # before the release, so that waiting processes notice that the file is gone
            lock.release()
        for path in new_folders:
            with suppress(OSError):  # not empty
                path.rmdir()


def check_unused(folder: Path) -> None:
    """Raises InUse if a run holds a folder's lock."""
    if (folder / LOCK).is_file():  # else `open_folder` would write into it
        try:
            with open_folder(folder):
                return
        except UserError as error:
            if isinstance(error, InUse):
                raise


def name_page(folder: Path, address: str) -> None:
    """Name the page that shows a folder to whoever finds it locked. The process must hold the folder's lock."""
    (folder / LOCK).write_text(f"{os.getpid()} {address}")


@contextmanager
def stage_output(out: Path | str) -> Iterator[Path]:
    """Yields an empty hidden folder beside `out`. If the block succeeds, the folder becomes `out`; otherwise it is
    removed. Raises UserError if another run is making `out`, or `out` is not empty.

    For `pets`, in order: make .pets.part and lock it; run the block; rename .pets.part to pets; remove the lock's file;
    release the lock."""
    out = parse_folder(out)
    check_free(out)
    target = real(out)
    part = target.with_name(f".{target.name}.part")
    with open_folder(part, out=out):
        check_free(out)  # another run may have finished meanwhile
        try:
            for path in part.iterdir():  # what a killed run left
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
            yield part
            if target.is_dir():
                target.rmdir()  # empty
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        # Only after the renaming: processes that opened the lock's file before must find it held.
        (target / LOCK).unlink(missing_ok=True)


def check_free(out: Path) -> None:
    """Raise UserError if something is at `out`, other than an empty folder, or if `stage_output` cannot replace it: a
    mounted folder, or the current one; and as `check_outside` does."""
    check_outside(out)
    with _writing(out, "choose another folder"):
        if not os.path.lexists(out):
            return
        if any(out.iterdir()):
            fix = "choose another folder (if seediff wrote this one, it is complete)"  # by `stage_output`
            raise UserError("out", f"{out} already exists and is not empty", fix)
        if os.path.ismount(real(out)) or out.samefile(os.curdir):
            problem = f"{out} is a mounted or the current folder, which the finished output cannot replace"
            raise UserError("out", problem, "name a new folder in it")
