"""How much of a GPU's memory a run needs, told from small files before anything is loaded, and the largest batch that
fits.

    weights + max(activations of a denoising step, those of decoding one picture) + attention maps

Activations are counted in numbers (`families/numbers.py`): of a step, per row, position and channel of the network; of
a picture, per pixel. They are within 15 % of an H100's peaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod

from ..errors import UserError
from ..files.messages import show_bytes
from ..files.tensors import Tensor, read_header
from .hub import local_folder
from .info import ModelInfo
from .known import known_model
from .weights import choose_variant, folder_files, variants

USABLE = 0.9
"""Share of a GPU's memory that a run may fill: CUDA itself, fragments and PAMR take the rest."""
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
QUANTISED = {"nf4": 0.56, "int8": 1.02}
"""Bytes of a weight with its share of the scales. The parts that stay as they are count as well: they are small."""
WORKED_ON = 2
"""Batches whose maps are on the GPU: masks are made of one while the next is drawn."""


@dataclass(frozen=True)
class Footprint:
    """Bytes at the peak of a run. weights: with `offload`, those on the GPU at the same time."""

    weights: float
    activations: float
    maps: float

    @property
    def total(self) -> float:
        return self.weights + self.activations + self.maps

    def __str__(self) -> str:
        parts = (f"{name} {show_bytes(size)}" for name, size in vars(self).items())
        return f"about {show_bytes(self.total)} ({', '.join(parts)})"


def footprint(
    info: ModelInfo,
    size: tuple[int, int],
    *,
    images: int,
    rows: int,
    map_bytes: int,
    dtype: str,
    offload: str,
    quantize: str | None,
) -> Footprint | None:
    """What a batch needs; None if the model's files do not tell. size: (height, width) of L. rows: the network's batch.
    map_bytes: of an image. Others as in `load_model`."""
    family, sides = info.family, info.sides()
    counted = _parameters(info, dtype)
    if counted is None or sides is None:
        return None
    parts = [count * QUANTISED.get(quantize or "", BYTES[dtype]) for count in counted]
    if (file := info.source.checkpoint) and file.is_gguf:
        parts = [file.path.stat().st_size, (sum(counted) - _count(file.tensors.values())) * BYTES[dtype]]
    weights = {"none": sum(parts), "model": max(parts)}.get(offload, 0.0)  # sequential: a layer
    step = rows * prod(size) * family.numbers.width(info.network) * family.numbers.step * BYTES[dtype]
    widened = family.numbers.in_float32 and dtype == "float16"
    decoded = prod(size) * sides[1] ** 2 * family.numbers.decoded * (4 if widened else BYTES[dtype])
    if offload == "model":  # the network is gone when the picture is decoded
        decoded -= weights
    return Footprint(weights, max(step, decoded), WORKED_ON * images * map_bytes)


def largest_batch(needs: Callable[[int], Footprint | None], most: int, memory: int) -> int:
    """The largest batch of `most`, its half, its quarter …, down to 1, that fits into a GPU with `memory` bytes."""
    while most > 1 and (need := needs(most)) and need.total > USABLE * memory:
        most //= 2
    return most


def _parameters(info: ModelInfo, dtype: str) -> Sequence[float] | None:
    """The numbers of parameters, whose sum is the model's and whose largest is the largest part's."""
    folder, known = local_folder(info.source.whole), known_model(info.source.name)
    if known is not None:
        return 1e9 * known.largest, 1e9 * (known.billions - known.largest)
    if folder is None:
        return None
    found = []
    with suppress(UserError, OSError):
        for part in info.family.weights:
            held = variants(folder_files(folder, [part]), part)
            chosen = choose_variant(held.values(), dtype)
            files = [folder / file for file, variant in held.items() if variant == chosen]
            found.append(sum(_count(read_header(file).tensors.values()) for file in files))
    return found if sum(found) else None


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(prod(tensor.shape) for tensor in tensors)
