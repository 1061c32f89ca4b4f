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
from seediff.files.reading import ABSENT, open_regular
from seediff.files.tensors import LARGEST


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder, which replaces `folder` if the block succeeds. Raises UserError if `folder` is a link or a
    file.
    """
    folder = folder.absolute()
    part = folder.with_name(fresh_name(folder.name))
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


def map_array(
    path: Path | str, dtype: type[np.generic], shape: tuple[int | None, ...], absent: str = ABSENT
) -> np.ndarray:
    """The array in a .npy file, memory-mapped read-only. shape: None stands for any size. Object arrays, which are
    pickles, are refused.

    Raises UserError naming the file if it holds no array, an array of another type or shape, or only a part of it.
    """
    with open_regular(path, LARGEST, absent) as file:
        size = file.seek(0, 2)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # the header is a Python literal; a damaged one raises errors of many kinds
        raise UserError(path, f"is no .npy file ({first_line(error)[:300]})") from error
    sides = len(array.shape) == len(shape) and all(
        want in (None, side) for side, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not sides or not array.flags.c_contiguous:
        raise UserError(path, f"holds {array.dtype} {array.shape}, but must hold {np.dtype(dtype)} {shape}")
    if not array.size or size != array.offset + array.nbytes:
        raise UserError(path, f"is no whole .npy file: {size} bytes do not hold {array.shape} of {array.dtype} alone")
    return array
