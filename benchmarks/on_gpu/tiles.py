"""Times the capture kernels with several tiles, each kernel apart, at the largest layers of the published networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import torch

from on_gpu.device import seconds
from on_gpu.fused import add_by_kernels
from seediff.attention import launches
from seediff.attention.launches import Tile
from seediff.attention.probabilities import Scores, Target, add_probabilities


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
TILES = [
    Tile(*tile)
    for tile in (
        (128, 128, 8, 2),
        (128, 128, 8, 3),
        (128, 64, 4, 2),
        (128, 64, 4, 3),
        (64, 128, 4, 3),
        (64, 64, 4, 2),
        (64, 64, 4, 3),
        (128, 64, 8, 3),
    )
]
"""Those that keep their numbers in registers on an H100."""
KERNELS = ("log_sum_exps", "head_means", "add_divided")


def states(device: str, dtype: str, layer: Layer, images: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys of a layer, (B, H, N, D) and (B, H, T, D), as networks lay them out."""
    generator = torch.Generator().manual_seed(0)
    query, key = (
        torch.randn(images, rows, layer.heads, layer.channels, generator=generator)
        .to(device, getattr(torch, dtype))
        .transpose(1, 2)
        for rows in (layer.positions, layer.positions + layer.text)
    )
    return query, key


def adding(
    query: torch.Tensor, key: torch.Tensor, layer: Layer, add: Callable[..., None] = add_by_kernels
) -> Callable[[], None]:
    """One normalised addition of a layer to its running maps."""
    columns = layer.positions + layer.text
    cuts = [slice(0, layer.positions)] + [slice(layer.positions, columns)] * (layer.text > 0)
    parts = [
        Target(
            query.new_zeros(len(query), layer.positions, len(range(columns)[cut]), dtype=torch.float32),
            cut,
            per_column=cut.start > 0,
        )
        for cut in cuts
    ]
    finite = query.new_zeros((), dtype=torch.float32)
    scores = Scores(query, key, layer.channels**-0.5)
    return partial(add, parts, scores, normalize=True, finite=finite)


def milliseconds(device: str, work: Callable[[], object]) -> float:
    """The median of several calls."""
    work()
    if not device.startswith("cuda"):
        return 1000 * seconds(device, work)
    from triton.testing import do_bench  # pyright: ignore[reportMissingImports]

    took: Any = do_bench(work, warmup=10, rep=60, return_mode="median")
    return float(took)


def by_kernel(device: str, work: Callable[[], object], calls: int = 5) -> dict[str, float]:
    """Milliseconds of each of our kernels in one call, the mean of several; {} where there is no GPU."""
    if not device.startswith("cuda"):
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(calls):
            work()
        torch.cuda.synchronize()
    took = {event.key: event.device_time_total / calls / 1000 for event in profiled.key_averages()}
    return {name: took[name] for name in KERNELS if name in took}


@torch.no_grad()
def price(device: str, dtype: str, layer: Layer) -> dict[str, float]:
    """Milliseconds of one normalised addition by either way."""
    ways = {"kernels": add_by_kernels, "plain torch": add_probabilities}
    return {way: milliseconds(device, adding(*states(device, dtype, layer), layer, add)) for way, add in ways.items()}


@torch.no_grad()
def tune(device: str, dtype: str, layer: Layer, tiles: Sequence[Tile]) -> dict[str, Any]:
    """Milliseconds of one normalised addition, and of each kernel in it, with each tile, or why it fails."""
    query, key = states(device, dtype, layer)
    add = adding(query, key, layer)
    found: dict[str, Any] = {}
    for tile in tiles:
        name = f"{tile.rows} × {tile.columns}, {tile.warps} warps, {tile.stages} stages"
        with mock.patch.object(launches, "tile_of", return_value=tile):
            try:
                found[name] = {"all": milliseconds(device, add), **by_kernel(device, add)}
            except Exception as error:  # a tile that does not fit is an answer
                found[name] = str(error)[:80]
    return {"tiles_ms": found}
