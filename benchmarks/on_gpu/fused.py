"""Checks maps of the fused capture kernels against plain torch, for every head width of the models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch

from seediff.attention.launches import Launches
from seediff.attention.probabilities import Scores, Target, add_probabilities
from seediff.models.families import network_family

ACCEPTABLE = 1e-4
"""The largest acceptable difference, as a share of a map's maximum. Float32 sums in another order differ by 1e-6 to
1e-5; factors rounded to TF32, or scores in half precision, by 3e-4 to 1e-2."""


class Shape(NamedTuple):
    """Images, heads, positions of the picture and columns of text."""

    images: int
    heads: int
    positions: int
    text: int


PUBLISHED = Shape(2, 8, 4096, 512)
SMALL = Shape(1, 2, 40, 20)
"""Small enough for Triton's interpreter, with a partial tile in each direction."""


def head_widths(networks: Mapping[str, Any]) -> dict[int, list[str]]:
    """Channels per head → the names of the networks that have such layers. Networks may be on torch's meta device."""
    found: dict[int, list[str]] = {}
    for name, made in networks.items():
        parts = map(made.get_submodule, network_family(made).layers(made))
        widths = {part.head_dim if hasattr(part, "head_dim") else part.inner_dim // part.heads for part in parts}
        for width in sorted(widths):
            found.setdefault(width, []).append(name)
    return dict(sorted(found.items()))


@torch.no_grad()
def compare(device: str, dtype: str, width: int) -> dict[str, Any]:
    """The largest difference of any map, or `why` there is none. Without a GPU, Triton's interpreter runs a small shape
    on the CPU.
    """
    if find_spec("triton") is None:
        return {"why": "there is no Triton: plain torch computes"}
    on_gpu = device.startswith("cuda")
    if not on_gpu and os.environ.get("TRITON_INTERPRET") != "1":
        return {"why": f"Triton is set up for this machine's GPU, not for {device}"}
    shape = PUBLISHED if on_gpu else SMALL
    found = largest_difference(device if on_gpu else "cpu", getattr(torch, dtype), width, shape)
    return {"difference": found, "positions": shape.positions, **({} if found <= ACCEPTABLE else {"failed": True})}


def add_by_kernels(parts: Sequence[Target], scores: Scores, *, normalize: bool, finite: torch.Tensor) -> None:
    """By the kernels alone: plain torch does not follow a tile that the card refuses."""
    Launches(parts, scores, normalize=normalize)([*parts], scores, finite)


def largest_difference(device: str, dtype: torch.dtype, width: int, shape: Shape) -> float:
    """The largest difference of any map, in units of plain torch's maximum. Compares self- and cross-attention apart,
    as in a UNet, and in one softmax with hidden columns; each normalised, as for masks, and not, as for segments."""
    generator = torch.Generator().manual_seed(width)
    images, heads, positions, text = shape
    columns = positions + text
    query, key = (
        torch.randn(images, rows, heads, width, generator=generator).to(device, dtype).transpose(1, 2)
        for rows in (positions, columns)
    )
    padding = torch.zeros(images, 1, 1, columns, device=device)
    padding[..., columns - text // 4 :] = -torch.inf
    image, words = slice(0, positions), slice(positions, columns)

    def maps(
        add: Any, some: slice, bias: torch.Tensor | None, cuts: Sequence[tuple[slice, bool]], normalize: bool
    ) -> list[torch.Tensor]:
        where = range(columns)[some]
        parts = [
            Target(query.new_zeros(images, positions, len(where[cut]), dtype=torch.float32), cut, each)
            for cut, each in cuts
        ]
        finite = query.new_zeros((), dtype=torch.float32)
        add(parts, Scores(query, key[:, :, some], width**-0.5, bias), normalize=normalize, finite=finite)
        assert finite.isfinite()
        return [part.running_map for part in parts]

    differences = []
    for normalize in (True, False):
        for some, bias, cuts in (
            (image, None, [(slice(None), False)]),
            (words, None, [(slice(None), True)]),
            (slice(None), padding, [(image, False), (words, True)]),
        ):
            ways = (maps(add, some, bias, cuts, normalize) for add in (add_by_kernels, add_probabilities))
            differences += [(own - plain).abs().max() / plain.max() for own, plain in zip(*ways, strict=True)]
    return float(torch.stack(differences).max())  # unlike Python's max, torch's keeps NaN
