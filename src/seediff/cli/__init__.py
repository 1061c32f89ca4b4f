"""The command line: a module for each family of commands, which commands.py puts together, and what they say when they are done."""

from .commands import app, main

__all__ = ["app", "main"]
