"""The entry of the program, for `seediff` and `python -m seediff`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App


def main(words: Sequence[str] | None = None, program: App | None = None) -> int:
    """Run the command line and return its exit code. Errors become exit codes, except with SEEDIFF_DEBUG=1 in the
    environment.

    words: by default, the process's own arguments. program: another App to run, for programs outside the
    package.
    """
    try:
        from .running import run  # slow enough to be interrupted
    except KeyboardInterrupt:
        print("seediff: interrupted", file=sys.stderr)
        return 130
    return run(sys.argv[1:] if words is None else words, program)
