"""NumPy's .npy files, mapped into memory: the header is read and checked against the file's size before anything is mapped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import UserError, first_line
from .messages import printable
from .reading import ABSENT, open_regular
from .tensors import LARGEST


def map_array(path: Path | str, dtype: type[np.generic], shape: tuple[int | None, ...], absent: str = ABSENT) -> np.ndarray:
    """The array of a .npy file, read-only, not yet read. shape: None stands for any size. Objects, which are pickles, are refused.

    Raises UserError naming the file: no such array, of another type or shape, or cut off.
    """
    with open_regular(path, LARGEST, absent) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            found, fortran, kind = read(file)
        except Exception as error:  # the header is a literal of Python, of which any part may be missing
            raise UserError(f"{path}: is no .npy file ({printable(first_line(error))})") from error
        begin, size = file.tell(), file.seek(0, 2)
    fits = len(found) == len(shape) and all(b is None or a == b for a, b in zip(found, shape, strict=True))
    if kind != np.dtype(dtype) or not fits or fortran:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise UserError(f"{path}: holds {kind} {tuple(found)}, but must hold {np.dtype(dtype)} ({wanted})")
    if min(found, default=1) < 1 or size - begin != math.prod(found) * kind.itemsize:
        raise UserError(f"{path}: is no whole .npy file: {size - begin} bytes are not {tuple(found)} of {kind}")
    return np.memmap(path, kind, "r", begin, tuple(found))
