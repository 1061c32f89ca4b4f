"""A case as data: a command, changes of its valid inputs, and what is unusual about the place that it runs in.

What cannot be made again from its description is no case. tests/corpus/ holds those that failed once, a small file each:

{"why": "what went wrong", "command": "check native", "edits": [{"kind": "write", "path": "in/native/classes.txt", "text": "…"}],
 "code": 2, "says": "what its one line on stderr begins with; nothing where it succeeds"}
with, where they are needed, the other fields of `Case`.

Paths are relative to the case's folder: `in/` holds the inputs, `work/` is where `--out` goes, and `secret/` is what nobody may write to
or copy from. In `to` of a link, `{case}` is the case's folder.
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
"""MiB that a case may need beyond what the imports do: a picture of 96 megapixels, which is taken, needs most of them."""
Kind = Literal["write", "append", "remove", "rename", "copy", "link", "fifo", "socket", "folder", "sparse", "repeat"]


@dataclass(frozen=True)
class Edit:
    """write, append: `data` to a file. repeat: a file of `data` `size` times, for what would be large here. sparse: a file of `size`
    bytes without content. rename, copy: to the path `to`. link: symbolic, to `to`, whatever that is. remove: a file or folder.
    fifo, socket, folder: made. What was there is removed first, and folders above are made."""

    kind: Kind
    path: str
    data: bytes = b""
    to: str = ""
    size: int = 0

    def apply(self, case: Path) -> None:
        """Make the change below the folder `case`. A change that cannot be made, such as of a file below another, is none."""
        with suppress(OSError, ValueError):
            self._apply(case, case / os.fsdecode(os.fsencode(self.path)))

    def _apply(self, case: Path, target: Path) -> None:
        if self.kind in ("rename", "copy"):
            other = case / self.to
            other.parent.mkdir(parents=True, exist_ok=True)
            if self.kind == "rename":
                target.rename(other)
            elif target not in other.parents:  # it would be copied into its own copy, and that into its own
                shutil.copytree(target, other, symlinks=True) if target.is_dir() else shutil.copyfile(target, other)
            return
        if self.kind == "append":
            with target.open("ab") as file:
                file.write(self.data)
            return
        if target.is_symlink() or target.is_file() or target.is_fifo():
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
        """For JSON: text where the data is text, else base64, compressed where that is shorter."""
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
        """What `table` wrote."""
        data = str(table.get("text", "")).encode("utf-8")
        if "base64" in table:
            data = base64.b64decode(table["base64"])
        if "zlib" in table:
            data = zlib.decompress(base64.b64decode(table["zlib"]))
        return cls(table["kind"], table["path"], data, table.get("to", ""), table.get("size", 0))


@dataclass(frozen=True)
class Case:
    """why: what went wrong. words: after the command's own. around: "full stdout", "closed stdout", "ascii stdout", "small disk" or
    nothing. memory: MiB that it may need. code, says: the expected exit code and the beginning of the expected line, the case's folder
    written CASE; None where any will do."""

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
        """As the corpus has it, with what it is expected to end with."""
        given = {"words": list(self.words), "around": self.around, "memory": self.memory if self.memory != MEMORY else 0}
        table = {"why": self.why, "command": self.command, **{name: value for name, value in given.items() if value}}
        table |= {"edits": [edit.table() for edit in self.edits], "code": code, "says": says if code == 2 else ""}
        return json.dumps(table, ensure_ascii=True, indent=1) + "\n"
