"""Where long work will write, tried before it starts, and files of which nobody ever sees half."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import UserError

if TYPE_CHECKING:
    import torch


def make_writable(out: Path | None, json_path: Path | None = None) -> None:
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


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that no reader, and no run after a crash, ever sees half of it."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)  # a full disk needs the room
        raise


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor] | Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write one safetensors file, atomically; all tensors of one kind, torch's or numpy's, in memory of their own.

    metadata: at most one key where files must not differ, for several are written in no fixed order.
    Raises OSError naming the file when it cannot be written.
    """
    # Not save_file: it writes to a hidden file of a random name, which would stay behind for good when the process is killed.
    # The two modules write the same bytes; numpy's does without torch.
    if any(isinstance(values, np.ndarray) for values in tensors.values()):
        from safetensors.numpy import save
    else:
        from safetensors.torch import save
    write_atomic(path, save(dict(tensors), dict(metadata) if metadata else None))  # type: ignore[arg-type]
