"""What tells a model's weights, or a folder of data, from others without reading all of it: for what is continued, perhaps much later."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import UserError, first_line
from .models.registry import resolve_name

WHOLE = 1 << 20
"""Files of up to this many bytes are read in full."""
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Of larger ones, so many pieces of so many bytes, evenly spaced: weights trained further have other bytes everywhere."""


def model_fingerprint(model: str) -> str:
    """A text that other weights, or another configuration of the same ones, do not share.

    Of a local folder: from the files of the pipeline's parts, their names, sizes and contents (samples of large ones). Of a hub id: the
    commit in the cache, "" when it is not there. Raises UserError when a file cannot be read.
    """
    source = resolve_name(model)
    if isinstance(source, str):
        return _hub_commit(source)
    try:
        return _fingerprint(source, _pipeline_files(source))
    except (OSError, ValueError) as error:
        raise UserError(f"model folder {source}: cannot be read ({first_line(error)})") from error


def weights_fingerprint(path: Path) -> str:
    """The same of a file, or of all files below a folder. Raises OSError."""
    if path.is_file():
        return _fingerprint(path.parent, [path])
    return _fingerprint(path, sorted(one for one in path.rglob("*") if one.is_file()))


def _fingerprint(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            for number in range(SAMPLES):
                file.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1), os.SEEK_SET)
                digest.update(file.read(SAMPLE_BYTES))
    return "sha256:" + digest.hexdigest()[:32]


def data_fingerprint(folder: Path) -> str:
    """A text for a folder of data, of any size: from the names and sizes of all files below it, without reading them. Files of the
    system, whose names begin with a dot, do not count."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode("utf-8", "surrogateescape"))
    return "sha256:" + digest.hexdigest()[:32]


def _pipeline_files(folder: Path) -> Iterator[Path]:
    """model_index.json, and all files of the parts that it lists, in the order of their names."""
    index = folder / "model_index.json"
    yield index
    for part in sorted(json.loads(index.read_text(encoding="utf-8"))):
        yield from sorted(p for p in (folder / part).rglob("*") if p.is_file())


def _hub_commit(hub_id: str) -> str:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "model_index.json")
    return f"commit:{Path(found).parent.name}" if isinstance(found, str) else ""
