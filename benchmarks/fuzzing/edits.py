"""One change of a case's files, as data: what cannot be made again from its description is no case.

Paths are relative to the case's folder, of which `in/` holds the inputs, `work/` is where `--out` goes and `secret/` is what nobody
may write to or copy from: links lead there. In `to` of a link, `{case}` is the case's folder.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
        target = case / os.fsdecode(os.fsencode(self.path))
        with suppress(OSError, ValueError):
            self._apply(case, target)

    def _apply(self, case: Path, target: Path) -> None:
        if self.kind in ("rename", "copy"):
            other = case / self.to
            other.parent.mkdir(parents=True, exist_ok=True)
            if self.kind == "copy":
                if target in other.parents:  # it would be copied into its own copy, and that into its own
                    return
                shutil.copytree(target, other, symlinks=True) if target.is_dir() else shutil.copyfile(target, other)
            else:
                target.rename(other)
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
        if self.kind == "write":
            target.write_bytes(self.data)
        elif self.kind == "repeat":
            target.write_bytes(self.data * self.size)
        elif self.kind == "link":
            target.symlink_to(self.to.replace("{case}", str(case)))
        elif self.kind == "fifo":
            os.mkfifo(target)
        elif self.kind == "socket":
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(target))
        elif self.kind == "folder":
            target.mkdir(exist_ok=True)
        elif self.kind == "sparse":
            with target.open("wb") as file:
                file.truncate(self.size)

    def table(self) -> dict[str, Any]:
        """For JSON: text where the data is text, else base64, compressed where that is shorter."""
        table: dict[str, Any] = {"kind": self.kind, "path": self.path}
        if self.to:
            table["to"] = self.to
        if self.size:
            table["size"] = self.size
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

    def __str__(self) -> str:
        if self.kind in ("rename", "copy", "link"):
            return f"{self.kind} {self.path!r} → {self.to}"
        if self.kind in ("write", "append", "repeat"):
            times = f" × {self.size}" if self.kind == "repeat" else ""
            shown = self.data[:300]
            return f"{self.kind} {self.path!r}: {shown!r}{' …' if len(self.data) > 300 else ''} ({len(self.data)} bytes{times})"
        return f"{self.kind} {self.path!r}" + (f" of {self.size} bytes" if self.size else "")
