"""What to do after a command, as lines for the shell."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from ..files.places import Out


def following(*commands: str) -> str:
    """Commands under the heading "Next:", an empty line before."""
    return "\n  ".join(("\nNext:", *commands))


def command_line(*arguments: object, about: str = "") -> str:
    """This program with arguments, for the shell; about: what it is good for."""
    line = " ".join([own_command(), *(shlex.quote(str(one)) for one in arguments)])
    return f"{line}    # {about}" if about else line


def look_at(page: Out) -> str:
    return f"Look at {shlex.quote(str(page))} (in a browser)"


def own_command() -> str:
    """What runs this program again: `seediff` where the shell finds it by that name, else the script's path, else `python -m seediff`."""
    script = Path(sys.argv[0])
    if script.stem != "seediff":
        return f"{shlex.quote(sys.executable)} -m seediff"
    found = shutil.which("seediff")
    return "seediff" if found and Path(found).resolve() == script.resolve() else shlex.quote(str(script))
