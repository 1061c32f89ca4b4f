"""Reads and writes safetensors files. The library checks that a file has the size that its header says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ..errors import UserError, foreign_errors
from .outputs import write_atomic
from .reading import ABSENT, open_regular, parse_json

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


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


@contextmanager
def _opened(path: Path, framework: Literal["np", "pt"]) -> Iterator[Any]:
    """The file, opened by the safetensors library. Raises UserError."""
    from safetensors import safe_open

    with foreign_errors(path, "is not a valid safetensors file"), safe_open(str(path), framework) as file:
        yield file


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file. tensors, metadata: as for `encode_tensors`."""
    write_atomic(path, encode_tensors(tensors, metadata))


def encode_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The contents of a safetensors file. tensors: by name; they must not share memory. metadata: at most one key,
    because several would be written in no fixed order."""
    from safetensors.torch import save

    return save(dict(tensors), dict(metadata) if metadata else None)
