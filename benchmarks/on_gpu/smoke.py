"""What must hold on a card before any figure counts: a graph that fails leaves the process as it was, and replayed
calls give the bytes of eager calls."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from on_gpu.bytes_compared import compare
from on_gpu.drawing import Draws
from on_gpu.pipelines import twin
from seediff.errors import Notice
from seediff.models.graphs import GraphedNetwork, GraphMaker
from seediff.models.registry import load_model

TWINS = ("flux-dev", "sd3.5-medium", "z-image-turbo", "sdxl", "qwen-image")
STEPS, PICTURES = 12, 3
"""Enough calls for a graph in the first picture; replays only from the second on."""


def works(device: str, dtype: str, folder: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Name and work of each check, which returns its figures, with `failed` where something is wrong."""
    if device.startswith("cuda"):
        yield "a graph that waits", lambda: fail_and_go_on(device)
    mini = partial(load_model, "mini", device=device, dtype=dtype)
    twins = {f"{name}, narrow": partial(twin, name, device, dtype, folder) for name in TWINS}
    for name, load in {"mini": mini, **twins}.items():
        yield name, lambda load=load: same_bytes(load(), STEPS)
    yield "mini, tried", lambda: same_bytes(mini(), STEPS, trial=True)


def fail_and_go_on(device: str) -> dict[str, Any]:
    """A call that cannot have a graph: its reason is told; afterwards random numbers, other memory and another graph
    work, and the memory that it took is free."""
    place = torch.device(device)
    ones = torch.ones(1 << 20, device=place)
    before = torch.cuda.memory_allocated(place)

    def waits() -> float:
        return float((ones * 2).sum().item())

    try:
        GraphMaker(place).make(waits)
        reason = "none: the graph succeeded"
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:120]
    kept_by_failure = torch.cuda.memory_allocated(place) - before
    found: dict[str, Any] = {"reason": reason}
    checks: dict[str, Callable[[], object]] = {
        "random numbers": lambda: torch.randn(8, device=place).sum().item(),
        "the cache is emptied": torch.cuda.empty_cache,
        "another graph": lambda: _make_and_replay(place),
        "random numbers in the network's stream": lambda: torch.randn(8, device=place).sum().item(),
    }
    for name, check in checks.items():
        try:
            check()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}".splitlines()[0][:160]
    gc.collect()
    torch.cuda.empty_cache()
    found["bytes_kept"] = [kept_by_failure, torch.cuda.memory_allocated(place) - before]
    bad = [name for name in checks if name in found]
    return {**found, "torch": torch.__version__, **({"failed": True} if bad else {})}


def _make_and_replay(place: torch.device) -> None:
    maker, given = GraphMaker(place), torch.zeros(4, device=place)
    maker.run(lambda: given + 1)
    found, replay = maker.make(lambda: given + 1)
    given.fill_(2)
    replay()
    if found.tolist() != [3.0] * 4:
        raise ValueError(f"a replay gave {found.tolist()} instead of 3")


def same_bytes(model: Any, steps: int, trial: bool = False) -> dict[str, Any]:
    """Pictures and maps of several captures by graphs and eagerly, and what was said meanwhile. trial: as `--graphs
    auto` decides."""
    own = GraphedNetwork(model.network, new_maker(model.device), trial=trial)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", Notice)
            found = compare(Draws(model, 1), own, steps, PICTURES)
    finally:
        own.restore()
    return {**found, "said": [str(one.message) for one in said if one.category is Notice]}


def new_maker(device: str) -> Any:
    """Of CUDA; on a CPU the tests put a stand-in here."""
    return GraphMaker(torch.device(device))
