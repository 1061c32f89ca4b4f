"""Folders that appear when they are complete: all is written to a hidden one beside it, which is renamed at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from .addresses import parse_folder
from .locking import LOCK, open_folder, was_left
from .outputs import LEFTOVER, fresh_name, named, write_new


@contextmanager
def staged(out: Path | str) -> Iterator[Path]:
    """A hidden folder beside `out`, of a name that nobody can guess, that becomes `out` when the block ends well, and vanishes when not.

    What killed runs left is removed first; a run at work on the same `out` is left alone. UserError when there is one, and when `out` is
    there and not empty.
    """
    out = parse_folder(out) if isinstance(out, str) else out
    check_free(out)
    try:
        target = out.resolve()
    except RuntimeError as error:
        raise UserError(f"--out {out}: its links lead in a circle") from error
    _remove_leftovers(target, out)
    part = target.with_name(fresh_name(target.name))
    with ExitStack() as stack:
        try:
            stack.enter_context(open_folder(part))
        except UserError as error:
            raise UserError(str(error).replace(str(part), str(out))) from error
        check_free(out)  # another run may have finished meanwhile
        try:
            yield part
            if target.is_dir():
                target.rmdir()  # empty
            os.rename(part, target)
        except BaseException:
            _empty(part)
            raise
        # Only now, so that whoever opened the lock before the folder was renamed finds it held.
        with suppress(FileNotFoundError):
            (target / LOCK).unlink()


def check_free(out: Path) -> None:
    """Raise UserError unless `out` is a folder's name that is free, or an empty folder."""
    try:
        if out.is_dir():
            if next(out.iterdir(), None) is not None:
                raise UserError(f"--out {out}: is there already and not empty; choose another folder")
        elif out.exists() or out.is_symlink():
            raise UserError(f"--out {out}: there is a file where the folder should be")
    except OSError as error:
        raise UserError(f"--out {out}: {named(error, out).strerror}; choose another folder") from error


def put(target: Path, data: bytes) -> None:
    """Write a file of a staged folder, whose parents are made; no other may have its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_new(target, data)
    except FileExistsError as error:
        raise UserError(
            f"{target.name}: two files would have this name in the output; rename one (some file systems know no capital letters)"
        ) from error


def _remove_leftovers(target: Path, out: Path) -> None:
    """Remove what killed runs left of this output: real folders of such a name that hold a run's lock, or nothing."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(target.parent) as entries:
        for entry in entries:
            found = LEFTOVER.fullmatch(entry.name)
            if not (found and found[1] == f"{target.name}.") or not entry.is_dir(follow_symlinks=False):
                continue
            if was_left(Path(entry.path), out):
                _empty(Path(entry.path))
                shutil.rmtree(entry.path, ignore_errors=True)
                continue
            with suppress(OSError):
                os.rmdir(entry.path)  # killed before it had a lock


def _empty(folder: Path) -> None:
    """Remove all that is in a folder, the lock apart, by which it is known. Links are removed themselves."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                with suppress(OSError):
                    os.unlink(entry.path)
