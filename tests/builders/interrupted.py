"""Runs that are stopped at a write and continued, whose outputs must have the bytes of one that was not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from seediff.files import outputs


class Stopped(BaseException):
    """Instead of a write."""


def contents(out: Path, folders: bool = False) -> dict[str, bytes]:
    """Every file of a folder by its path in it; with `folders`, also the folders, which hold nothing."""
    paths = sorted(path for path in out.rglob("*") if folders or path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() if path.is_file() else b"" for path in paths}


def replace_writes(patch: pytest.MonkeyPatch, write: Callable[[Callable[[], None]], None]) -> None:
    """Let every file be written by `write`, which is given what would write it."""
    commit = outputs._commit
    patch.setattr(outputs, "_commit", lambda *given: write(lambda: commit(*given)))


def check_interrupted(run: Callable[[Path], object], folder: Path, monkeypatch: pytest.MonkeyPatch, stops: Iterable[int]) -> None:
    """Check that `run`, which writes the output that it is given, leaves the same bytes when it is stopped after each of these numbers of
    writes and started again. The undisturbed output is folder/whole."""
    run(folder / "whole")
    whole = contents(folder / "whole")
    left = [0]

    def write(commit: Callable[[], None]) -> None:
        if left[0] == 0:
            raise Stopped
        left[0] -= 1
        commit()

    with monkeypatch.context() as patch:
        replace_writes(patch, write)
        for writes in stops:
            left[0] = writes
            with pytest.raises(Stopped):
                run(folder / f"{writes}")
            left[0] = -1
            run(folder / f"{writes}")
            assert contents(folder / f"{writes}") == whole
