"""Times the capture kernels with every tile, and with the library's log-sum-exps, at the largest layers of the
published networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch

from on_gpu.device import seconds
from seediff.attention import fused
from seediff.attention.probabilities import Part


class Layer(NamedTuple):
    """Heads, positions of the picture, columns of text in the same softmax, and channels per head."""

    heads: int
    positions: int
    text: int
    channels: int


LAYERS = {
    "sd1.5": Layer(8, 4096, 0, 40),
    "sdxl": Layer(10, 4096, 0, 64),
    "sd3.5-medium": Layer(24, 4096, 333, 64),
    "flux-dev": Layer(24, 4096, 512, 128),
}
TINY = Layer(2, 40, 20, 16)
"""Small enough for Triton's interpreter."""
STAGES = (2, 3, 4)


@contextmanager
def chosen(tile: fused.Blocks, stages: int, sums: str) -> Iterator[None]:
    """Compute with this tile and so many stages. sums: the library's switch."""
    with (
        mock.patch.object(fused, "choose_blocks", return_value=tile),
        mock.patch.object(fused, "STAGES", stages),
        mock.patch.object(fused, "WORTH", 0),
        mock.patch.dict("os.environ", {fused.LIBRARY_SWITCH: sums}),
    ):
        fused._prepared.cache_clear()
        try:
            yield
        finally:
            fused._prepared.cache_clear()


@torch.no_grad()
def tune(device: str, dtype: str, layer: Layer, tiles: Sequence[fused.Blocks]) -> dict[str, Any]:
    """Milliseconds of one normalised addition with each tile, or why it fails; which values the library
    was given, its milliseconds with the usual tile, and how far the maps differ then."""
    heads, positions, text, channels = layer
    columns = positions + text
    generator = torch.Generator().manual_seed(0)
    query, key = (
        torch.randn(1, rows, heads, channels, generator=generator).to(device, getattr(torch, dtype)).transpose(1, 2)
        for rows in (positions, columns)
    )
    cuts = [slice(0, positions)] + [slice(positions, columns)] * (text > 0)
    widths = [len(range(columns)[cut]) for cut in cuts]
    parts = [
        Part(query.new_zeros(1, positions, width, dtype=torch.float32), cut, per_column=cut.start > 0)
        for cut, width in zip(cuts, widths, strict=True)
    ]
    finite = query.new_zeros((), dtype=torch.float32)

    def add() -> None:
        fused.add_probabilities_fused(parts, query, key, channels**-0.5, normalize=True, finite=finite)

    def measured() -> float:
        add()  # compiles
        if device.startswith("cuda"):
            from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

            took: Any = do_bench(add, return_mode="median")
            return float(took)
        return 1000 * seconds(device, add)

    found: dict[str, float | str] = {}
    for tile in tiles:
        for stages in STAGES:
            with chosen(tile, stages, "0"):
                try:
                    found[f"{tile.rows} × {tile.columns}, {tile.warps} warps, {stages} stages"] = measured()
                except Exception as error:  # a tile that does not fit is an answer
                    found[f"{tile.rows} × {tile.columns}, {tile.warps} warps, {stages} stages"] = str(error)[:80]

    usual = fused.choose_blocks(
        max(16, 1 << (channels - 1).bit_length()), query.element_size(), fused._shared_memory(query.device)
    )
    maps: dict[str, list[torch.Tensor]] = {}
    took: dict[str, float] = {}
    for sums in ("0", "1"):
        with chosen(usual, fused.STAGES, sums):
            took[sums] = measured()
            for part in parts:
                part.total.zero_()
            add()
            maps[sums] = [part.total.clone() for part in parts]
    difference = max(float((a - b).abs().max()) for a, b in zip(maps["0"], maps["1"], strict=True))
    asked = [width for form, width in fused._widths.items() if form[2] == query.shape]
    return {
        "tiles_ms": found,
        "ours_ms": took["0"],
        "library_ms": took["1"],
        "library_values": asked[0] if asked else 0,
        "difference": difference,
    }
