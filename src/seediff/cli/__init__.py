"""The command line: one module per group of commands, assembled by commands.py; summary.py has the summaries that
commands print.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, as `commands.main` does."""
    try:
        from .commands import main as run  # slow enough to be interrupted
    except KeyboardInterrupt:
        print("seediff: interrupted", file=sys.stderr)
        return 130
    return run(arguments)
