"""Stops runs at a write and continues them; the outputs must have the bytes of a run that was not stopped."""

from pathlib import Path

import pytest


class Stopped(BaseException):
    """Raised instead of a write."""


def contents(out, folders=False):
    """Path in the folder → bytes, for every file; with `folders`, also for every folder, with no bytes."""
    paths = sorted(path for path in out.rglob("*") if folders or path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() if path.is_file() else b"" for path in paths}


def replace_writes(patch, write):
    """Have every file written by `write`, which gets the function that would write it."""
    replace = Path.replace
    patch.setattr(Path, "replace", lambda part, path: write(lambda: replace(part, path)))


def check_interrupted(run, folder, monkeypatch, stops):
    """Check that `run`, which writes the output that it is given, leaves the same bytes when it is stopped after each
    of these numbers of writes and started again. The undisturbed output is folder/whole."""
    run(folder / "whole")
    whole = contents(folder / "whole")
    left = [0]

    def write(commit):
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
