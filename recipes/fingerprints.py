"""Digests of files, by which figures are recognised as outdated. Large files are read in part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from seediff.files.photo_files import walk
from seediff.models.locate import read_index, resolve_name

WHOLE = 1 << 20
"""Files of up to this many bytes are read whole."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Number of pieces that are read of a larger file, and bytes of a piece."""


def model_fingerprint(name: str) -> str:
    """A digest of the parts' files of an embedded model."""
    folder = Path(str(resolve_name(name)))
    parts = [p for part in sorted(read_index(folder)) for p in sorted((folder / part).rglob("*")) if p.is_file()]
    return digest_files(folder, [folder / "model_index.json", *parts])


def content_fingerprint(path: Path) -> str:
    """A digest of a file, or of all files below a folder: of their names, sizes and contents."""
    if path.is_file():
        return digest_files(path.parent, [path])
    return digest_files(path, sorted(filter(Path.is_file, walk(path))))


def _samples(path: Path, size: int) -> bytes:
    """The bytes of a file; of a large file, the bytes of evenly spaced pieces. size: the file's bytes."""
    with path.open("rb") as file:
        if size <= WHOLE:
            return file.read()
        read = []
        for number in range(SAMPLES):
            file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            read.append(file.read(SAMPLE_BYTES))
        return b"".join(read)


def digest_files(folder: Path, files: Iterable[Path], content: Callable[[Path, int], bytes] = _samples) -> str:
    """A digest of the names, sizes and contents of files. folder: the names are relative to it. content: (path, size) →
    the bytes of the file that count."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        digest.update(content(path, size))
    return "sha256:" + digest.hexdigest()[:32]
