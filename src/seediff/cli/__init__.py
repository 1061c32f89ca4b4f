"""The command line: a module for each group of commands, put together by commands.py, and what they print when they are done."""

from .commands import app, main

__all__ = ["app", "main"]
