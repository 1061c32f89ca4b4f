"""Compares the files of two folders, and says what differs in them: which field of a row, or which tensor."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FREE = {
    "*/seediff.toml": "names the version, and says where values are from",
    "*/README.md": "text for people, with the version",
    "*/preview.html": "text for people, with the version",
    "table/work/*": "keys of the configurations' text; what is measured is in results.json",
}
"""Files that may differ, and why. Both trees must still write them."""
TIMES = re.compile(r"(seconds|minutes)(\[\d+\])?$")
"""Parts of a results.json that are never equal."""
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
    files = sorted(before | after)
    compared = [
        one for one in files if one not in before & after or not any(fnmatch.fnmatch(one, free) for free in FREE)
    ]
    found: defaultdict[str, list[str]] = defaultdict(list)  # kind of difference → an example from each file
    differing = 0
    for file in compared:
        contents = [(root / file).read_bytes() if (root / file).is_file() else b"" for root in (old, new)]
        differs = differences(file, *contents)
        if file not in before & after:
            differs = {"": f"only in {'OLD' if file in before else 'NEW'}"}
        differing += bool(differs)
        for kind, example in differs.items():
            found[kind].append(f"{file}: {example}")
    lines = [of[0] + (f" (and so in {len(of) - 1} other files)" if len(of) > 1 else "") for of in found.values()]
    return len(compared), differing, lines


def differences(file: str, before: bytes, after: bytes) -> dict[str, str]:
    """What differs between two versions of a file: each kind with an example; empty if they have the same content."""
    before, after = (METHOD_FILE.sub(rb"\1", data) for data in (before, after))
    if before == after:
        return {}
    old = parts(file, before)
    new = parts(file, after)
    results = Path(file).name == "results.json"
    found: dict[str, str] = {}
    for key in dict.fromkeys((*old, *new)):
        values = [f"{some.get(key, 'nothing')}" for some in (old, new)]
        if values[0] != values[1] and not (results and TIMES.search(key)):
            found.setdefault(NUMBER.sub("[]", key), f"{key}: {values[0]:.60} → {values[1]:.60}")
    if not found and file.endswith((".json", ".jsonl")) and not results:
        found[""] = "the same values in other bytes (order or spacing)"
    return found


def parts(file: str, data: bytes) -> dict[str, Any]:
    """What a file consists of: each part under a name for people."""
    suffix = Path(file).suffix.lower()
    if not data:
        return {}
    if data.startswith(b"\x89PNG"):
        return _png(data)
    if suffix == ".safetensors":
        return dict(_safetensors(data))
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


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values in nested lists and dictionaries, each under its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}" if name else key, item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _flat(f"{name}[{number}]", item)
        yield f"length of {name}", len(value)
    else:
        yield name, value
