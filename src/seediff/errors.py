"""The one error that a user caused: its text is one line that names what was wrong and what would be right."""

from __future__ import annotations


class UserError(Exception):
    """Bad input. The command line prints its text as one line and exits with code 2; nothing half-written is left."""
