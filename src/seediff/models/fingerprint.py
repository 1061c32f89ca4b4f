"""Fingerprints of weights, by which a continued run recognises whether its model is still the same. Large files are
read in part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ..errors import UserError, first_line
from ..files.label_maps import walk
from .hub import INDEX
from .locate import ModelFiles, locate_weights, read_index

WHOLE = 1 << 20
"""Files of up to this many bytes are read whole."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Number of pieces that are read of a larger file, and bytes of a piece. This is enough, because further training
changes bytes everywhere."""


def model_fingerprint(files: ModelFiles) -> str:
    """A text that identifies a model's weights and their configuration, and changes when either changes.

    For a local folder it is a digest of the parts' files. For a hub id it is the commit in the cache; "" if the cache
    has none. If a file or folder replaces some parts, its digest comes first. Raises UserError if a file cannot be
    read."""
    folder, fingerprints = files.folder, list[str]()
    try:
        replacing = files.network or (files.file and files.file.path)
        if replacing:
            fingerprints.append(content_fingerprint(replacing))
        if isinstance(files.whole, Path):
            fingerprints.append(digest_files(files.whole, _pipeline_files(files.whole)))
        else:
            fingerprints.append(f"commit:{folder.name}" if folder else "")
        return "+".join(fingerprints)
    except (OSError, ValueError) as error:
        raise UserError("model", f"{files.whole}: cannot be read ({first_line(error)})") from error


def weights_fingerprint(files: ModelFiles, **additions: str | None) -> str:
    """`model_fingerprint`, followed by a digest of each further file of weights. additions: option → path or hub id of
    its file, such as lora="style.safetensors"; None: not used. Raises UserError, with the option's name."""
    paths = [locate_weights(option, source) for option, source in additions.items() if source is not None]
    return "+".join([model_fingerprint(files), *map(content_fingerprint, paths)])


def content_fingerprint(path: Path) -> str:
    """A digest of a file, or of all files below a folder: of their names, sizes and contents. Raises OSError, and
    UserError for a folder that cannot be read."""
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
    the bytes of the file that count. Raises OSError."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        digest.update(content(path, size))
    return "sha256:" + digest.hexdigest()[:32]


def _pipeline_files(folder: Path) -> Iterator[Path]:
    """The paths of model_index.json and of the files of all parts in it, sorted. folder: the pipeline's."""
    yield folder / INDEX
    for part in sorted(read_index(folder)):
        yield from sorted(p for p in (folder / part).rglob("*") if p.is_file())
