"""Documents with one thing in them changed: JSON, JSON lines, TOML, YAML, CSV, XML and lists of lines. Bytes in, bytes out.

What cannot be parsed is damaged as text. All randomness is the caller's.
"""

from __future__ import annotations

import copy
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from .values import DEEP, any_value

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

DEEP_MARK, DIGITS_MARK, TWICE_MARK = "@deep@", "@digits@", "@twice@"


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below `node`."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        yield (*path, key)
        yield from places(value, (*path, key))


def damage(node: Any, rng: random.Random) -> Any:
    """A document with one value replaced, removed, doubled, renamed or moved. Marks stand for what json cannot write."""
    node = copy.deepcopy(node)
    found = list(places(node))
    if not found or rng.random() < 0.05:
        return rng.choice(([], {}, None, 5, "text", [node], {"x": node}, DEEP_MARK))
    *above, key = rng.choice(found)
    parent = node
    for step in above:
        parent = parent[step]
    what = rng.choice(("replace", "replace", "replace", "replace", "remove", "double", "rename", "swap", "mark", "wrap", "grow"))
    if what == "remove":
        del parent[key]
    elif what == "double" and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif what in ("rename", "double") and isinstance(parent, dict):
        value = parent[key] if what == "double" else parent.pop(key)
        parent[str(rng.choice(("", "__class__", f"{key} ", str(key).upper(), "unknown_key", TWICE_MARK + str(key))))] = value
    elif what == "swap":
        parent[key] = copy.deepcopy(value_at(node, rng.choice(found)))
    elif what == "mark":
        parent[key] = rng.choice((DEEP_MARK, DIGITS_MARK))
    elif what == "wrap":
        parent[key] = rng.choice(([parent[key]], {"x": parent[key]}, str(parent[key])))
    elif what == "grow" and isinstance(parent[key], (list, str)):
        parent[key] = parent[key] * rng.choice((2, 100, 3000))
    else:
        parent[key] = any_value(rng, parent[key])
    return node


def value_at(node: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        node = node[step]
    return node


def dump_json(node: Any) -> bytes:
    """JSON with the marks written out; numbers that are none (NaN) and halves of surrogate pairs as Python writes them."""
    text = json.dumps(node, ensure_ascii=False, default=str)
    text = text.replace(json.dumps(DEEP_MARK), "[" * DEEP + "]" * DEEP).replace(json.dumps(DIGITS_MARK), "9" * 5000)
    return text.replace(TWICE_MARK, "").encode("utf-8", "surrogatepass")


def json_document(data: bytes, rng: random.Random) -> bytes:
    return dump_json(damage(json.loads(data), rng))


def json_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(max(1, len(lines) - 1))
    lines[at] = dump_json(damage(json.loads(lines[at]), rng))
    return b"\n".join(lines)


def toml_document(data: bytes, rng: random.Random) -> bytes:
    import tomli_w

    table = damage(tomllib.loads(data.decode("utf-8")), rng)
    for path in list(places(table)):  # what TOML has no word for
        *above, key = path
        parent = value_at(table, tuple(above))
        value = parent[key]
        if value is None or (isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value)):
            parent[key] = ""
    text = tomli_w.dumps(table if isinstance(table, dict) else {"x": []})
    text = text.replace(json.dumps(DEEP_MARK), "[" * DEEP + "]" * DEEP).replace(json.dumps(DIGITS_MARK), "9" * 5000)
    return text.replace(TWICE_MARK, "").encode("utf-8", "replace")


def yaml_document(data: bytes, rng: random.Random) -> bytes:
    import yaml

    if rng.random() < 0.2:
        names = "abcdefghij"
        layers = [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise(names)]
        return b"a: &a [x, x, x]\n" + "\n".join(layers).encode() + b"\n" + data.replace(b"names:", b"names: *j\nothers:")
    return yaml.safe_dump(damage(yaml.safe_load(data), rng), allow_unicode=True).replace(DEEP_MARK, "[" * DEEP).encode("utf-8", "replace")


def csv_document(data: bytes, rng: random.Random) -> bytes:
    lines = data.decode("utf-8").splitlines()
    at = rng.randrange(len(lines))
    cells = lines[at].split(",")
    cell = str(any_value(rng, cells[0]))
    cells[rng.randrange(len(cells))] = cell if rng.random() < 0.5 else '"' + cell.replace('"', '""') + '"'
    if rng.random() < 0.3:
        cells = rng.choice((cells * 3, cells[:1], [], ['"'], [*cells, "", ""], ["x" * 200_000]))
    lines[at] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


ENDS = (b" ", b"\t", b"\x00", b"\r", b"\x1b[31m", b"\xff", b",")


def text_document(data: bytes, rng: random.Random) -> bytes:
    """Lines taken out, doubled, swapped, with other content or in another encoding."""
    lines = data.split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: b"\n".join(lines[:at] + lines[at + 1 :]),
        lambda: b"\n".join([*lines[:at], lines[at], *lines[at:]]),
        lambda: b"\n".join([*lines[:at], lines[other], *lines[at + 1 :]]),
        lambda: b"\n".join([*lines[:at], str(any_value(rng, "")).encode("utf-8", "surrogatepass"), *lines[at + 1 :]]),
        lambda: b"\n".join(
            [*lines[:at], lines[at] + rng.choice((b" ", b"\t", b"\x00", b"\r", b"\x1b[31m", b"\xff", b",")), *lines[at + 1 :]]
        ),
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data.replace(b"\n", b"\r"),
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: data.decode("utf-8", "replace").encode("latin-1", "replace") + b"\xe9",
        lambda: b"",
        lambda: b"\n" * 1000 + data,
        lambda: data * 300,
        lambda: re.sub(rb"\d+", lambda _: str(any_value(rng, 1)).encode("utf-8", "surrogatepass"), data, count=1),
    )
    return rng.choice(ways)()


DOCUMENTS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": json_document,
    ".jsonl": json_lines,
    ".toml": toml_document,
    ".yaml": yaml_document,
    ".csv": csv_document,
}


def damaged_document(suffix: str, data: bytes, rng: random.Random) -> bytes:
    """A text file of this suffix, with something in it changed."""
    if suffix in DOCUMENTS and rng.random() < 0.8:
        try:
            return DOCUMENTS[suffix](data, rng)
        except Exception:  # what is no document of its kind any more, or cannot be written as one
            return text_document(data, rng)
    return text_document(data, rng)
