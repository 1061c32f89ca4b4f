"""Stops runs at a write and continues them; the outputs must have the bytes of a run that was not stopped."""

import math
from pathlib import Path

import pytest

from seediff.run.generate_job import generate


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
    """Check that `run`, which writes the output that it is given, leaves the same bytes when it is stopped and started
    again. stops: numbers of writes, below 0 counted from the last: stopped before the next, or directly after a write
    (n and a half). The undisturbed output is folder/whole."""
    left = [math.inf]

    def write(commit):
        if left[0] <= 0:
            raise Stopped
        commit()
        left[0] -= 1
        writes[0] += 1
        if left[0] == -0.5:
            raise Stopped

    writes = [0]
    with monkeypatch.context() as patch:
        replace_writes(patch, write)
        run(folder / "whole")
        whole, count = contents(folder / "whole", folders=True), writes[0]
        for stop in stops:
            left[0] = stop if stop >= 0 else count + stop
            with pytest.raises(Stopped):
                run(folder / f"{stop}")
            left[0] = math.inf
            run(folder / f"{stop}")
            assert contents(folder / f"{stop}", folders=True) == whole


def interrupt_after(batches, config, out, **how):
    """Begin a run of `generate`, and stop it when so many batches are finished."""

    def stop(done, total, what):
        if done >= batches * config.batch_size and not what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(config, out, progress=stop, **how)
