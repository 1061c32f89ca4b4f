"""What tells a model's weights, or a folder of data, from others without reading all of it: for what is continued, perhaps much later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.documents import read_json
from ..files.reading import SETTINGS
from .adapters import weight_file
from .sources import find_source

WHOLE = 1 << 20
"""Files of up to this many bytes are read in full."""
LISTS = (".txt", ".json", ".jsonl", ".yaml", ".csv")
"""Files that say what a folder of data holds, whose contents may change while their size does not."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Of larger ones, so many pieces of so many bytes, evenly spaced: weights trained further have other bytes everywhere."""


def model_fingerprint(model: str, base: str | None = None) -> str:
    """A text that other weights, or another configuration of the same ones, do not share.

    Of a local folder: from the files of the pipeline's parts, their names, sizes and contents (samples of large ones). Of a hub id: the
    commit in the cache, "" when it is not there. Of a single file or part: its own, then its base's. Raises UserError when a file cannot
    be read.
    """
    source = find_source(model, base)
    paths = source.checkpoint.contents if source.checkpoint else ()
    try:
        whole = _hub_commit(source.whole) if isinstance(source.whole, str) else _fingerprint(source.whole, _pipeline_files(source.whole))
        return "+".join([*map(content_fingerprint, paths), whole])
    except (OSError, ValueError) as error:
        raise UserError(f"model {source.whole}: cannot be read ({first_line(error)})") from error


def weights_fingerprint(model: str, base: str | None = None, *adapters: str | None) -> str:
    """`model_fingerprint`, and of what is loaded on top of it, in this order; as it is where there is nothing."""
    added = [content_fingerprint(weight_file("adapter", source)) for source in adapters if source is not None]
    return "+".join([model_fingerprint(model, base), *added])


def content_fingerprint(path: Path) -> str:
    """The same of a file, or of all files below a folder. Raises OSError."""
    return _fingerprint(path.parent, [path]) if path.is_file() else _fingerprint(path, _files_below(path))


def data_fingerprint(folder: Path) -> str:
    """A text for a folder of data, of any size: from the names and sizes of all files below it, and the contents of small lists and
    tables, but no picture is read. Raises OSError."""
    digest = hashlib.sha256()
    for path in _files_below(folder):
        size = path.stat().st_size
        digest.update(_named(path, folder, size))
        if path.suffix in LISTS and size <= WHOLE:
            digest.update(path.read_bytes())
    return "sha256:" + digest.hexdigest()[:32]


def _files_below(folder: Path) -> list[Path]:
    """All files below a folder, also behind links, in the order of their paths; none whose name or folder begins with a dot, for these
    are the system's."""
    paths, seen = [], set()
    for at, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        paths += [] if real in seen else [Path(at, name) for name in files if not name.startswith(".")]
        seen.add(real)
    return sorted(path for path in paths if path.is_file())


def _named(path: Path, folder: Path, size: int) -> bytes:
    return f"{path.relative_to(folder).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape")


def _fingerprint(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(_named(path, folder, size))
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            for number in range(SAMPLES):
                file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1), os.SEEK_SET)
                digest.update(file.read(SAMPLE_BYTES))
    return "sha256:" + digest.hexdigest()[:32]


def _pipeline_files(folder: Path) -> Iterator[Path]:
    """model_index.json, and all files of the parts that it lists, in the order of their names."""
    index = folder / "model_index.json"
    yield index
    for part in sorted(read_json(index, dict[str, Any], limit=SETTINGS)):
        yield from sorted(p for p in (folder / part).rglob("*") if p.is_file())


def _hub_commit(hub_id: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(hub_id, "model_index.json")
    return f"commit:{Path(index).parent.name}" if isinstance(index, str) else ""
