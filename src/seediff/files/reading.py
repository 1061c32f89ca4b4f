"""Reads bytes, text and lines of files. A file must be regular and of limited size: reading a named pipe could take
forever, and a terabyte would fill the memory."""

from __future__ import annotations

import os
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import UserError
from .messages import show_bytes, show_json

LARGEST = 2 << 30
"""Maximum bytes of a file that is read as a whole. The largest annotations of COCO have 450 MB."""
ABSENT = "no such file"
"""The message for a missing file, unless a caller has its own."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")


def open_regular(path: Path | str, absent: str = ABSENT) -> BinaryIO:
    """Opens a regular file. absent: the message for a missing file. Raises UserError for a file that is missing, not
    readable, or not regular."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(path, "is a folder, a pipe or a device, not a regular file")
        check_unpacked(path)
        return open(path, "rb")
    except FileNotFoundError as error:
        raise UserError(path, absent) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte or a lone surrogate in the path
        raise UserError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def check_unpacked(path: Path | str) -> None:
    """Raises UserError for an archive. The user may mean the folder or file in it."""
    if str(path).lower().endswith(ARCHIVES) and os.path.isfile(path):
        raise UserError(path, "is an archive", "unpack it, and name what was in it")


def read_bytes(path: Path | str, absent: str = ABSENT) -> bytes:
    """All bytes of a regular file. absent: the message for a missing file. Raises UserError for more than LARGEST
    bytes, and as `open_regular` does."""
    with open_regular(path, absent) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise UserError(path, f"has {show_bytes(size)}; a file of this kind may have {show_bytes(LARGEST)} at most")
        return file.read()


def read_text(path: Path | str, absent: str = ABSENT) -> str:
    """The text of a UTF-8 file, without a byte-order mark. absent: as for `read_bytes`. Raises UserError as
    `read_bytes` and `decode_text` do."""
    return decode_text(read_bytes(path, absent), path)


def decode_text(data: bytes, path: Path | str, first: int = 1) -> str:
    """The text of UTF-8 bytes, without a byte-order mark. path: the file that they come from. first: the number of
    their first line in the file. Raises UserError naming the line and the likely encoding."""
    text, wrong = "", data.find(0)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong < 0:
        return text
    likely = "Windows-1252 or Latin-1"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or 4 * max(data[::2].count(0), data[1::2].count(0)) > len(data):
        likely = "UTF-16"
    elif 0 in data:
        likely = "binary data"
    line = first + data.count(b"\n", 0, wrong)
    problem = f"is not UTF-8 text (byte 0x{data[wrong]:02x}), but probably {likely}"
    raise UserError(f"{path}, line {line}", problem, "save it as UTF-8")


def read_lines(path: Path | str, absent: str = ABSENT) -> list[str]:
    """The lines of a UTF-8 file, without line ends. Empty lines are kept, so that `lines[i]` is line i + 1 of the file.
    absent: as for `read_bytes`. Raises UserError as `read_text` does."""
    lines = [line.removesuffix("\r") for line in read_text(path, absent).split("\n")]
    return lines if lines[-1] else lines[:-1]


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): é is one character. Some file systems store e and the accent apart."""
    return unicodedata.normalize("NFC", name)


def real(path: Path | str) -> Path:
    """The absolute path that a path leads to through links. (`Path.resolve` ends the program for links in a circle.)"""
    return Path(os.path.realpath(path))


def inside(root: Path, name: object, where: object = "", field: str = "") -> Path:
    """The path root/name; the name may come from an untrusted file. Raises UserError if the path leads out of `root`,
    also by a link, or if it is no usable path.

    root: a folder. name: a text from a file, or a Path that begins with `root`. where, field: the row and the field
    that contain the name, for errors."""
    if isinstance(name, str) and _is_plain(root, name):
        return root / name
    about = f"'{field}' " * bool(field)
    if not name or not isinstance(name, str | Path) or "://" in str(name):
        raise UserError(where, f"{about}must be the path of a picture inside the dataset, not {show_json(name)}")
    path = name if isinstance(name, Path) else root / name
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)  # fails for names that are too long, and for links in a circle
        leads_out = not real(path).is_relative_to(real(root))
    except (OSError, ValueError) as error:  # such as a null byte
        problem = f"{about}is not a usable path: {show_json(str(name))} ({getattr(error, 'strerror', None) or error})"
        raise UserError(where or path, problem) from error
    if leads_out:
        what = f"{about}leads out of {root}: {show_json(str(name))}"
        fix = "files outside of it are neither read nor written"
        if os.path.abspath(path).startswith(os.path.join(os.path.abspath(root), "")):
            fix += f"; `cp -rL {root} COPY` makes a copy with files in place of links"
        raise UserError(where if field else path, what, fix)
    return path


def _is_plain(root: Path, name: str) -> bool:
    """Whether root/name exists, without a link or `..` below `root`. Then it surely lies inside `root`. This check is
    fast: resolving 100,000 paths takes half a minute."""
    path = str(root)
    with suppress(OSError, ValueError):
        for part in name.split("/"):
            path = f"{path}/{part}"
            if part in ("", "..") or "\\" in part or stat.S_ISLNK(os.lstat(path).st_mode):
                return False
        return True
    return False
