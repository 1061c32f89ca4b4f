"""Folders that are no finished dataset yet: their run was stopped and can be continued, or they are not there at all."""

from __future__ import annotations

from pathlib import Path

from ..config.photographs import SegmentPhotosConfig
from ..errors import UserError
from ..files.documents import read_toml
from . import native

LAST_FILES = (native.METADATA, SegmentPhotosConfig.last_file)
"""What a run writes last, by which its output is known to be finished."""


def check_finished(folder: Path) -> None:
    """Raise UserError where there is no such folder, and where a run has begun in it and not finished."""
    if not folder.is_dir():
        wrong = "is a file; name the folder of a dataset" if folder.exists() else "there is no such folder"
        raise UserError(f"{folder}: {wrong}")
    # A finished run has removed its records; whatever else is missing then was lost, which `check` tells.
    if (folder / native.BATCHES).is_dir() and not any((folder / name).is_file() for name in LAST_FILES):
        raise UserError(f"{folder}: the run that makes it is not finished; the same `{_command(folder)}` continues it")


def _command(folder: Path) -> str:
    """What makes the output, as its seediff.toml says."""
    try:
        command = read_toml(folder / native.CONFIG).get("command")
    except UserError:
        command = None
    return f"seediff {command}" if isinstance(command, str) and command.isalpha() else "seediff command"
