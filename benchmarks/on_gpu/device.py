"""Measures the peak speed and memory of a device, and counts the operations of a piece of work."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch

from seediff.attention import running_maps
from seediff.attention.probabilities import Scores


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has finished the work that this thread gave it."""
    kind = str(device)
    if kind.startswith("cuda"):
        torch.cuda.current_stream(device).synchronize()
    elif kind.startswith("mps"):
        torch.mps.synchronize()


def count_operations(work: Callable[[], object]) -> float:
    """Operations of matrix products and convolutions, attention included."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def count_products(work: Callable[[], object]) -> float:
    """Operations of QKᵀ for the captured rows, while `work` draws with capture."""
    counted = 0.0

    def counting(add: Callable[..., None]) -> Callable[..., None]:
        def count(parts: Any, scores: Scores, **more: Any) -> None:
            nonlocal counted
            counted += 2.0 * scores.query.numel() * scores.key.shape[2]
            add(parts, scores, **more)

        return count

    with ExitStack() as stack:
        for name in ("add_probabilities", "add_probabilities_fused"):
            stack.enter_context(mock.patch.object(running_maps, name, counting(getattr(running_maps, name))))
        work()
    return counted


def seconds(device: str, work: Callable[[], object]) -> float:
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def forget_peak_memory(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> dict[str, int]:
    """Peak memory in bytes. On cuda since `forget_peak_memory`, and what torch reserved for it; elsewhere, resident in
    this process so far, which only grows.
    """
    if device.startswith("cuda"):
        reserved = torch.cuda.max_memory_reserved(device)
        return {"peak_bytes": torch.cuda.max_memory_allocated(device), "reserved_bytes": reserved}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": peak if sys.platform == "darwin" else peak * 1024}
