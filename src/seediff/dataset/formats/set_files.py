"""`SetFiles`: reads the files of a set in another format, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...files.image_files import read_pixels
from ...files.reading import (
    ABSENT,
    Json,
    Node,
    inside,
    parse_json,
    read_bytes,
    read_lines,
    read_text,
    read_xml,
    read_yaml,
    real,
)

T = TypeVar("T")


@dataclass(frozen=True)
class SetFiles:
    """Reads the files of a set. Each method raises UserError for a file that cannot be read, that is not of the wanted
    kind, or that lies outside of the set, also after following links.

    Codecs read files in no other way, so that foreign files cannot bring in anything else.
    """

    named: Path
    """The folder or file that the user named."""
    others: Sequence[Path] = ()
    """Other folders that the user named, such as that of the pictures."""

    @property
    def folder(self) -> Path:
        """`named` itself, or the folder of the file."""
        return self.named if self.named.is_dir() else self.named.parent

    def holds(self, path: Path) -> bool:
        """Whether a file may be read."""
        if path == self.named:
            return True
        return any(real(path).is_relative_to(root) for root in self._roots)

    @cached_property
    def _roots(self) -> list[Path]:
        """The folders whose files may be read, after following links."""
        return [real(folder) for folder in (self.folder, *self.others)]

    def inside(self, path: Path) -> Path:
        """The path itself, of a file that may be read."""
        with suppress(OSError, ValueError):  # a path that no file can have
            if self.holds(path):
                return path
        return inside(self.folder, path)

    def text(self, path: Path) -> str:
        """The text of a UTF-8 file."""
        return read_text(self.inside(path))

    def lines(self, path: Path) -> list[str]:
        """The lines of a UTF-8 file, as `read_lines` returns them."""
        return read_lines(self.inside(path))

    def json(self, path: Path, kind: type[T], *, strict: bool = True) -> T:
        """The JSON document in a file, as a `kind`. strict: as for `parse_json`."""
        return parse_json(read_bytes(self.inside(path)), kind, str(path), strict=strict)

    def yaml(self, path: Path) -> Json:
        """The content of a YAML file, as `read_yaml` returns it."""
        return read_yaml(self.inside(path))

    def xml(self, path: Path, root: str, *, absent: str = ABSENT) -> Node:
        """The root element of an XML file. root, absent: as for `read_xml`."""
        return read_xml(self.inside(path), root, absent=absent)

    def pixels(self, path: Path) -> tuple[np.ndarray, str | None, str]:
        """(pixels, format, mode) of a picture, as `read_pixels` returns them."""
        return read_pixels(self.inside(path))


def pixels_in(data: bytes, where: str) -> tuple[np.ndarray, str]:
    """(pixels, mode) of a picture, as `stored_pixels` returns them. data: its bytes. where: its name in errors. Raises
    UserError."""
    pixels, _, mode = read_pixels(data, where)
    return pixels, mode
