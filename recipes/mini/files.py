"""Files for making models: large memory-mapped arrays, and files and folders that appear only when they are
complete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from seediff.errors import UserError, first_line
from seediff.files.outputs import fresh_name


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder, which replaces `folder` if the block succeeds. Raises UserError if `folder` is a link or a
    file.
    """
    folder = folder.absolute()
    part = folder.with_name(fresh_name())
    folder.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir()
    try:
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def map_array(path: Path, dtype: type[np.generic], shape: tuple[int | None, ...]) -> np.ndarray:
    """The array in a .npy file, memory-mapped read-only. shape: None stands for any size. Raises UserError naming the
    file if it holds no such array.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(path, f"is no .npy file ({first_line(error)})") from error
    if array.dtype != dtype or [want or side for want, side in zip(shape, array.shape)] != [*array.shape]:  # noqa: B905
        raise UserError(path, f"holds {array.dtype} {array.shape}, but must hold {np.dtype(dtype)} {shape}")
    return array
