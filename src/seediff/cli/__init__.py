"""The command line: a module for each group of commands, put together by commands.py, and what they print when they are done."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, as `commands.main` does."""
    try:
        from .commands import main as run  # takes a moment, in which somebody may think better of it
    except KeyboardInterrupt:
        print("seediff: interrupted", file=sys.stderr)
        return 130
    return run(arguments)
