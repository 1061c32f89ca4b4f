"""Damaged versions of files, for tests of everything that reads files; the same in every run."""

from seediff.errors import UserError

DEEP, DIGITS = 10_000, 5_000


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
