"""Bytes, text and lines of regular files, up to a limit.

Reading a named pipe, a device or a socket could take forever, and a file of a terabyte would fill the memory. Both are
detected before anything is read, and reported in one line.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError, first_line
from .messages import show_bytes, show_json

MIB, GIB = 1 << 20, 1 << 30
SETTINGS = 4 * MIB
"""Maximum size of a settings file: TOML, YAML, a model's config.json."""
LIST = 64 * MIB
"""Maximum size of a list of names, one per line."""
RECORD = 64 * MIB
"""Maximum size of a JSON document that SeeDiff itself writes, such as the results of a table."""
ANNOTATIONS = 2 * GIB
"""Maximum size of a file of annotations or rows. COCO's own, with 118,287 pictures, has 450 MB."""
PICTURE = GIB
"""Maximum size of a picture's file."""
LINE = 4 * MIB
"""Maximum length of a line in a file of rows."""
ABSENT = "there is no such file"
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


@contextmanager
def open_regular(path: Path | str, limit: int, absent: str = ABSENT) -> Iterator[BinaryIO]:
    """Open a regular file of at most `limit` bytes for reading. Follows links.

    Raises UserError naming the file if it is missing (message `absent`), not a regular file, too large, or not
    readable, also while the block reads.
    """
    try:
        _check_kind(path, os.stat(path), limit)  # before opening, because opening some devices has an effect
        file = os.fdopen(os.open(path, _OPEN), "rb")
    except FileNotFoundError as error:
        raise UserError(path, absent) from error
    except OSError as error:
        raise UserError(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null byte or a lone surrogate in the path
        raise UserError(path, f"is no path of a file ({error})") from error
    with file:
        _check_kind(path, os.fstat(file.fileno()), limit)  # the open file may be another one by now
        try:
            yield file
        except OSError as error:
            if error.errno is None or error.filename is not None:  # an error from a decoder, or about another file
                raise
            raise UserError(path, f"cannot be read: {error.strerror}") from error


def _check_kind(path: Path | str, status: os.stat_result, limit: int) -> None:
    """Raise UserError unless this is a regular file of at most `limit` bytes."""
    if not stat.S_ISREG(status.st_mode):
        raise UserError(path, f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}, not a regular file")
    if status.st_size > limit:
        raise UserError(
            path, f"has {show_bytes(status.st_size)}; a file of this kind may have {show_bytes(limit)} at most"
        )


def read_bytes(path: Path | str, limit: int, absent: str = ABSENT) -> bytes:
    """All bytes of a regular file of at most `limit` bytes. Raises UserError like `open_regular`."""
    with open_regular(path, limit, absent) as file:
        data = file.read(limit + 1)  # some files, such as those in /proc, report no size
    if len(data) > limit:
        raise UserError(path, f"has more than {show_bytes(limit)}, which is the most that a file of this kind may have")
    return data


def read_text(path: Path | str, limit: int = LIST, absent: str = ABSENT) -> str:
    """A UTF-8 file's text, without a byte-order mark. Raises UserError naming the line."""
    data = read_bytes(path, limit, absent)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}", f"is not UTF-8 text (byte 0x{data[error.start]:02x})", "save it as UTF-8"
        ) from error


def read_lines(path: Path | str, limit: int = LIST, absent: str = ABSENT) -> list[str]:
    """The lines of a UTF-8 list without line ends (\\n or \\r\\n), including empty ones: `lines[i]` is line i + 1."""
    lines = [line.removesuffix("\r") for line in read_text(path, limit, absent).split("\n")]
    return lines if lines[-1] else lines[:-1]


def inside(root: Path, name: object, where: object = "", field: str = "") -> Path:
    """root/name, which must be inside `root`, also after following links, because files and folders may come from
    anybody.

    name: text from a file, relative to `root`; or a Path below `root`. where, field: the row and field with the name,
    for errors. Raises UserError, also for a name that no file can have.
    """
    said = f"'{field}' " if field else ""
    if not name or not isinstance(name, str | Path):
        raise UserError(where, f"{said}must be the path of a picture inside the dataset, not {show_json(name)}")
    path = name if isinstance(name, Path) else root / name
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # fails for names that are too long, and for links in a circle
        leads_out = not path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError) as error:  # such as a null byte
        reason = getattr(error, "strerror", "") or first_line(error)
        raise UserError(
            where or path, f"{said}is no path that can be used: {show_json(str(name))} ({reason})"
        ) from error
    if leads_out and field:
        raise UserError(
            where, f"{said}leads out of the dataset folder: {show_json(str(name))}", "paths are relative to it"
        )
    if leads_out:
        raise UserError(path, f"is a link that leads out of {root}; what is outside of it is neither read nor written")
    return path
