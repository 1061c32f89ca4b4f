"""Damaged versions of files, for tests of everything that reads files; the same in every run."""

import json
import struct

from seediff.errors import UserError

DEEP, DIGITS = 10_000, 5_000
VALUES = {
    "null": None,
    "true": True,
    "a number": 5,
    "a huge number": 2**63 - 1,
    "a fraction": 0.5,
    "a text": "none of this",
    "an escape sequence": "\x1b[31mred\x07",
    "an empty text": "",
    "an empty list": [],
    "a list of numbers": [1, -2, 3],
    "an empty table": {},
    "a table": {"a": {"b": [1]}},
}
"""Values of every type, to replace a value of another type."""
RAW = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "lone surrogate": '"\\ud800"',
    "10,000 lists": "[" * DEEP + "]" * DEEP,
    "a list that never ends": "[" * DEEP,
    "nothing": "",
}
"""Text to replace a value, which no writer of JSON should produce."""
BYTES = {
    "empty": b"",
    "zeros": b"\0" * 512,
    "not UTF-8": b"\xff\xfe\x80" * 100,
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    "a script": b"#!/bin/sh\necho no\n",
}
"""Contents of entirely different kinds of files."""


def refusal(read, path):
    """The error that reading a damaged file raises, checked to be short and to name the file; None if the file can be
    read. Other errors fail the test."""
    try:
        read()
    except UserError as error:
        text = str(error)
        assert str(path) in text, text
        assert len(text) < 600, text
        return text
    return None


def truncations(data, count=12):
    """The data cut off at `count` evenly spaced places, the first at its beginning."""
    for number in range(count):
        at = number * (len(data) - 1) // max(count - 1, 1)
        yield f"cut at {at} of {len(data)}", data[:at]


def json_damages(document):
    """A JSON document with each of its parts, in turn, left out, replaced by values of every type, and replaced by text
    that is no JSON. Of each list, only the first item is damaged. Then the document cut off, and other files in its
    place."""
    for path in _paths(document):
        name = ".".join(map(str, path)) or "all"
        if path and isinstance(_at(document, path[:-1]), dict):
            yield f"{name} left out", _dumped(_replaced(document, path, _Gone))
        for kind, value in VALUES.items():
            yield f"{name} is {kind}", _dumped(_replaced(document, path, value))
        for kind, text in RAW.items():
            marked = json.dumps(_replaced(document, path, "@here@"), ensure_ascii=True)
            yield f"{name} is {kind}", marked.replace('"@here@"', text).encode()
    for kind, data in BYTES.items():
        yield f"all is {kind}", data
    whole = _dumped(document)
    yield from truncations(whole)


class _Gone:
    pass


def _dumped(document):
    return json.dumps(document).encode()


def _paths(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:1] if isinstance(value, list) else ()
    for key, one in inner:
        yield from _paths(one, (*path, key))


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def _replaced(value, path, part):
    if not path:
        return part
    if isinstance(value, dict):
        changed = {k: _replaced(v, path[1:], part) if k == path[0] else v for k, v in value.items()}
        return {k: v for k, v in changed.items() if v is not _Gone}
    return [_replaced(v, path[1:], part) if i == path[0] else v for i, v in enumerate(value)]


def tensor_file(header, data):
    """A safetensors file of this header, and of these bytes as its tensors, valid or not."""
    return struct.pack("<Q", len(header)) + header + data


def tensor_damages(whole):
    """A safetensors file cut off, lengthened, with another length of header, with each entry of its header damaged; and
    other files.
    """
    yield from truncations(whole)
    yield "longer", whole + b"\0"
    for length in (0, 1, 2**31, 2**63 - 1, 2**64 - 1):
        yield f"a header of {length}", struct.pack("<Q", length) + whole[8:]
    size = int.from_bytes(whole[:8], "little")
    header, data = json.loads(whole[8 : 8 + size]), whole[8 + size :]
    for name, damaged in json_damages(header):
        yield f"header: {name}", tensor_file(damaged, data)
    for kind, content in BYTES.items():
        yield f"all is {kind}", content
