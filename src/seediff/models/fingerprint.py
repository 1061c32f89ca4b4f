"""Fingerprints of weights, without reading all bytes: a continued run must use the same files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import UserError, first_line
from .adapters import weight_file
from .hub import INDEX, local_folder, read_index
from .sources import Source

WHOLE = 1 << 20
"""Files of up to this many bytes are read in full."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Pieces read from a larger file, and bytes per piece: further training changes bytes everywhere."""


def model_fingerprint(source: Source) -> str:
    """A text that differs for other weights, and for another configuration of the same weights.

    Of a local folder it is the digest of its parts' files; of a hub id the commit in the cache, "" if there is none; of
    a single file or part its digest, then the fingerprint of its base. Raises UserError if a file cannot be read.
    """
    paths = [source.checkpoint.path] if source.checkpoint else []
    if source.network:
        paths.append(source.network)
    try:
        if isinstance(source.whole, str):
            folder = local_folder(source.whole)
            whole = f"commit:{folder.name}" if folder else ""
        else:
            whole = digest_files(source.whole, _pipeline_files(source.whole))
        return "+".join([*map(content_fingerprint, paths), whole])
    except (OSError, ValueError) as error:
        raise UserError("model", f"{source.whole}: cannot be read ({first_line(error)})") from error


def weights_fingerprint(source: Source, *adapters: str | None) -> str:
    """`model_fingerprint`, followed by the digests of the adapters' weight files; None is skipped."""
    added = [content_fingerprint(weight_file("adapter", adapter)) for adapter in adapters if adapter is not None]
    return "+".join([model_fingerprint(source), *added])


def content_fingerprint(path: Path) -> str:
    """A digest of a file, or of all files below a folder: names, sizes and contents (samples of large files). Raises
    OSError.
    """
    if path.is_file():
        return digest_files(path.parent, [path])
    return digest_files(path, files_below(path))


def _samples(path: Path, size: int) -> bytes:
    """A file's bytes, or evenly spaced samples of a large one's."""
    with path.open("rb") as file:
        if size <= WHOLE:
            return file.read()
        read = []
        for number in range(SAMPLES):
            file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            read.append(file.read(SAMPLE_BYTES))
        return b"".join(read)


def digest_files(folder: Path, files: Iterable[Path], content: Callable[[Path, int], bytes] = _samples) -> str:
    """A digest of the names and sizes of files in a folder, and of what `content` gives of each. Raises OSError."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        digest.update(content(path, size))
    return "sha256:" + digest.hexdigest()[:32]


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, also through links, sorted by path, except those whose names begin with a dot."""
    paths, seen = [], set()
    for at, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        paths += [] if real in seen else [Path(at, name) for name in files if not name.startswith(".")]
        seen.add(real)
    return sorted(path for path in paths if path.is_file())


def _pipeline_files(folder: Path) -> Iterator[Path]:
    """model_index.json, then all files of the parts that it lists, sorted by name."""
    yield folder / INDEX
    for part in sorted(read_index(folder)):
        yield from sorted(p for p in (folder / part).rglob("*") if p.is_file())
