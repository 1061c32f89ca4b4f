"""`UserError`, the error for user mistakes, `Notice`, and one-line forms of other libraries' errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

CLASS = re.compile(r"^((\w+\.)*[A-Z]\w*(Error|Exception): *)+")
"""Matches the names of exception classes at the beginning of a line, such as `ValueError: `."""
LONGEST = 300
"""Characters of another library's or the user's text in a message."""
LONGEST_MESSAGE = 2000
BELOW = "\n  "
"""What begins each further line of a message."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
"""Matches control characters (except tabs and line ends), characters that change the writing direction, and
surrogates."""


def escaped(text: str) -> str:
    """The text with escaped control characters, such as `\\x1b`: a name from a foreign file must not control the
    terminal."""
    return CONTROL.sub(lambda control: control[0].encode("unicode_escape").decode("ascii"), text)


def shorten(text: str, most: int = LONGEST) -> str:
    """The text; or its beginning and its end, where the fix is, if it has more than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {text[-most // 2 :]}"


class UserError(Exception):
    """Bad input. The command line prints the error as one line and exits with code 2; no half-written file is left.

    subject: the file, folder or field; or a whole sentence, without the other two. problem: what is wrong with it. fix:
    what would be right. For a field, the command line also prints the option that sets it.
    """

    def __init__(self, subject: object, problem: str = "", fix: str = "") -> None:
        super().__init__(subject, problem, fix)
        self.subject, self.problem, self.fix = map(escaped, (str(subject), problem, fix))

    def __str__(self) -> str:
        text = self.reason
        if self.problem:
            text = f"{self.subject}: {text}"
        return shorten(text, LONGEST_MESSAGE)

    @property
    def reason(self) -> str:
        """The problem and the fix, without the subject; or the whole sentence, if there are no parts."""
        return "; ".join(filter(None, (self.problem or self.subject, self.fix)))


class Notice(UserWarning):
    """A warning about a run that goes on. The command line prints it as one line."""


def not_finite(what: str, dtype: str) -> UserError:
    """The error for values that are NaN or infinite. what: a plural noun for the values. dtype: their number format."""
    dtype = dtype.removeprefix("torch.")
    if dtype == "float16":
        return UserError("dtype", f"float16: overflowed: {what} are not numbers", "use float32 or bfloat16")
    problem = f"{what} are not numbers, although it computes in {dtype}"
    return UserError("model", problem, "its weights, or what was changed in them, may be damaged")


def first_line(error: BaseException) -> str:
    """The first sentence of another library's error, on one line, without names of exception classes. A line that ends
    in a colon is joined to the next line. An error without a text gives the words of its class: `out of memory
    error`."""
    if isinstance(error, KeyError) and error.args and " " not in str(error.args[0]):
        return f"there is no {error.args[0]!r}"
    line = ""
    for below in filter(None, map(str.strip, str(error).splitlines())):
        line = f"{line} {CLASS.sub('', below)}".strip()
        if not line.endswith(":"):
            break
    line = re.split(r"\. +(?=[A-Z])", line)[0].rstrip(" :.")
    return shorten(line) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. Some libraries raise RuntimeError or OSError with one of these
    texts: torch on cpu and mps, and Pillow."""
    texts = (
        "DefaultCPUAllocator",
        "can't allocate memory",
        "MPS backend out of memory",
        "Invalid buffer size",
        "out of memory error",
    )
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError | OSError) and any(text in str(error) for text in texts))
    )


@contextmanager
def foreign_errors(subject: object, problem: str, fix: str = "") -> Iterator[None]:
    """Turns any error of the block, in which a library reads a foreign file, into a UserError: libraries raise nearly
    anything for a broken file. A lack of memory is no fault of the file, and stays what it is.

    subject, problem, fix: as for UserError; the error's first line follows the problem in brackets."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or is_out_of_memory(error):
            raise
        raise UserError(subject, f"{problem} ({first_line(error)})", fix) from error


def system_reason(error: OSError) -> str:
    """A system error as `file: reason`, for a message."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error, then its cause, then the cause's cause, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
