"""Text for people: values in a short form, and notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

SIMILAR = 0.7
"""From this ratio of difflib on, a name may have been meant: `buss` and `bus` have 0.86, `cat` and `car` 0.67."""
TEXT = 60
"""Maximum characters of a value that a message shows."""
FEW = 5
"""Maximum number of images whose names follow a count."""
NAMED = 8
"""Maximum number of names in a line."""
Note = Callable[[str], None]
"""A function that is called with a line for the user."""


def show_json(value: Any) -> str:
    """A value as JSON of at most about TEXT characters: `5`, `"dog"`, `[1, 2, 3…`."""
    try:
        text = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are not texts, numbers of thousands of digits
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= TEXT + 2 else text[:TEXT] + "…"


def plural(count: int, noun: str) -> str:
    """`1 image`, `2 images`, `2 classes`."""
    if count != 1:
        noun += "es" if noun.endswith(("s", "ch")) else "s"
    return f"{count} {noun}"


def first_of(texts: Iterable[str], most: int = NAMED, *, in_all: bool = False) -> str:
    """The first `most` texts, and `…` if there are more: `dog, cat, …`. in_all: also say how many, `… (30 in all)`."""
    texts = list(texts)
    shown = texts[:most]
    if len(texts) > most:
        shown.append(f"… ({len(texts)} in all)" if in_all else "…")
    return ", ".join(shown)


def show_counts(counts: Mapping[str, int]) -> str:
    """`{"degenerate": 2, "no_seeds": 1, "mixed": 0}` → `degenerate 2, no_seeds 1`."""
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def sentence(line: str) -> str:
    """A line, such as of a note, as a sentence: with a capital letter and a full stop."""
    return f"{line[0].upper()}{line[1:]}."


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'bicycle'?)`; "" if no name is similar. Dashes before options do not count."""
    bare = {each.lstrip("-"): each for each in names}
    near = get_close_matches(name.lstrip("-").casefold(), bare, 1, SIMILAR)
    return "".join(f" (did you mean {bare[each]!r}?)" for each in near)


def show_bytes(count: float) -> str:
    """1234567 → `1.2 MB`."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def no_note(line: str) -> None:
    """Ignores the line."""


@dataclass(kw_only=True)
class Notes:
    """Collects lines for the user about what is lost or left out."""

    notes: list[str] = field(default_factory=list)
    named: dict[str, Sequence[str]] = field(default_factory=dict)
    """Line → the names of all images that it counts."""

    def note(self, line: str) -> None:
        """Adds a line, once."""
        if line not in self.notes:
            self.notes.append(line)

    def count(self, number: int, line: str, names: Iterable[str] = ()) -> None:
        """Adds the line "NUMBER LINE", unless the number is 0. line: begins with a singular noun, or with "of". names:
        those of the images that it counts, of which the line has the first."""
        noun, _, rest = line.partition(" ")
        names = [*dict.fromkeys(names)]
        if number:
            text = f"{number} {line}" if noun == "of" else f"{plural(number, noun)} {rest}"
            if names:
                text += f" ({first_of(names, FEW)})"
                self.named[text] = names
            self.note(text)


def make_console(*, stderr: bool = False) -> Console:
    """A rich console for tables and progress bars. stderr: whether it writes to stderr instead of stdout."""
    from rich.console import Console

    return Console(stderr=stderr)
