"""Holds drawings by CUDA graphs against eager drawings, byte by byte: every result of the network, every map."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch

from seediff.attention.maps import AttentionMaps
from seediff.models.graphs import MARK, GraphedNetwork, have_same_bytes


def without(graphs: GraphedNetwork, work: Callable[[int], object], steps: int) -> object:
    """Draw with the network's own forward."""
    graphs.network.forward = graphs.own_forward
    graphs.network.__dict__.pop(MARK)
    try:
        return work(steps)
    finally:
        graphs.network.forward = graphs
        setattr(graphs.network, MARK, graphs)


@torch.no_grad()
def compare(draws: Any, graphs: GraphedNetwork, steps: int, pictures: int) -> dict[str, Any]:
    """Whether calls were replayed, and every result of the network and every map has the bytes of eager calls."""
    with outputs_of(graphs) as replayed:
        by_graphs = [draws.captured(steps) for _ in range(pictures)]
    with outputs_of(graphs) as called:
        eager: Any = without(graphs, draws.captured, steps)
    wanted = called * pictures
    found: dict[str, Any] = {
        "recorded": graphs.graphs_made,
        "replayed": graphs.replayed_calls,
        "eager_because": graphs.eager_because,
        "same_calls": len(replayed) == len(wanted) and all(map(have_same_bytes, replayed, wanted)),
        "same_pictures": all(np.array_equal(images, eager[0]) for images, _ in by_graphs),
        "same_maps": all(_same_maps(maps, eager[1]) for _, maps in by_graphs),
    }
    right = [found[name] for name in ("same_calls", "same_pictures", "same_maps", "replayed")]
    return found if all(right) else {**found, "failed": True}


@contextmanager
def outputs_of(graphs: GraphedNetwork) -> Iterator[list[torch.Tensor]]:
    """Copies of all results of the network in this block, on the CPU."""
    results: list[torch.Tensor] = []

    def note(_module: Any, _args: Any, output: Any) -> None:
        first = output[0]
        tensors = first if isinstance(first, (list, tuple)) else [first]
        results.append(torch.cat([one.detach().flatten().float().cpu() for one in tensors]))

    handle = graphs.network.register_forward_hook(note)
    try:
        yield results
    finally:
        handle.remove()


def _same_maps(ours: Sequence[AttentionMaps], theirs: Sequence[AttentionMaps]) -> bool:
    pairs = zip(*(chain.from_iterable(one.tensors() for one in maps) for maps in (ours, theirs)), strict=True)
    return all(have_same_bytes(one[-1], other[-1]) for one, other in pairs)
