"""Safetensors files: the header is read and checked against the file's size before any library maps a byte of it.

A file that was cut off, or whose header lies about shapes, is refused with the tensor's name. Nothing here runs code from a file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from ..errors import UserError, first_line
from .documents import parse_json
from .messages import printable, shown
from .reading import ABSENT, MIB, open_regular

T = TypeVar("T")
HEADER = 64 * MIB
"""The longest header; the format itself allows 100 MB."""
LARGEST = 1 << 40
"""Bytes of a file of weights."""
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64), **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8), "F4": 4,
}  # fmt: skip
"""Bits of an element of each type that the format has."""
_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


@dataclass(frozen=True)
class Tensor:
    """An entry of a header. dtype: as the format calls it, such as "F32". data_offsets: from, to, in bytes behind the header."""

    dtype: str
    shape: tuple[_Count, ...]
    data_offsets: tuple[_Count, _Count]


@dataclass(frozen=True)
class TensorFile:
    """What a safetensors file says of itself: its tensors by name, and its texts. The tensors fill the file exactly."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def about(self, key: str, kind: type[T], what: str) -> T:
        """A text of the metadata as JSON of a type. what: what the file should be, as in "saved attention maps". Raises UserError."""
        if key not in self.metadata:
            raise UserError(f"{self.path}: is no file of {what}: its header has no '{key}'")
        return parse_json(self.metadata[key], kind, f"{self.path}, '{key}' of its header")

    def check(self, name: str, dtypes: Collection[str], shape: tuple[int | None, ...], what: str) -> None:
        """Raise UserError unless there is a tensor `name` of one of these types and this shape (None: any size)."""
        found = self.tensors.get(name)
        if found is None:
            raise UserError(f"{self.path}: is no file of {what}: it has no tensor '{name}'")
        fits = len(found.shape) == len(shape) and all(b is None or a == b for a, b in zip(found.shape, shape, strict=True))
        if found.dtype not in dtypes or not fits:
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise UserError(f"{self.path}: tensor '{name}' is {found.dtype} {found.shape}, but must be {' or '.join(dtypes)} ({wanted})")

    def load(self, framework: Literal["np", "pt"], names: Collection[str] | None = None) -> dict[str, Any]:
        """The tensors, or those of some names, as numpy arrays or torch tensors. Raises UserError."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self.path), framework) as file:
                return {name: file.get_tensor(name) for name in (self.tensors if names is None else names)}
        except (OSError, SafetensorError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
            raise UserError(f"{self.path}: its tensors cannot be read ({printable(first_line(error))})") from error


def read_header(path: Path | str, absent: str = ABSENT, *, limit: int = LARGEST) -> TensorFile:
    """A safetensors file's header, checked: every tensor's type, shape and place, and that together they are the whole file.

    limit: the most bytes that such a file may have. Raises UserError naming the file and the tensor.
    """
    path = Path(path)
    with open_regular(path, limit, absent) as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(HEADER, size - 8):
            raise UserError(f"{path}: is no whole safetensors file: {size} bytes do not hold the header that it begins with")
        raw = file.read(length)
    where = f"{path}, its header"
    table = parse_json(raw, dict[str, msgspec.Raw], where)
    texts = parse_json(bytes(table.pop("__metadata__", b"{}")), dict[str, str], f"{where}: __metadata__")
    tensors = {name: parse_json(bytes(entry), Tensor, f"{where}: tensor {shown(name)}") for name, entry in table.items()}
    _check_places(path, tensors, size - 8 - length)
    return TensorFile(path, MappingProxyType(tensors), MappingProxyType(texts))


def _check_places(path: Path, tensors: Mapping[str, Tensor], held: int) -> None:
    """Raise UserError unless the tensors lie one behind the other, each as long as its shape, and fill `held` bytes."""
    end = 0
    for name, one in sorted(tensors.items(), key=lambda pair: pair[1].data_offsets):
        bits = BITS.get(one.dtype)
        if bits is None:
            raise UserError(f"{path}: tensor {shown(name)} is of type {shown(one.dtype)}; known: {', '.join(BITS)}")
        start, stop = one.data_offsets
        if start != end or (stop - start) * 8 != math.prod(one.shape) * bits:
            raise UserError(f"{path}: is no whole safetensors file: tensor {shown(name)} is not where, or as long as, its header says")
        end = stop
    if end != held:
        what = "is cut off" if held < end else "has more behind its tensors"
        raise UserError(f"{path}: is no whole safetensors file: it {what} ({held} bytes of {end})")
