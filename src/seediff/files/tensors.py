"""Reads safetensors files, and headers of GGUF files. The safetensors library checks that a file has the size that its
header says; the gguf library does not, so `_check_gguf` walks the header before it."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from ..errors import UserError, first_line
from .reading import ABSENT, open_regular, parse_json

T = TypeVar("T")

GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Number of a kind of values in a GGUF header → bytes of a value."""
GGUF_TEXT, GGUF_ARRAY = 8, 9
"""Numbers of the other kinds."""
MOST_VALUES = 2_000_000
"""Maximum number of values in the arrays of a GGUF header, for each of which the gguf library makes objects. A language
model's vocabulary has a tenth of them."""


@dataclass(frozen=True)
class Tensor:
    """A tensor's entry in a header."""

    dtype: str
    """The file format's name of the type, such as "F32"."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorFile:
    """The header of a safetensors file: its tensors by name, and its metadata."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def about(self, key: str, kind: type[T], what: str) -> T:
        """The metadata of a key, whose JSON text is read as a `kind`. what: what the file should contain, such as
        "saved attention maps", for messages. Raises UserError."""
        if key not in self.metadata:
            raise UserError(self.path, f"is not a file of {what}: its header has no '{key}'")
        return parse_json(self.metadata[key], kind, f"{self.path}, '{key}' of its header")

    def check(self, name: str, dtype: str, shape: tuple[int | None, ...], what: str) -> None:
        """Raises UserError unless the file has a tensor of this name, type and shape. shape: None stands for any size.
        what: as for `about`."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise UserError(self.path, f"is not a file of {what}: it has no tensor '{name}'")
        sides = zip(shape, tensor.shape, strict=False)
        if tensor.dtype != dtype or len(shape) != len(tensor.shape) or any(a not in (None, b) for a, b in sides):
            wanted = f"{dtype} ({', '.join(map(str, shape)).replace('None', 'any')})"
            raise UserError(self.path, f"tensor '{name}' is {tensor.dtype} {tensor.shape}, but must be {wanted}")

    def load(self, framework: Literal["np", "pt"], names: Collection[str] | None = None) -> dict[str, Any]:
        """The tensors as numpy arrays or torch tensors, by name. names: the names of the wanted tensors; None: all.
        Raises UserError."""
        with _opened(self.path, framework) as file:
            return {name: file.get_tensor(name) for name in (self.tensors if names is None else names)}


def read_header(path: Path | str, absent: str = ABSENT) -> TensorFile:
    """The header of a safetensors file. absent: the message for a missing file. Raises UserError, also if the tensors
    in the header do not fill the file exactly."""
    path = Path(path)
    with open_regular(path, absent), _opened(path, "np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        tensors = {name: Tensor(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
        return TensorFile(path, tensors, file.metadata() or {})


def read_gguf_header(path: Path) -> dict[str, Tensor]:
    """Name → tensor, from the header of a GGUF file. A type is for example "Q4_K". Shapes are torch's, in which the
    last dimension varies fastest. Needs the package gguf. Raises UserError naming the file, also if its end is
    missing."""
    library: Any = import_module("gguf")
    try:
        with open_regular(path) as file:
            _check_gguf(file)
            tensors = library.GGUFReader(str(path)).tensors
            if sum(int(tensor.n_bytes) for tensor in tensors) > os.fstat(file.fileno()).st_size:
                raise ValueError("its tensors share bytes")
        return {
            tensor.name: Tensor(tensor.tensor_type.name, tuple(int(side) for side in reversed(tensor.shape)))
            for tensor in tensors
        }
    except UserError:
        raise
    except Exception as error:
        raise UserError(path, f"is not a valid GGUF file ({first_line(error)})") from error


def _check_gguf(file: BinaryIO) -> None:
    """Raise an error if a length in the header of a GGUF file passes the file's end, or if its arrays have too many
    values."""
    size, order, values = os.fstat(file.fileno()).st_size, "<", 0

    def ahead(count: int) -> int:
        if count > size - file.tell():
            raise ValueError("a length in its header passes its end")
        return count

    def skip(count: int) -> None:
        file.seek(ahead(count), os.SEEK_CUR)

    def read(kind: str) -> int:
        return struct.unpack(order + kind, file.read(ahead(struct.calcsize(kind))))[0]

    if file.read(4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    if not read("I") & 0xFFFF:  # the version, in the other byte order
        order = ">"
    tensors, keys = read("Q"), read("Q")
    for _ in range(keys):
        skip(read("Q"))
        kind, count = read("I"), 1
        if kind == GGUF_ARRAY:
            kind, count = read("I"), read("Q")
        values += count
        if values > MOST_VALUES:
            raise ValueError(f"its header has more than {MOST_VALUES:,} values")
        if kind == GGUF_TEXT:
            for _ in range(count):
                skip(read("Q"))
        else:
            if kind not in GGUF_SIZES:
                raise ValueError(f"a value of its header has the unknown kind {kind}")
            skip(GGUF_SIZES[kind] * count)
    for _ in range(tensors):
        skip(read("Q"))
        skip(8 * read("I") + 12)  # its sides, type and place


@contextmanager
def _opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[Any]:
    """The file, opened by the safetensors library. Raises UserError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework) as file:
            yield file
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        raise UserError(path, f"is not a valid safetensors file ({first_line(error)})") from error
