"""Small pictures in one tensor, as the package's own files keep them: their encoded bytes one behind the other, and where each ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from ..errors import UserError
from ..files.pictures import open_picture
from ..files.tensors import TensorFile


def pack_blobs(kind: str, blobs: Sequence[bytes]) -> dict[str, np.ndarray]:
    """The two tensors of a kind of pictures: `kind`, uint8, and `kind.ends`, int64."""
    return {kind: np.frombuffer(b"".join(blobs), np.uint8), f"{kind}.ends": np.cumsum([len(blob) for blob in blobs], dtype=np.int64)}


def read_blobs(file: TensorFile, kind: str, count: int, what: str) -> list[bytes]:
    """What `pack_blobs` packed: `count` encoded pictures. what: what the file should be. Raises UserError naming the file."""
    file.check(kind, ("U8",), (None,), what)
    file.check(f"{kind}.ends", ("I64",), (count,), what)
    tensors = file.load("np", (kind, f"{kind}.ends"))
    data, ends = tensors[kind].tobytes(), [0, *tensors[f"{kind}.ends"].tolist()]
    if ends[-1] != len(data) or any(a >= b for a, b in pairwise(ends)):
        raise UserError(f"{file.path}: tensor '{kind}.ends' must rise from above 0 to the {len(data)} bytes of '{kind}'")
    return [data[a:b] for a, b in pairwise(ends)]


def decoded(blobs: Sequence[bytes], where: str, mode: str, most: int) -> Iterator[np.ndarray]:
    """Pictures (H, W) or (H, W, bands) uint8 of a Pillow mode, no side longer than `most`. Raises UserError naming the picture."""
    for number, blob in enumerate(blobs):
        name = f"{where}, picture {number}"
        with open_picture(blob, name, formats=("PNG", "WEBP")) as picture:
            if max(picture.size) > most:
                raise UserError(f"{name}: is {picture.width} × {picture.height}; no side may be longer than {most}")
            image: Image.Image = picture if picture.mode == mode else picture.convert(mode)
            yield np.asarray(image)
