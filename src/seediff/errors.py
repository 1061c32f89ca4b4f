"""`UserError`, the error for user mistakes, `Notice`, and one-line forms of other libraries' errors."""

from __future__ import annotations

import re
from collections.abc import Iterator

CLASS = re.compile(r"^((\w+\.)*[A-Z]\w*(Error|Exception): *)+")
"""Matches names of errors' classes at the beginning of a line."""
LONGEST = 300
"""Characters of another library's text in a message."""


class UserError(Exception):
    """Bad input. The command line prints the error as one line and exits with code 2. Nothing half-written is left.

    subject: the file, folder or field. problem: what is wrong with it. fix: what would be right. A whole sentence is
    passed as the subject alone. The command line adds the names of its options.
    """

    def __init__(self, subject: object, problem: str = "", fix: str = "") -> None:
        super().__init__(subject, problem, fix)
        self.subject, self.problem, self.fix = str(subject), problem, fix

    def __str__(self) -> str:
        if not self.problem:
            return self.reason
        return f"{self.subject}: {self.reason}"

    @property
    def reason(self) -> str:
        """The problem and the fix, without the subject; or the whole sentence, if there are no parts."""
        return "; ".join(filter(None, (self.problem or self.subject, self.fix)))


class Notice(UserWarning):
    """Something that a user should know of a run that goes on. The command line prints it as one line."""


def first_line(error: BaseException) -> str:
    """What another library's error says: its first sentence, on one line, without names of its classes. A line that
    ends in a colon goes on with the next. Without a text, the words of its class."""
    if isinstance(error, KeyError) and error.args and " " not in str(error.args[0]):
        return f"there is no {error.args[0]!r}"
    line = ""
    for below in filter(None, map(str.strip, str(error).splitlines())):
        line = f"{line} {CLASS.sub('', below)}".strip()
        if not line.endswith(":"):
            break
    line = re.split(r"\. +(?=[A-Z])", line)[0].rstrip(" :.")
    if len(line) > LONGEST:
        line = line[:LONGEST].rpartition(" ")[0] + " …"
    return line or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def system_reason(error: OSError) -> str:
    """The file and reason of a system error, for a message."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what caused it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
