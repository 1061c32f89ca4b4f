"""Damaged versions of files, for tests of everything that reads files; the same in every run."""

import json
import re
import struct

from seediff.errors import UserError

DEEP, DIGITS = 10_000, 5_000
VALUES = (
    *("null", "true", "5", str(2**63 - 1), "0.5", '"none of this"', '"\\u001b[31mred\\u0007"', '""'),
    *("[]", "[1, -2, 3]", "{}", '{"a": {"b": [1]}}'),
    *("NaN", "Infinity", '"\\ud800"', "[" * DEEP + "]" * DEEP, "[" * DEEP, ""),
)
"""JSON of every type, and text that no writer of JSON should produce."""
PARTS = (r'"[^"]*": ', r'"[^"]*"', r"[\d.]+", r"\{[^{}]*\}", r"\[[^\[\]]*\]", r'"\w+": [^,{}\[\]]*,? ?', r".+")
"""Parts of a JSON document: keys, texts, numbers, inner tables and lists, entries, and all."""
BYTES = (
    b"",
    b"\0" * 512,
    b"\xff\xfe\x80" * 100,
    b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    b"#!/bin/sh\necho no\n",
)
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
    return [data[: number * (len(data) - 1) // (count - 1)] for number in range(count)]


def json_damages(document):
    """A JSON document with each of its parts, in turn, replaced by VALUES; then the document cut off, and other files
    in its place."""
    text = json.dumps(document)
    for part in PARTS:
        for found in re.finditer(part, text):
            for value in VALUES:
                yield (text[: found.start()] + value + text[found.end() :]).encode()
    yield from (*truncations(text.encode()), *BYTES)


def tensor_damages(whole):
    """A safetensors file cut off, lengthened, with another length of header, with its header damaged; and other
    files."""
    yield from (*truncations(whole), whole + b"\0", *BYTES)
    for length in (0, 1, 2**31, 2**63 - 1, 2**64 - 1):
        yield struct.pack("<Q", length) + whole[8:]
    size = int.from_bytes(whole[:8], "little")
    for header in json_damages(json.loads(whole[8 : 8 + size])):
        yield struct.pack("<Q", len(header)) + header + whole[8 + size :]
