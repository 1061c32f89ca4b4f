"""The one error that a user caused, and how errors of other libraries are told in its line."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The command line prints its text as one line and exits with code 2; nothing half-written is left."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind when it says nothing: another library's error, told inside one of our lines."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def system_reason(error: OSError) -> str:
    """What the system refused and of which file, for a line."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
