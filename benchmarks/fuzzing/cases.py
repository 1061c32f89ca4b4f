"""A case as data: a command, changes to its valid inputs, and unusual surroundings.

Every case can be made again from its description. tests/corpus/ holds cases that once failed, each in a small file:

{"why": "what went wrong", "command": "check native", "edits": [{"kind": "write", "path": "in/native/classes.txt", "text": "…"}],
 "code": 2, "says": "the beginning of its one line on stderr; empty if it succeeds"}
and other fields of `Case` where they are needed.

Paths are relative to the case's folder: `in/` holds the inputs, `work/` is where `--out` goes, and nothing may write to or copy from
`secret/`. In `to` of a link, `{case}` is the case's folder.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MEMORY = 2560
"""MiB that a case may need beyond the imports. A picture of 96 megapixels, which is accepted, needs most of them."""
Kind = Literal["write", "append", "remove", "rename", "copy", "link", "fifo", "socket", "folder", "sparse", "repeat"]


@dataclass(frozen=True)
class Edit:
    """A change to a case's folder. Kinds:

    write, append: `data` to a file. repeat: a file of `data` repeated `size` times, for large content. sparse: a file of `size` bytes
    without content. rename, copy: to the path `to`. link: a symbolic link to `to`, whatever that is. remove: a file or folder is removed.
    fifo, socket, folder: one is made. Except for append, rename and copy, what is at `path` is removed first, and folders above are made.
    """

    kind: Kind
    path: str
    data: bytes = b""
    to: str = ""
    size: int = 0

    def apply(self, case: Path) -> None:
        """Make the change below the folder `case`. A change that cannot be made, such as a file below another file, is skipped."""
        with suppress(OSError, ValueError):
            self._apply(case, case / os.fsdecode(os.fsencode(self.path)))

    def _apply(self, case: Path, target: Path) -> None:
        if self.kind in ("rename", "copy"):
            other = case / self.to
            other.parent.mkdir(parents=True, exist_ok=True)
            if self.kind == "rename":
                target.rename(other)
            elif target not in other.parents:  # otherwise the folder would be copied into itself without end
                shutil.copytree(target, other, symlinks=True) if target.is_dir() else shutil.copyfile(target, other)
            return
        if self.kind == "append":
            with target.open("ab") as file:
                file.write(self.data)
            return
        if target.is_symlink() or target.is_file() or target.is_fifo() or target.is_socket():
            target.unlink()
        elif target.is_dir() and self.kind != "folder":
            shutil.rmtree(target)
        if self.kind == "remove":
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.kind in ("write", "repeat"):
            target.write_bytes(self.data * max(1, self.size))
        elif self.kind == "link":
            target.symlink_to(self.to.replace("{case}", str(case)))
        elif self.kind == "fifo":
            os.mkfifo(target)
        elif self.kind == "socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(target))
        elif self.kind == "folder":
            target.mkdir(exist_ok=True)
        elif self.kind == "sparse":
            with target.open("wb") as file:
                file.truncate(self.size)

    def table(self) -> dict[str, Any]:
        """The edit as a JSON object. Data is text if it is short UTF-8, otherwise base64, compressed if that is shorter."""
        table: dict[str, Any] = {"kind": self.kind, "path": self.path}
        table |= {"to": self.to} if self.to else {}
        table |= {"size": self.size} if self.size else {}
        if self.kind in ("write", "append", "repeat"):
            with suppress(UnicodeDecodeError):
                text = self.data.decode("utf-8")
                if len(text) < 2000 and text.encode() == self.data:
                    return {**table, "text": text}
            packed = zlib.compress(self.data, 9)
            key, data = ("zlib", packed) if len(packed) < len(self.data) else ("base64", self.data)
            table[key] = base64.b64encode(data).decode("ascii")
        return table

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Edit:
        """The edit that `table` wrote."""
        data = str(table.get("text", "")).encode("utf-8")
        if "base64" in table:
            data = base64.b64decode(table["base64"])
        if "zlib" in table:
            data = zlib.decompress(base64.b64decode(table["zlib"]))
        return cls(table["kind"], table["path"], data, table.get("to", ""), table.get("size", 0))


@dataclass(frozen=True)
class Case:
    """A command and what is done to it. why: what went wrong. words: added to the command's line. around: "full stdout", "closed stdout",
    "ascii stdout", "small disk" or "". memory: MiB that it may need. code, says: the expected exit code and the beginning of the expected
    line, with CASE for the case's folder; code None: any end will do."""

    command: str
    why: str = ""
    edits: tuple[Edit, ...] = ()
    words: tuple[str, ...] = ()
    around: str = ""
    memory: int = MEMORY
    code: int | None = None
    says: str = ""

    @classmethod
    def read(cls, path: Path) -> Case:
        table = json.loads(path.read_text(encoding="ascii"))
        edits = tuple(Edit.from_table(edit) for edit in table["edits"])
        return cls(**{**table, "edits": edits, "words": tuple(table.get("words", ()))})

    def text(self, code: int, says: str) -> str:
        """The text of the case's file in the corpus. code, says: the end to expect."""
        given = {"words": list(self.words), "around": self.around, "memory": self.memory if self.memory != MEMORY else 0}
        table = {"why": self.why, "command": self.command, **{name: value for name, value in given.items() if value}}
        table |= {"edits": [edit.table() for edit in self.edits], "code": code, "says": says if code == 2 else ""}
        return json.dumps(table, ensure_ascii=True, indent=1) + "\n"
