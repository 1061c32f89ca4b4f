"""Folders for output, which are checked before long work, and to which one run at a time writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from .outputs import clear_leftovers

LOCK = ".lock"


def parse_folder(text: Path | str) -> Path:
    """A folder or file on this machine. Raises UserError for an address, and for a text that cannot be a path."""
    if not str(text).strip():
        raise UserError(repr(text), "empty path", "the current folder is .")
    if "\0" in str(text):
        raise UserError(text, "has a null character, which no path may have")
    if isinstance(text, str) and "://" in text:
        fix = "name a folder on this machine, and copy it there with `aws s3 sync` or `rclone copy`"
        raise UserError(text, "is an address", fix)
    return Path(text)


def check_apart(out: Path, sources: Iterable[Path]) -> None:
    """Raise UserError if the output is a source, lies in a source, or has a source in it, also through links. Otherwise
    the next run would read the output of this run."""
    inner = Path(os.path.realpath(out))
    for source in sources:
        outer = Path(os.path.realpath(parse_folder(source)))
        if inner.is_relative_to(outer) or outer.is_relative_to(inner):
            raise UserError(out, f"must not be the dataset {source} itself, nor lie in it or around it")


def check_outside(out: Path) -> None:
    """Raise UserError for an output inside a finished dataset, of which it would seem to be a part."""
    for folder in Path(os.path.realpath(out)).parents:
        if (folder / "metadata.jsonl").is_file() and (folder / "classes.txt").is_file():
            raise UserError(out, f"is inside of the dataset {folder}", "choose a folder beside it")


def free_bytes(out: Path) -> int:
    """Free space on the disk of `out`, in bytes."""
    return shutil.disk_usage(_nearest(out)).free


def check_writable(path: Path | None, *, is_file: bool = False) -> None:
    """Raise UserError unless an output can be written, so that long work does not fail at its end. Leaves nothing
    behind.

    path: the output; None passes. is_file: whether the output is a file. A device such as /dev/null is refused, because
    files are written by renaming, which would replace it."""
    if path is None:
        return
    folder = path
    with _writing(path, "choose another folder"):
        if is_file:
            folder = path.parent
            if path.exists() and not path.is_file():
                kind = "a folder" if path.is_dir() else "a device or a pipe"
                raise UserError(path, f"is {kind}", "name a file")
        tempfile.TemporaryFile(dir=_nearest(folder)).close()


@contextmanager
def _writing(path: Path, fix: str = "") -> Iterator[None]:
    """Turns OSErrors in the block into UserErrors about `path`."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(path, "there is a file where the folder should be", fix) from error
    except OSError as error:
        raise UserError(path, f"cannot be written to ({error.strerror or error})", fix) from error


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists. Raises OSError for an impossible name."""
    return next(each for each in (folder, *folder.parents) if each.exists())


class InUse(UserError):
    """Another run is using the folder."""


@contextmanager
def open_folder(folder: Path, below: Collection[str] = (), *, out: Path | None = None) -> Iterator[None]:
    """Locks out other runs from a folder during the block.

    At the start, makes the folder if needed, and removes what killed runs left half-written in it and in its folders
    `below`. At the end, removes the folder again if nothing was written. out: the folder's name in errors.

    The system holds the lock, and releases it when a run is killed. Raises UserError; InUse if another run holds the
    lock."""
    from filelock import FileLock, Timeout

    out, path = out or folder, folder / LOCK
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        with _writing(out):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()  # raises OSError for a link
            except Timeout as error:
                holder = path.read_text(errors="replace") or "unknown"
                fix = "wait for it or choose another folder"
                raise InUse(out, f"in use by another run (process {holder[:20]})", fix) from error
            path.write_text(str(os.getpid()))
        clear_leftovers(folder, below)
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()  # removed while held, so that waiting processes notice that it is gone
            lock.release()
        for each in missing:
            with suppress(OSError):  # not empty
                each.rmdir()


@contextmanager
def stage_output(out: Path | str) -> Iterator[Path]:
    """Yields a hidden folder beside `out`. If the block succeeds, the folder becomes `out`; otherwise it is removed.
    What a killed run left there is removed first. Raises UserError if another run is making `out`, or `out` is not
    empty."""
    out = parse_folder(out)
    check_free(out)
    check_outside(out)
    target = out.resolve()
    part = target.with_name(f".{target.name}.part")
    with open_folder(part, out=out):
        check_free(out)  # another run may have finished meanwhile
        try:
            for left in part.iterdir():
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
                elif left.name != LOCK:
                    left.unlink()
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
    """Raise UserError unless `out` does not exist, or is an empty folder. replaced: whether the output is made beside
    `out` and then takes its place. A mounted folder and the current folder cannot be replaced."""
    with _writing(out, "choose another folder"):
        if not os.path.lexists(out):
            return
        if any(out.iterdir()):
            raise UserError(out, "already exists and is not empty", "choose another folder")
        if replaced and (os.path.ismount(out.resolve()) or out.samefile(os.curdir)):
            problem = "is a mounted or the current folder, which the finished output cannot replace"
            raise UserError(out, problem, "name a new folder in it")
