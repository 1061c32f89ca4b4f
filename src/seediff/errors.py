"""The one error that a user caused, and how errors of other libraries are told in its line."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The command line prints its text as one line and exits with code 2; nothing half-written is left.

    subject: the file, folder or field that is meant. problem: what is wrong with it. fix: what would be right. A sentence without parts is
    a subject alone. What the subject is called on the command line, the command line adds.
    """

    def __init__(self, subject: object, problem: str = "", fix: str = "") -> None:
        super().__init__(subject, problem, fix)
        self.subject, self.problem, self.fix = str(subject), problem, fix

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}" if self.problem else self.reason

    @property
    def reason(self) -> str:
        """What is wrong and what would be right, without the subject; of a sentence without parts, all of it."""
        return (self.problem or self.subject) + (f"; {self.fix}" if self.fix else "")


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind when it says nothing: another library's error, told inside one of our lines."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def system_reason(error: OSError) -> str:
    """What the system refused and of which file, for a line."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
