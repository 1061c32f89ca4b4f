"""Where long work will write, tried before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UserError


def make_writable(out: Path, json_path: Path | None = None) -> None:
    """Make the folders of `--out` and `--json` and try them: what takes minutes should not fail at the end.

    Raises UserError naming the option that is no use.
    """
    for option, folder, file in (("--out", out, None), ("--json", json_path and json_path.parent, json_path)):
        if folder is None:
            continue
        if file is not None and file.is_dir():
            raise UserError(f"{option} {file}: is a folder; name a file")
        probe = folder / f".seediff-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise UserError(f"{option} {file or folder}: cannot be written to ({error.strerror or error}); name another place") from error
