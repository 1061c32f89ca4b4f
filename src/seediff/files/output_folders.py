"""Places for output: folders and store addresses. They are checked before long work, written to by one run at a time,
and complete or absent."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .outputs import clear_leftovers, fresh_name

LOCK = ".lock"
STORES = (
    "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hdfs", "webhdfs", "sftp", "ssh", "smb",
    "memory",
)  # fmt: skip
"""Schemes of fsspec that store whole files by name. `memory` is this process's memory, for programs that read it before
they end.
"""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(::|://)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Url:
    """The address of an output in a store, without a final slash."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.text}/{name}")

    @property
    def scheme(self) -> str:
        return self.text.partition("://")[0]


Out = Path | Url
"""An output as named by the user."""


def parse_out(out: Out | str) -> Out:
    """Parse an output: a folder, also as file:///path, or the address of objects in a store. Raises UserError for other
    addresses, because writing to http://… would send requests to any server there."""
    if not isinstance(out, str):
        return out
    if not out.strip():
        raise UserError(repr(out), "names no place", "the present folder is .")
    match = URL.fullmatch(out)
    scheme, rest = (match[1].lower(), match[3].rstrip("/")) if match else ("", out)
    if scheme in ("file", "local") and not rest.startswith("/"):
        raise UserError(out, "must be file:///a/full/path")
    if scheme in ("", "file", "local"):
        return Path(rest)
    if scheme not in STORES or "::" in out or not rest:
        raise UserError(out, "is no place to write to", "name a folder, or a store such as s3://bucket/name")
    return Url(f"{scheme}://{rest}")


def parse_folder(text: str) -> Path:
    """Parse a folder or file on this machine, also as file:///path. Raises UserError for other addresses."""
    out = parse_out(text)
    if isinstance(out, Url):
        raise UserError(text, "is an address, and this must be a folder of this machine", "name one, and copy it there")
    return out


def check_apart(out: Out, sources: Iterable[Path]) -> None:
    """Raise UserError if the output is a source itself, or is inside or around it, also through links, because the next
    run would read this run's output. Store addresses are always allowed."""
    if not isinstance(out, Path):
        return
    inner = Path(os.path.realpath(out))
    for source in sources:
        outer = Path(os.path.realpath(source))
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UserError(out, f"must not be the dataset {source} itself, nor lie in it or around it")


def free_bytes(out: Path) -> int:
    """Free space on the disk of `out`, in bytes."""
    return shutil.disk_usage(_nearest(out)).free


def check_writable(out: Path | None, file: Path | None = None) -> None:
    """Check that an output's folder, and a file, can be written to, so that long work does not fail at the end. Leaves
    nothing behind.

    Raises UserError naming the place that cannot be written to. Files are written by renaming, which would replace a
    device such as /dev/null, so `file` must be free, or a file, or a link to a file.
    """
    for path, folder in ((out, out), (file, file and file.parent)):
        if path is None or folder is None:
            continue
        try:
            if path != out and path.exists() and not path.is_file():
                raise UserError(path, f"is {'a folder' if path.is_dir() else 'a device or a pipe'}", "name a file")
            tempfile.TemporaryFile(dir=_nearest(folder)).close()
        except OSError as error:
            raise UserError(path, f"cannot be written to ({error.strerror or error})", "name another place") from error
        clear_leftovers(folder, older=3600.0)  # seconds: without a lock, another run may be writing


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest existing parent. Raises OSError for an impossible name."""
    try:
        os.stat(folder)
    except FileNotFoundError:
        if folder.is_symlink():
            raise  # a broken link: no folder can be made in its place
        return _nearest(folder.parent)
    return folder


class InUse(UserError):
    """Another run is using the folder."""


@contextmanager
def open_folder(folder: Path, below: Collection[str] = (), *, out: Path | None = None) -> Iterator[None]:
    """Make the folder if needed, and lock out other runs during the block. Raises UserError if another run is using it,
    or if it cannot be written to. out: the name in errors.

    The lock is the kernel's, so a killed run never holds it. First removes half-written files of killed runs in the
    folder and in its folders `below`. Folders made here are removed again if nothing was written.
    """
    out = out or folder
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(out, "there is a file where the folder should be") from error
    except OSError as error:
        raise UserError(out, f"the folder cannot be made: {error.strerror}") from error
    try:
        with _lock(folder, out):
            clear_leftovers(folder, below)
            yield
    finally:
        for path in made:
            with suppress(OSError):  # not empty
                path.rmdir()


@contextmanager
def _lock(folder: Path, out: Path) -> Iterator[None]:
    """Hold a folder's lock, and remove its file afterwards. Raises UserError naming `out` if another run holds it
    (InUse), if the lock's name belongs to something else, or if nothing can be written."""
    from filelock import FileLock, Timeout

    path = folder / LOCK
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UserError(
                out, f"{LOCK} in it is a link or no regular file, which no run of seediff left", "remove it"
            )
        lock.acquire()
        path.write_text(str(os.getpid()))
    except Timeout as error:
        holder = path.read_bytes()[:20].decode("ascii", "replace") if path.is_file() else ""
        holder = holder if holder.isdigit() else "unknown"
        raise InUse(out, f"in use by another run (process {holder})", "wait for it or choose another folder") from error
    except OSError as error:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()  # a full disk; nobody else holds the lock
            lock.release()
        raise UserError(out, f"the folder cannot be written to: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # removed while held, so that waiting processes notice that it is gone
        lock.release()


@contextmanager
def stage_output(out: Path | str) -> Iterator[Path]:
    """A hidden folder beside `out`, with a random name, that becomes `out` if the block succeeds, and is removed
    otherwise.

    First removes leftovers of killed runs. Raises UserError if another run is making the same `out`, or if `out` exists
    and is not empty.
    """
    out = parse_folder(out) if isinstance(out, str) else out
    check_free(out)
    target = Path(os.path.realpath(out))
    part = target.with_name(fresh_name(target.name))
    for left in target.parent.glob(f"{part.name[:9]}*.part"):
        try:
            if not left.is_symlink():
                with _lock(left, out):
                    shutil.rmtree(left, ignore_errors=True)
        except InUse:
            raise
        except UserError:  # a file, or another user's folder
            continue
    with open_folder(part, out=out):
        check_free(out)  # another run may have finished meanwhile
        try:
            yield part
            if target.is_dir():
                target.rmdir()  # empty
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        # Only now, so that processes that opened the lock before the renaming find it held.
        (target / LOCK).unlink(missing_ok=True)


def check_free(out: Path, *, replaced: bool = True) -> None:
    """Raise UserError unless `out` is free, or an empty folder. replaced: the output is made beside it and takes its
    place, which neither a mounted folder nor the current one allows."""
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(out, "there is a file where the folder should be")
    try:
        if any(out.iterdir()):
            raise UserError(out, "is there already and not empty", "choose another folder")
        if replaced and (os.path.ismount(os.path.realpath(out)) or os.path.samefile(out, os.curdir)):
            problem = "is a mounted or the current folder, which the finished output cannot replace"
            raise UserError(out, problem, "name a new folder in it")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(out, str(error.strerror or error), "choose another folder") from error
