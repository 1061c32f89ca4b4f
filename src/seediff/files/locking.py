"""Who may write to a folder: one run at a time, kept apart by the kernel's lock on a file in it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from .outputs import NOFOLLOW, clear_leftovers

try:
    import fcntl
except ImportError:  # Windows has no flock: runs are not kept apart there
    fcntl = None

LOCK = ".lock"


@contextmanager
def open_folder(out: Path, below: Collection[str] = ()) -> Iterator[None]:
    """Make `out` when it is not there and keep other runs away while the block runs; UserError when one is at work or it cannot be written.

    The lock is the kernel's, so a run that was killed never holds it. Half-written files that such a run left in the folder itself
    and in its folders `below` are removed first. Folders made here vanish again when nothing was written.
    """
    made = [p for p in (out, *out.parents) if not p.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"--out {out}: there is a file where the folder should be") from error
    except OSError as error:
        raise UserError(f"--out {out}: the folder cannot be made: {error.strerror}") from error
    try:
        lock = _take_lock(out)
        try:
            clear_leftovers(out, below)
            yield
        finally:
            with suppress(OSError):
                (out / LOCK).unlink()  # while it is held: whoever waits for this file finds out that it is gone
            os.close(lock)
    finally:
        for folder in made:
            with suppress(OSError):  # not empty: a dataset is in it
                folder.rmdir()


def was_left(folder: Path, out: Path) -> bool:
    """Whether a run that is no more left its lock in a folder, where it wrote what should become `out`.

    Raises UserError when the run is at work. False also where nothing can be said.
    """
    if fcntl is None:
        return False
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | NOFOLLOW)
    except OSError:
        return False
    try:
        if not _is_own(lock):
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError as error:
        raise _in_use(out, lock) from error
    except OSError:
        return False
    finally:
        os.close(lock)


def _in_use(out: Path, lock: int) -> UserError:
    holder = os.pread(lock, 20, 0).decode("ascii", "replace")
    holder = holder if holder.isdigit() else "unknown"
    return UserError(f"--out {out}: in use by another run (process {holder}); wait for it or choose another folder")


def _is_own(lock: int) -> bool:
    """Whether an open file can be a lock: regular, and under no other name, where its text would be somebody's."""
    about = os.fstat(lock)
    return stat.S_ISREG(about.st_mode) and about.st_nlink <= 1


def _take_lock(out: Path) -> int:
    """Open and lock out/.lock, which also shows whether the folder can be written to. Returns the file descriptor."""
    path = out / LOCK
    foreign = f"--out {out}: {LOCK} in it is a link or no regular file, which no run of seediff left; remove it"
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o644)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
                raise UserError(foreign) from error
            raise UserError(f"--out {out}: the folder cannot be written to: {error.strerror}") from error
        try:
            if not _is_own(lock):
                os.close(lock)
                raise UserError(foreign)
            if fcntl is None:
                return lock
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(path) and os.path.samestat(os.fstat(lock), os.lstat(path)):
                os.truncate(lock, 0)
                os.write(lock, str(os.getpid()).encode())
                return lock
            os.close(lock)  # another run ended and removed the file between our opening and locking it
        except BlockingIOError as error:
            refused = _in_use(out, lock)
            os.close(lock)
            raise refused from error
        except OSError as error:
            with suppress(OSError):
                path.unlink()  # a full disk: nobody else has it
            os.close(lock)
            raise UserError(f"--out {out}: the folder cannot be written to: {error.strerror}") from error
