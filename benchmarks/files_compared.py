"""Compares the files of two folders, and says what differs in them: which field of a row, which tensor, which member of
an archive.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FREE = {
    "*/seediff.toml": "names the version, and says where values are from",
    "*/README.md": "text for people, with the version",
    "*/preview.html": "text for people, with the version",
    "table/work/*": "keys of the configurations' text; what is measured is in results.json",
    "table/results/results.csv": "minutes; its figures are those of results.json",
}
"""Files that may differ, and why. Both trees must still write them."""
TIMES = re.compile(r"(seconds|minutes)(\[\d+\])?$")
"""Parts of a results.json that are never equal."""
SHOWN = 12
"""Kinds of differences that are printed of one command."""
METHOD_FILE = re.compile(rb"(\w+)\.py:\1@[0-9a-f]{12}")
"""A method's name where it is a file, which is compared as the method: `fa_seg.py:fa_seg@0123456789ab`."""
NUMBER = re.compile(r"\[\d+\]")
"""The number of an item in a part's name."""


def compare(old: Path, new: Path, out: str) -> tuple[int, int, list[str]]:
    """Compare the files under `out` of two folders: how many were compared, how many of them differ, and lines that say
    what differs.
    """
    before, after = (
        {path.relative_to(root).as_posix() for path in [root / out, *(root / out).rglob("*")] if path.is_file()}
        for root in (old, new)
    )
    same: defaultdict[str, list[str]] = defaultdict(list)  # what differs → the files in which it does
    compared = 0
    for file in sorted(before | after):
        if file not in before or file not in after:
            same[f"only in {'OLD' if file in before else 'NEW'}"].append(file)
            compared += 1
        elif not any(fnmatch.fnmatch(file, pattern) for pattern in FREE):
            compared += 1
            for line in differences(file, (old / file).read_bytes(), (new / file).read_bytes()):
                same[line].append(file)
    lines = [f"{_names(files)}: {line}" for line, files in same.items()]
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return compared, len({file for files in same.values() for file in files}), lines[:SHOWN] + more


def _names(files: list[str]) -> str:
    return files[0] if len(files) == 1 else f"{len(files)} files ({files[0]}, …)"


def differences(file: str, before: bytes, after: bytes) -> list[str]:
    """What differs between two versions of a file; empty if they have the same content."""
    before, after = (METHOD_FILE.sub(rb"\1", data) for data in (before, after))
    if before == after:
        return []
    old, new = parts(file, before), parts(file, after)
    for unwanted in [key for key in (*old, *new) if Path(file).name == "results.json" and TIMES.search(key)]:
        old.pop(unwanted, None)
        new.pop(unwanted, None)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for key in dict.fromkeys((*old, *new)):
        if old.get(key, ...) != new.get(key, ...):
            what = "only in OLD" if key not in new else "only in NEW" if key not in old else "differs"
            found[NUMBER.sub("[]", key) + f" {what}"].append(key)
    lines = []
    for what, keys in found.items():
        example = f", {_short(old[keys[0]])} → {_short(new[keys[0]])}" if what.endswith("differs") else ""
        lines.append(what + (f" ({len(keys)} times)" if len(keys) > 1 else "") + example)
    if not lines and file.endswith((".json", ".jsonl")) and Path(file).name != "results.json":
        lines = ["the same values in other bytes (order or spacing)"]
    return lines


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def parts(file: str, data: bytes) -> dict[str, Any]:
    """What a file consists of: each part under a name for people."""
    suffix = Path(file).suffix.lower()
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if suffix == ".safetensors":
        return dict(_safetensors(data))
    if suffix in (".tar", ".zip"):
        members = dict(_members(suffix, data))
        inside = {f"{name}: {key}": value for name, held in members.items() for key, value in parts(name, held).items()}
        return {"order of members": hashed("\n".join(members).encode()), **inside}
    if suffix == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(io.BytesIO(data))
        about = {key.decode(): value.decode(errors="replace") for key, value in (table.schema.metadata or {}).items()}
        schema = {f"type of column {field.name}": str(field.type) for field in table.schema}
        return {**schema, **dict(_flat("metadata", about)), **dict(_flat("rows", table.to_pylist()))}
    try:
        text = data.decode("utf-8")
        if suffix == ".json":
            return dict(_flat("", json.loads(text)))
        if suffix == ".jsonl":
            return dict(_flat("row", [json.loads(line) for line in text.splitlines()]))
        return {f"line [{number}]": line for number, line in enumerate(text.splitlines(keepends=True))}
    except ValueError:
        return {"bytes": hashed(data)}


def hashed(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _png(data: bytes) -> dict[str, Any]:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        image.load()
        palette = hashed(bytes(image.getpalette() or ())) if image.mode == "P" else None
        return {"mode": image.mode, "size": image.size, "palette": palette, "pixels": hashed(image.tobytes())}


def _safetensors(data: bytes) -> Iterator[tuple[str, Any]]:
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    for key, text in header.pop("__metadata__", {}).items():
        try:
            yield from _flat(f"header {key}", json.loads(text))
        except ValueError:
            yield f"header {key}", text
    for name, about in header.items():
        start, end = about["data_offsets"]
        yield f"tensor {name}", (about["dtype"], *about["shape"], hashed(values[start:end]))


def _members(suffix: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    else:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            yield from ((member.name, file.read()) for member in archive if (file := archive.extractfile(member)))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values in nested lists and dictionaries, each under its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else key, item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flat(f"{name}[{number}]", item)
        yield f"length of {name}", len(value)
    elif isinstance(value, bytes):
        yield from ((f"{name}: {key}", part) for key, part in parts("", value).items())
    else:
        yield name, value
